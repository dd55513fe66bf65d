"""What a shared service finds on its users' own servers, and that they never see its token."""

import gzip
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from easymlnb_server.placement.hub import user_servers
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.user_servers import OwnServer, UserServers
from support.http_server import Answering, serving

ROLL = {"name": "roll", "title": "Roll", "state": "live", "live": True, "summary": "A die."}


@dataclass
class Hub:
    """A Hub and its proxy in one; ``seen`` is what came: path and Authorization."""

    url: str = ""
    servers: dict[str, Any] = field(default_factory=dict)
    answer: bytes = json.dumps({"services": [ROLL]}).encode()
    pack: bool = False
    tokens: int = 201
    hangs: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, *, ready: bool = True) -> None:
        url = f"/user/ann/{name}/" if name else "/user/ann/"
        self.servers[name] = {"name": name, "url": url, "ready": ready}


class Handler(Answering):
    hub: ClassVar[Hub]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        hub = self.hub
        hub.seen.append((self.path, self.headers.get("Authorization", "")))
        if self.path == "/hub/api/users/ann":
            return self._say(200, json.dumps({"servers": hub.servers}).encode())
        if self.path == "/hub/api/users/ann/tokens":
            return self._say(hub.tokens, b'{"token": "anns"}')
        if hub.hangs:
            hub.over.wait(60)
        self._say(200, hub.answer)

    do_POST = do_GET

    def _say(self, status: int, body: bytes) -> None:
        if self.hub.pack and self.path.startswith("/user/"):
            self.answer(status, gzip.compress(body), Content_Encoding="gzip")
        else:
            self.answer(status, body)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # A busy machine may take longer than pages wait.
    monkeypatch.setattr(user_servers, "TIMEOUT", 60.0)
    kind = type("Ours", (Handler,), {"hub": Hub()})
    with serving(kind) as kind.hub.url:
        yield kind.hub
        kind.hub.over.set()


@asynccontextmanager
async def servers_of(hub: Hub) -> AsyncIterator[UserServers]:
    account = HubCredentials(token="services", api_url=f"{hub.url}/hub/api", proxy=hub.url)
    servers = UserServers(account)
    try:
        yield servers
    finally:
        await servers.close()


async def look(hub: Hub, times: int = 1) -> list[OwnServer]:
    async with servers_of(hub) as servers:
        for _ in range(times - 1):
            await servers.get("ann")
        return await servers.get("ann")


async def test_servers_that_run_are_asked_with_a_token_of_their_user(hub: Hub) -> None:
    hub.add("")
    hub.add("second")
    hub.add("starting", ready=False)
    hub.add("easymlnb-gpu-1")
    found = await look(hub, times=2)
    assert [(one.name, one.path) for one in found] == [
        ("", "/user/ann/"),
        ("second", "/user/ann/second/"),
    ]
    assert [line.title for one in found for line in one.services or ()] == ["Roll", "Roll"]
    # The second look came too soon to ask again, and no server of a user saw the service's token.
    shown = dict(hub.seen)
    assert len(hub.seen) == len(shown) == 4
    assert {path: told for path, told in shown.items() if path.startswith("/user/")} == {
        "/user/ann/easymlnb/services": "token anns",
        "/user/ann/second/easymlnb/services": "token anns",
    }


async def test_without_a_server_there_is_nothing(hub: Hub) -> None:
    assert await look(hub) == []
    assert [path for path, _ in hub.seen] == ["/hub/api/users/ann"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b'{"services": 3}',
        b"\xff",
        b'{"services": ["' + b"x" * user_servers.MAX_RESPONSE + b'"]}',
    ],
)
async def test_a_server_that_answers_nonsense_is_not_reachable(hub: Hub, answer: bytes) -> None:
    hub.add("")
    hub.answer = answer
    assert [one.services for one in await look(hub)] == [None]


async def test_what_a_server_packs_is_not_unpacked(hub: Hub) -> None:
    hub.add("")
    assert (await look(hub))[0].services
    hub.pack = True
    assert (await look(hub))[0].services is None


async def test_names_that_lead_elsewhere_are_left_out(hub: Hub) -> None:
    hub.add("")
    hub.answer = json.dumps({"services": [{**ROLL, "name": "../../x"}, ROLL]}).encode()
    (found,) = await look(hub)
    assert [line.name for line in found.services or ()] == ["roll"]


@pytest.mark.slow
async def test_a_server_that_hangs_is_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_servers, "MAX_AGE", 0.0)
    hub.add("")
    async with servers_of(hub) as servers:
        assert [one.services is None for one in await servers.get("ann")] == [False]
        hub.hangs = True
        monkeypatch.setattr(user_servers, "TIMEOUT", 1.0)
        assert [one.services for one in await servers.get("ann")] == [None]


async def test_a_hub_that_gives_no_tokens_shows_nothing(hub: Hub) -> None:
    hub.add("")
    hub.tokens = 403
    assert await look(hub) == []
