"""A Hub's shared service from a user's side: found, named, shared. The Hub itself: tests/hub."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

import easymlnb as ml
from easymlnb.cli import target
from easymlnb.cli.app import app
from easymlnb.cli.options import CommandTarget
from easymlnb.client import AsyncClient, Client, hub
from easymlnb.client.admin import access_body
from easymlnb.client.discovery import Server
from easymlnb.contract import names
from easymlnb.contract.access_text import describe_access
from easymlnb.contract.errors import (
    EasyMLNBError,
    Forbidden,
    NotLoggedIn,
    NotShared,
    ServerUnreachable,
    ServiceNotFound,
)
from easymlnb.publishing.publish import _published
from easymlnb.publishing.sharing import share, unshare
from support.http_server import Answering, serving

PATH = "/jhub/services/easymlnb/"
SPEC = {
    "title": "Segment",
    "input": {"type": "object", "properties": {"size": {"type": "integer"}}},
    "output": {"type": "integer"},
    "state": "ready",
    "version": 1,
}


@dataclass
class Shared:
    """A shared service behind a Hub's proxy, as far as clients see it; ``asked`` is what came."""

    url: str = ""
    refuses: bool = False
    answers: int = 200
    there: tuple[str, ...] = ("alice/segment", "b@x.org/count")
    access: dict[str, Any] = field(default_factory=lambda: dict(access_body((), (), False, False)))
    asked: list[str] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "JUPYTERHUB_USER": "alice",
            "JUPYTERHUB_API_TOKEN": "t",
            "JUPYTERHUB_BASE_URL": "/jhub/",
            "JUPYTERHUB_PUBLIC_URL": f"{self.url}/jhub/user/alice/",
        }

    @property
    def server(self) -> Server:
        return Server(f"{self.url}{PATH}", "t")


class Handler(Answering):
    shared: ClassVar[Shared]

    def do_GET(self) -> None:
        self._take()

    do_POST = do_PUT = do_GET

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        shared = self.shared
        shared.asked.append(f"{self.command} {self.path.removeprefix(PATH)}")
        if shared.answers != 200 or not self.path.startswith(PATH):
            return self._say(shared.answers if shared.answers != 200 else 404, b"<html>Hub</html>")
        if shared.refuses or self.headers.get("Authorization") != "token t":
            return self._error(NotLoggedIn())
        path = self.path.removeprefix(PATH).split("/")
        if path == ["me"]:
            return self._json({"name": "alice", "groups": ["ml"], "admin": False, "shared": True})
        if path == ["services"]:
            return self._json({"services": [self._spec(name) for name in shared.there]})
        name = "/".join(path[1:3]).replace("%40", "@")
        if name not in shared.there:
            return self._error(ServiceNotFound(name))
        if path[3:] == ["access"]:
            if self.command == "PUT":
                shared.access = json.loads(body)
            return self._json(shared.access)
        self._json(4 if path[3:] == ["call"] else self._spec(name))

    def _spec(self, name: str) -> dict[str, Any]:
        owner, plain = names.split(name)
        return {**SPEC, "name": plain, "full_name": name, "owner": owner}

    def _error(self, error: EasyMLNBError) -> None:
        self._say(error.status, json.dumps(error.to_dict("r")).encode())

    def _json(self, value: Any) -> None:
        self._say(200, json.dumps(value).encode())

    def _say(self, status: int, body: bytes) -> None:
        kind = "application/json" if body[:1] != b"<" else "text/html"
        self.answer(status, body, Content_Type=kind)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Shared]:
    for name in ("EASYMLNB_URL", "EASYMLNB_TOKEN", "EASYMLNB_HUB_PROXY", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    kind = type("Ours", (Handler,), {"shared": Shared()})
    with serving(kind) as kind.shared.url:
        yield kind.shared


@pytest.fixture
def inside(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> Shared:
    """The same, and this process is alice's on that Hub."""
    for name, text in shared.variables.items():
        monkeypatch.setenv(name, text)
    return shared


# names


@pytest.mark.parametrize(
    ("name", "found", "path"),
    [
        ("segment", ("", "segment"), "segment"),
        ("alice/segment", ("alice", "segment"), "alice/segment"),
        ("a.b+c@x.org/seg_2", ("a.b+c@x.org", "seg_2"), "a.b%2Bc%40x.org/seg_2"),
        ("élise m/segment", ("élise m", "segment"), "%C3%A9lise%20m/segment"),
    ],
)
def test_a_name_may_say_whose_it_is(name: str, found: tuple[str, str], path: str) -> None:
    assert names.split(name) == found
    assert names.url_path(name) == path


@pytest.mark.parametrize(
    "name", ["", "/segment", "alice/", "a/b/c", "../segment", "a\n/segment", "alice/Segment", "x-y"]
)
def test_what_no_service_is_called_is_not_found(name: str) -> None:
    with pytest.raises(ServiceNotFound):
        names.split(name)


# finding it


def test_without_a_hub_nobody_is_asked(shared: Shared) -> None:
    assert hub.find_shared_service(environment={}) is None
    assert (
        hub.find_shared_service(environment={**shared.variables, "JUPYTERHUB_PUBLIC_URL": ""})
        is None
    )
    assert shared.asked == []


def test_the_shared_service_is_found_behind_the_hubs_proxy(shared: Shared) -> None:
    found = hub.find_shared_service(environment=shared.variables)
    assert found == shared.server and found.shared
    assert shared.asked == ["GET me"]
    near = {**shared.variables, "JUPYTERHUB_PUBLIC_URL": "", "EASYMLNB_HUB_PROXY": shared.url}
    assert hub.find_shared_service(environment=near) == shared.server


@pytest.mark.parametrize("status", [404, 302])
def test_a_hub_may_have_none(shared: Shared, status: int) -> None:
    shared.answers = status
    assert hub.find_shared_service(environment=shared.variables) is None


def test_a_proxy_that_cannot_be_reached_is_as_none(shared: Shared) -> None:
    away = {**shared.variables, "EASYMLNB_HUB_PROXY": "http://127.0.0.1:9"}
    assert hub.find_shared_service(environment=away) is None


def test_a_refused_token_names_the_line_for_the_administrator(inside: Shared) -> None:
    inside.refuses = True
    with pytest.raises(Forbidden, match=r"access:services!service=easymlnb.*personal=True"):
        hub.publish_target()
    with pytest.raises(ServerUnreachable, match="easymlnb serve"):
        hub.publish_target(
            personal=True
        )  # which looks for a server of this machine, and there is none
    assert inside.asked == ["GET me"]


def test_a_service_that_is_down_is_not_taken_for_none(inside: Shared) -> None:
    inside.answers = 503
    with pytest.raises(ServerUnreachable, match="Try again in a moment"):
        hub.publish_target()


def test_a_server_that_is_named_counts_first(
    inside: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.publish_target("http://h:1/").url == "http://h:1/easymlnb/"
    monkeypatch.setenv("EASYMLNB_URL", "http://env/")
    assert hub.publish_target().url == "http://env/easymlnb/"
    assert inside.asked == []


def test_what_is_published_there_has_its_owners_name_and_the_public_address(
    inside: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://hub.example.org/jhub/user/alice/")
    status = {"services": [{"name": "segment", "full_name": "alice/segment", "version": 2}]}
    made = _published("segment", inside.server, status)
    assert (made.service, made.version) == ("alice/segment", 2)
    assert made.url == f"https://hub.example.org{PATH}services/alice/segment"
    assert made.app == f"https://hub.example.org{PATH}apps/alice/segment"
    assert made.page == f"https://hub.example.org{PATH}services/alice/segment/page"
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/jhub/user/alice/")
    own = Server("http://127.0.0.1:1/jhub/user/alice/easymlnb/")
    made = _published("roll", own, {"services": [{"name": "roll", "version": 1}]})
    assert made.app == "https://hub.example.org/jhub/user/alice/easymlnb/apps/roll"
    near = Server("http://127.0.0.1:1/easymlnb/")
    made = _published("roll", near, {"services": [{"name": "roll", "version": 1}]})
    assert (made.service, made.url) == ("roll", "http://127.0.0.1:1/easymlnb/services/roll")


# calling


def test_a_plain_name_is_ones_own_and_who_that_is_is_asked_once(shared: Shared) -> None:
    with Client(shared.server) as c:
        assert c.segment(size=3) == 4
        assert c["b@x.org/count"](size=3) == 4
        assert c["alice/segment"](size=3) == 4
        assert c.admin.service("segment")["owner"] == "alice"
        assert "segment" in c and "count" not in c and "b@x.org/count" in c
        assert list(c) == ["alice/segment", "b@x.org/count"]
        assert "segment" in dir(c) and "count" not in dir(c)
        with pytest.raises(ServiceNotFound):
            c["count"]
    assert shared.asked.count("GET me") == 1
    assert shared.asked.count("GET services/alice/segment") == 2  # its spec once, and once asked
    assert "POST services/b%40x.org/count/call" in shared.asked


def test_the_async_client_names_alike(shared: Shared) -> None:
    async def calls() -> list[Any]:
        async with AsyncClient(shared.server) as c:
            return [await c.segment(size=3), await c["b@x.org/count"](size=3)]

    assert asyncio.run(calls()) == [4, 4]
    assert "POST services/alice/segment/call" in shared.asked


def test_a_notebook_uses_what_others_share(inside: Shared) -> None:
    from easymlnb.calling import use

    use._client.cache_clear()
    try:
        assert ml.use("b@x.org/count")(size=3) == 4
        assert ml.use("alice/segment").map([{"size": 1}, {"size": 2}]) == [4, 4]
    finally:
        use._client.cache_clear()


# sharing


def test_sharing_replaces_who_may_call_and_says_so(inside: Shared) -> None:
    found = share("segment", groups=["ml"], users=["bob", "eve", "bob"])
    assert inside.access == access_body(["bob", "eve"], ["ml"], False, False)
    page = f"{inside.url}{PATH}apps/alice/segment"
    assert repr(found) == (
        f"alice/segment can be called by group ml and by bob and eve. Its page: {page}"
    )
    assert share("segment") == found  # only looks
    assert share("alice/segment", public=True).app.endswith("/public/alice/segment")
    assert inside.access["groups"] == []
    assert "Only you and" in repr(unshare("segment"))
    assert inside.access == access_body((), (), False, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"users": "bob"}, "users=['bob']"),
        ({"groups": [1]}, "groups=['ml']"),
        ({"users": {"bob": True}}, "users=['bob']"),
        ({"everyone": "yes"}, "everyone must be True or False"),
    ],
)
def test_who_is_named_wrongly_is_told_how(inside: Shared, given: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        share("segment", **given)
    assert said in str(caught.value)
    assert inside.asked == []


def test_what_is_not_published_cannot_be_shared(inside: Shared) -> None:
    with pytest.raises(EasyMLNBError, match=r"Publish it first: other\.publish\(\)"):
        share("other", everyone=True)


def test_on_ones_own_server_sharing_has_no_meaning(shared: Shared) -> None:
    with pytest.raises(NotShared, match="single-user server"):
        share("segment", everyone=True, url=shared.url)
    assert shared.asked == []


@pytest.mark.parametrize(
    ("users", "groups", "everyone", "public", "said"),
    [
        ((), (), False, False, "Only you and the Hub's administrators"),
        (["bob"], (), False, False, "by bob."),
        ((), ["ml", "bio", "chem"], False, False, "by groups ml, bio and chem."),
        (["bob"], ["ml"], True, False, "All users of the Hub can call"),
        ((), (), True, True, "Anyone can call"),
    ],
)
def test_who_may_call_is_said_in_a_sentence(
    users: Any, groups: Any, everyone: bool, public: bool, said: str
) -> None:
    access = access_body(users, groups, everyone, public)
    assert said in describe_access("alice/x", access)


# the command line


def run(*words: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, list(words))
    return found.exit_code, found.stdout, found.stderr


def test_the_command_shares_and_shows(inside: Shared) -> None:
    code, out, _ = run("share", "segment", "--group", "ml", "--user", "bob")
    assert code == 0 and "group ml and by bob" in out
    assert inside.access["users"] == ["bob"]
    code, out, _ = run("share", "segment", "--json")
    assert json.loads(out) == {
        "service": "alice/segment",
        **inside.access,
        "app": f"{inside.url}{PATH}apps/alice/segment",
    }
    assert run("share", "segment", "--nobody")[0] == 0
    assert inside.access["users"] == []
    assert run("share", "segment", "--nobody", "--everyone")[0] == 2


def test_commands_find_what_is_published_on_the_shared_service(inside: Shared) -> None:
    code, out, _ = run("list", "--json")
    assert [line["name"] for line in json.loads(out)] == ["alice/segment", "b@x.org/count"]
    code, out, _ = run("call", "segment", "size=3")
    assert (code, out) == (0, "4\n")
    code, out, _ = run("call", "b@x.org/count", "size=3")
    assert (code, out) == (0, "4\n")


def test_only_a_name_of_another_needs_the_shared_service(
    inside: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.refuses = True
    own = Server("http://127.0.0.1:1/easymlnb/")
    monkeypatch.setattr(target.discovery, "find", lambda *_: own)
    assert target.servers(CommandTarget()) == [own]
    with pytest.raises(Forbidden):
        target.servers(CommandTarget(), shared=True)
