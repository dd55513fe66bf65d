"""Both clients against a scripted server: what they send, what they make of its answers."""

import asyncio
import inspect
import json
import pydoc
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from easymlnb.client import AsyncClient, Client, DownloadedFile
from easymlnb.client.discovery import Server
from easymlnb.contract.errors import (
    Busy,
    CallFailed,
    EasyMLNBError,
    Forbidden,
    InvalidInput,
    NotLoggedIn,
    RouteNotFound,
    ServerUnreachable,
    ServiceNotFound,
)

SERVER = Server("http://localhost:1/easymlnb/", "secret")
ROLL = {
    "name": "roll",
    "title": "Roll a die",
    "description": "Roll a die.",
    "input": {
        "type": "object",
        "properties": {
            "sides": {"type": "integer", "minimum": 2, "default": 6, "description": "Of the die."},
            "seed": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
    },
    "output": {"type": "integer"},
    "state": "ready",
    "version": 3,
    "live": False,
}
COUNT = ROLL | {"name": "count", "stream": True}
READ = {
    "name": "read",
    "title": "Read",
    "input": {
        "type": "object",
        "properties": {"doc": {"x-easymlnb": {"widget": "file"}}, "page": {"type": "string"}},
        "required": ["doc"],
    },
    "output": {"type": "string", "x-easymlnb": {"widget": "file"}},
}
SPECS = {spec["name"]: spec for spec in (ROLL, COUNT, READ)}

Handler = Callable[[httpx.Request], httpx.Response]


class Script:
    """Answers specs, and calls by ``answer``; keeps the requests it saw."""

    def __init__(self, answer: Handler | None = None) -> None:
        self.answer = answer
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        path = request.url.path.removeprefix("/easymlnb/")
        name = path.removeprefix("services/").split("/")[0]
        if request.method == "GET" and path == f"services/{name}":
            return httpx.Response(200, json=SPECS[name]) if name in SPECS else missing(name)
        assert self.answer is not None, path
        return self.answer(request)

    @property
    def last(self) -> httpx.Request:
        return self.seen[-1]

    def sync(self) -> Client:
        return Client(SERVER, transport=httpx.MockTransport(self))

    def aio(self) -> AsyncClient:
        return AsyncClient(SERVER, transport=httpx.MockTransport(self))


def missing(name: str) -> httpx.Response:
    return httpx.Response(404, json=ServiceNotFound(name).to_dict("r1"))


def says(*events: tuple[str, Any]) -> Handler:
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    headers = {"content-type": "text/event-stream"}
    return lambda request: httpx.Response(200, text=text, headers=headers)


def answers(status: int = 200, **how: Any) -> Handler:
    return lambda request: httpx.Response(status, **how)


def test_a_service_is_called_like_a_function():
    script = Script(answers(json=4))
    with script.sync() as c:
        assert c.roll(sides=20) == 4
        assert json.loads(script.last.content) == {"sides": 20}
        assert script.last.url.path == "/easymlnb/services/roll/call"
        assert script.last.headers["authorization"] == "token secret"
        assert c["roll"](20, seed=1) == 4
        assert json.loads(script.last.content) == {"sides": 20, "seed": 1}
        assert c["roll"].options(timeout=1)(sides=3) == 4


def test_defaults_are_left_to_the_server():
    script = Script(answers(json=4))
    with script.sync() as c:
        c.roll()
    assert json.loads(script.last.content) == {}


def test_the_spec_is_fetched_once_for_many_calls():
    script = Script(answers(json=4))
    with script.sync() as c:
        roll = c.roll
        for _ in range(5):
            roll()
    assert [r.method for r in script.seen].count("GET") == 1


def test_a_refused_input_makes_the_client_look_again():
    refusal = InvalidInput([{"field": "sides", "message": "too few"}])
    script = Script(answers(422, json=refusal.to_dict("r7")))
    with script.sync() as c:
        for _ in range(2):
            with pytest.raises(InvalidInput) as caught:
                c.roll(sides=1)
    assert caught.value.details == [{"field": "sides", "message": "too few"}]
    assert caught.value.request_id == "r7"
    assert [r.method for r in script.seen].count("GET") >= 2


def test_help_shows_parameters():
    with Script().sync() as c:
        text = pydoc.plain(pydoc.render_doc(c.roll))
        assert "roll(sides: int = 6, seed: int | None = None) -> int" in text
        assert "sides: int (at least 2) - Of the die." in text
        assert list(inspect.signature(c.read).parameters) == ["doc", "page"]


def test_too_many_or_double_values_are_a_type_error():
    with Script().sync() as c:
        with pytest.raises(TypeError, match="takes 2 values but 3"):
            c.roll(1, 2, 3)
        with pytest.raises(TypeError, match="more than one value for 'sides'"):
            c.roll(1, sides=2)


def test_an_unknown_service_is_both_kinds_of_error():
    with Script().sync() as c:
        with pytest.raises(ServiceNotFound):
            c["nosuch"]
        with pytest.raises(ServiceNotFound):
            c.nosuch(a=1)
        assert not hasattr(c, "nosuch")
        assert not hasattr(c, "_repr_html_")


def test_a_name_cannot_leave_its_path():
    with Script().sync() as c, pytest.raises(ServiceNotFound):
        c["../../api/contents"]


def test_files_go_as_multipart_with_their_name(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello")
    script = Script(answers(content=b"\x00", headers={"content-type": "audio/wav"}))
    with script.sync() as c:
        found = c.read(doc=path, page="007")
    body = script.last.content
    assert script.last.headers["content-type"].startswith("multipart/form-data")
    assert b'name="doc"; filename="a.txt"' in body and b"text/plain" in body and b"hello" in body
    assert b'"007"' in body and b"application/json" in body
    assert found == DownloadedFile(b"\x00", "file", "audio/wav")


def test_a_stream_is_iterated_as_it_comes():
    script = Script(
        says(("item", 1), ("progress", {"fraction": 0.5}), ("item", 2), ("result", None))
    )
    with script.sync() as c:
        assert list(c.count(n=2)) == [1, 2]
    assert script.last.headers["accept"] == "text/event-stream"


def test_progress_is_told_on_the_way():
    script = Script(says(("progress", {"fraction": 0.5, "text": "half"}), ("result", 6)))
    told = []
    with script.sync() as c:
        roll = c.roll.options(progress=lambda fraction, text: told.append((fraction, text)))
        assert roll(sides=6) == 6
    assert told == [(0.5, "half")]


def test_a_raw_answer_may_come_with_progress():
    told = []
    script = Script(says(("progress", {"fraction": 1, "text": "t"}), ("result", {"é": 1})))
    with script.sync() as c:
        raw = c.roll.options(progress=lambda *said: told.append(said)).raw()
    assert json.loads(raw.body) == {"é": 1} and raw.content_type == "application/json"
    assert told == [(1.0, "t")]


def test_an_error_may_come_after_events():
    script = Script(says(("item", 1), ("error", CallFailed("ZeroDivisionError").to_dict("r2"))))
    with script.sync() as c:
        items = c.count()
        assert next(items) == 1
        with pytest.raises(CallFailed, match="ZeroDivisionError"):
            next(items)


def test_a_stream_that_breaks_off_is_no_result():
    with Script(says(("item", 1))).sync() as c, pytest.raises(ServerUnreachable, match="was lost"):
        list(c.count())


def test_a_plain_answer_to_a_wish_for_events_is_fine():
    with Script(answers(json=6)).sync() as c:
        assert c.roll.options(progress=print)() == 6


def test_live_and_accept_choose_route_and_form():
    script = Script(answers(json=6))
    with script.sync() as c:
        c.roll.options(live=True, accept="text/plain")()
    assert script.last.url.path == "/easymlnb/services/roll/live/call"
    assert script.last.headers["accept"] == "text/plain"


def test_a_timeout_is_told_to_the_server():
    script = Script(answers(json=6))
    with script.sync() as c:
        c.roll.options(timeout=2.5)()
        assert script.last.headers["x-timeout"] == "2.5"
        c.roll.options(timeout="2m")()
        assert script.last.headers["x-timeout"] == "120"
        c.roll()
        assert "x-timeout" not in script.last.headers


@pytest.mark.parametrize("value", ["x", -1, float("nan"), True, [1]])
def test_an_invalid_timeout_is_refused_before_the_call(value: Any):
    script = Script(answers(json=6))
    with script.sync() as c, pytest.raises(ValueError, match="Invalid duration"):
        c.roll.options(timeout=value)


def test_a_raw_answer_keeps_what_is_said_about_it():
    headers = {
        "content-type": "text/csv",
        "content-disposition": 'attachment; filename="t.csv"',
        "x-easymlnb-version": "3",
        "x-request-id": "r9",
    }
    with Script(answers(content=b"a\n1\n", headers=headers)).sync() as c:
        raw = c.roll.options(accept="text/csv").raw()
    assert (raw.body, raw.filename, raw.version, raw.request_id) == (b"a\n1\n", "t.csv", "3", "r9")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, Busy(3, 2).to_dict(), Busy),
        (500, {"error": {"code": "new_one", "message": "Something new."}}, EasyMLNBError),
        (302, "", NotLoggedIn),
        (401, "", NotLoggedIn),
        (403, {"message": "Forbidden"}, Forbidden),
        (404, "<html>", RouteNotFound),
        (502, "<html>", ServerUnreachable),
        (418, "[1]", EasyMLNBError),
    ],
)
def test_every_bad_answer_is_a_typed_error(status, body, kind):
    text = body if isinstance(body, str) else json.dumps(body)
    with Script(answers(status, text=text)).sync() as c, pytest.raises(kind) as caught:
        c.roll()
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize(
    "trouble", [httpx.ConnectError, httpx.ReadTimeout, httpx.ConnectTimeout, httpx.ReadError]
)
def test_network_troubles_are_one_error_with_a_sentence(trouble):
    def fail(request: httpx.Request) -> httpx.Response:
        raise trouble("[Errno 111]", request=request)

    with Script(fail).sync() as c, pytest.raises(ServerUnreachable) as caught:
        c.roll()
    assert caught.value.message.endswith(".") and "Errno" not in caught.value.message


def test_what_is_no_easymlnb_is_said_to_be():
    with Script(answers(text="<html>")).sync() as c, pytest.raises(ServerUnreachable, match="not"):
        c.admin.services()


def test_all_pages_of_services_are_listed():
    def page(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("after") == "x":
            return httpx.Response(200, json={"services": [{"name": "b"}], "next": None})
        return httpx.Response(200, json={"services": [{"name": "a"}], "next": "x"})

    with Script(page).sync() as c:
        assert [s["name"] for s in c.admin.services()] == ["a", "b"]
        assert "b" in c and "c" not in c and list(c) == ["a", "b"]
        assert "a" in dir(c)


def test_completion_survives_a_server_that_is_away():
    with Script(answers(502)).sync() as c:
        assert "admin" in dir(c)


def test_log_versions_removal_and_health():
    def handle(request: httpx.Request) -> httpx.Response:
        last = request.url.path.rsplit("/", 1)[1]
        if request.method == "DELETE":
            return httpx.Response(204)
        return httpx.Response(200, json={"entries": [1], "versions": [2], "path": last})

    with Script(handle).sync() as c:
        assert c.admin.log("roll") == [1]
        assert c.admin.versions("roll") == [2]
        assert c.admin.health()["path"] == "ready"
        assert c.admin.service("roll")["version"] == 3
        c.admin.remove("roll")


def test_the_async_client_is_a_twin():
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public == {name for name in vars(AsyncClient) if not name.startswith("_")}


def test_the_async_client_awaits_calls():
    script = Script(answers(json=4))

    async def main() -> None:
        async with script.aio() as c:
            assert await c.roll(sides=20) == 4
            assert await c["roll"](20) == 4
            assert (await c.admin.service("roll"))["version"] == 3
            assert "sides" in inspect.signature(c.roll).parameters
            assert (await c.roll.raw()).body == b"4"
            assert await asyncio.gather(c.roll(), c.roll()) == [4, 4]
            with pytest.raises(ServiceNotFound):
                await c.nosuch()

    asyncio.run(main())


def test_the_async_client_streams_and_tells_progress():
    events = (("progress", {"fraction": 1, "text": "t"}), ("item", 1), ("item", 2), ("result", 3))
    told = []

    async def main() -> None:
        async with Script(says(*events)).aio() as c:
            assert [item async for item in c.count()] == [1, 2]
            assert await c.count() == [1, 2]
            roll = c.roll.options(progress=lambda *said: told.append(said))
            assert await roll() == 3

    asyncio.run(main())
    assert told == [(1.0, "t")]


def test_the_async_client_translates_troubles():
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    async def main() -> None:
        async with Script(fail).aio() as c:
            with pytest.raises(ServerUnreachable):
                await c.roll()
            with pytest.raises(ServerUnreachable):
                await c.count()

    asyncio.run(main())
