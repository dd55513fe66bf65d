"""Calls of a device that is not always online: none is lost, and none runs twice."""

import asyncio
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from easymlnb.client import AsyncClient, Client
from easymlnb.client.discovery import Server
from easymlnb.client.outbox import Outbox
from easymlnb.contract.errors import (
    BadRequest,
    CallFailed,
    Draining,
    EasyMLNBError,
    Forbidden,
    JobNotFinished,
    ServerUnreachable,
    ServiceNotFound,
)


class FakeServer:
    """Accepts jobs by key; the network may fail before or after it does."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, EasyMLNBError] = {}
        self.ends: dict[int, EasyMLNBError] = {}
        self.unavailable: EasyMLNBError | None = None
        self.portal: httpx.Response | None = None
        self.network: Callable[[], bool] = lambda: True

    def handle(self, request: httpx.Request) -> httpx.Response:
        if not self.network():
            raise httpx.ConnectError("offline")
        answer = self._answer(request)
        if not self.network():
            raise httpx.ReadError("lost")
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        _, kind, name, *more = request.url.path.removeprefix("/easymlnb").split("/")
        if self.portal is not None:
            return self.portal
        if kind == "services" and request.method == "GET":
            spec = {"name": name, "title": "", "input": {}, "output": {}}
            return httpx.Response(200, json=spec)
        if kind == "services":
            if name in self.refusals:
                return _refusal(self.refusals[name])
            key = request.headers["Idempotency-Key"]
            values = json.loads(request.content)
            job = self.jobs.setdefault(key, {"id": f"J{len(self.jobs)}", "values": values})
            assert job["values"] == values
            return httpx.Response(202, json=job)
        number = int(name.removeprefix("J"))
        if self.unavailable is not None:
            return _refusal(self.unavailable)
        end = self.ends.get(number)
        if more != ["result"]:
            return httpx.Response(200, json={"state": "succeeded" if end is None else "failed"})
        if end is not None:
            return _refusal(end)
        (job,) = (one for one in self.jobs.values() if one["id"] == name)
        headers = {"X-Easymlnb-Version": "1"}
        return httpx.Response(200, json=job["values"]["x"] * 2, headers=headers)


def _refusal(error: EasyMLNBError) -> httpx.Response:
    return httpx.Response(error.status, json=error.to_dict())


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def client(server: FakeServer) -> Client:
    transport = httpx.MockTransport(server.handle)
    return Client(Server("http://server/easymlnb/"), transport=transport)


def test_calls_wait_until_the_server_is_there(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    server.network = lambda: False
    with client.outbox(tmp_path / "calls.db") as outbox:
        keys = [outbox.put("double", x=number) for number in range(3)]
        assert (outbox.flush(), len(outbox)) == (0, 3)
        assert isinstance(outbox.last_error, ServerUnreachable)
    server.network = lambda: True
    with client.outbox(tmp_path / "calls.db") as outbox:
        assert (outbox.flush(), outbox.last_error, len(outbox)) == (3, None, 0)
        assert list(server.jobs) == keys
        server.ends = {1: JobNotFinished("running"), 2: CallFailed("no")}
        first, last = outbox.results()
        assert (first.key, first.service, first.result) == (keys[0], "double", 0)
        assert isinstance(last.error, CallFailed)
        assert outbox.counts == {"waiting": 0, "sent": 1, "failed": 0}
        server.ends.clear()
        assert [one.result for one in outbox.results()] == [2]
        assert list(outbox.results()) == []


def test_an_interrupted_loop_gets_its_result_again(client: Client, tmp_path: Path) -> None:
    with client.outbox(tmp_path / "calls.db") as outbox:
        outbox.put("double", x=1)
        outbox.flush()
        for _ in range(2):
            assert next(outbox.results()).result == 2


def test_what_is_wrong_with_a_request_is_no_end_of_a_call(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    with client.outbox(tmp_path / "calls.db") as outbox:
        outbox.put("double", x=1)
        outbox.flush()
        server.unavailable = Draining()
        with pytest.raises(Draining):
            next(outbox.results())
        server.portal = httpx.Response(200, html="Accept our terms")
        with pytest.raises(ServerUnreachable, match="login page"):
            next(outbox.results())
        outbox.put("double", x=2)
        assert (outbox.flush(), len(outbox)) == (0, 1)
        server.portal = httpx.Response(200, json={"accept": "terms"})
        assert (outbox.flush(), len(outbox)) == (0, 1)
        server.portal = server.unavailable = None
        assert (outbox.flush(), [one.result for one in outbox.results()]) == (1, [2, 4])


def test_what_the_server_will_never_accept_is_put_aside(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    server.refusals = {
        "never": BadRequest("no"),
        "later": ServiceNotFound("later"),
        "secret": Forbidden("no"),
    }
    with client.outbox(tmp_path / "calls.db") as outbox:
        for name in ("never", "later", "secret", "double"):
            outbox.put(name, x=1)
        assert outbox.flush() == 1
        assert outbox.counts == {"waiting": 2, "sent": 1, "failed": 1}
        (refused,) = outbox.refused()
        assert (refused.service, refused.error.code) == ("never", "bad_request")
        outbox.remove(refused.key)
        server.refusals = {"later": Draining()}
        assert outbox.flush() == 0
        assert isinstance(outbox.last_error, Draining)


def test_values_are_encoded_without_the_server(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    with client.outbox(tmp_path / "calls.db") as outbox:
        outbox.prepare("double")
        server.network = lambda: False
        outbox.put("double", x=1, note="ü")
        with pytest.raises(TypeError, match="x"):
            outbox.put("double", x=object())
        photo = tmp_path / "photo.png"
        photo.write_bytes(b"\x89PNG")
        outbox.put("classify", image=photo)
        rows = outbox._rows.execute("SELECT content_type, body FROM calls").fetchall()
    assert rows[0] == ("application/json", b'{"x":1,"note":"\\u00fc"}')
    assert rows[1][0].startswith("multipart/form-data; boundary=")
    assert b"\x89PNG" in rows[1][1]


class Killed(BaseException):
    """The process ended here."""


def test_nothing_is_lost_and_nothing_runs_twice(
    server: FakeServer, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lose the connection at random, and end the process between any two steps."""
    chance = random.Random(5)
    lost = killed = 0

    def network() -> bool:
        nonlocal lost
        works = chance.random() > 0.3
        lost += not works
        return works

    def change(self: Outbox, *arguments: Any, **values: Any) -> None:
        nonlocal killed
        if chance.random() < 0.2:
            killed += 1
            raise Killed
        original(self, *arguments, **values)

    original = Outbox._change
    monkeypatch.setattr(Outbox, "_change", change)
    server.network = network
    results: dict[str, int] = {}
    keys: dict[str, int] = {}
    path = tmp_path / "calls.db"
    while len(results) < 100:
        with client.outbox(path) as outbox:
            if len(keys) < 100:
                number = len(keys)
                keys[outbox.put("double", x=number)] = number
            try:
                outbox.flush()
                for one in outbox.results():
                    results[one.key] = one.result
            except (Killed, ServerUnreachable):
                continue
    assert lost + killed > 100
    assert len(server.jobs) == 100
    assert results == {key: 2 * number for key, number in keys.items()}


def test_the_file_is_not_closed_while_a_thread_writes(client: Client, tmp_path: Path) -> None:
    """A canceled ``flush`` of async code goes on in its thread; SQLite would crash the process."""
    outbox = Outbox(client, tmp_path / "calls.db")
    order: list[str] = []

    def close() -> None:
        outbox.close()
        order.append("closed")

    closing = threading.Thread(target=close)
    with outbox._writing() as rows:
        closing.start()
        rows.execute("SELECT 1")
        order.append("written")
    closing.join()
    assert order == ["written", "closed"]


async def test_the_same_in_async_code(server: FakeServer, tmp_path: Path) -> None:
    """The file is the same as that of the other client."""
    where, transport = Server("http://server/easymlnb/"), httpx.MockTransport(server.handle)
    client = AsyncClient(where, transport=transport)
    async with client, await client.outbox(tmp_path / "calls.db") as outbox:
        await outbox.prepare("double")
        server.network = lambda: False
        keys = await asyncio.gather(*(outbox.put("double", x=x) for x in range(5)))
        assert await outbox.flush() == 0
        assert isinstance(outbox.last_error, ServerUnreachable)
        server.network = lambda: True
        server.refusals["other"] = BadRequest("no")
        await outbox.put("other", x=1)
        assert await outbox.flush() == 5
        (refused,) = await outbox.refused()
        await outbox.remove(refused.key)
        found = {one.key: one.result async for one in outbox.results()}
        assert found == {key: 2 * x for x, key in enumerate(keys)}
        assert await outbox.counts() == {"waiting": 0, "sent": 0, "failed": 0}
