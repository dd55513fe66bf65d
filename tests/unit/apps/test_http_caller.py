"""Calls of a page over REST, against a small server that speaks as ours does."""

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from easymlnb.apps import http_caller
from easymlnb.apps.http_caller import HttpCall, HttpCaller, shared_loop, uploads
from easymlnb.contract.errors import CallCancelled, InvalidInput, ServerUnreachable
from easymlnb.contract.spec import Record
from easymlnb.forms.call_protocol import Failed, Item, Progress, Succeeded, Waiting
from easymlnb.services.definition import define

PATIENCE = 20.0


def event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def halved(value: float = 3.0) -> float:
    return value / 2


class Server(ThreadingHTTPServer):
    """Answers each call with ``script``: bytes to send, or events to wait for in between."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        super().__init__(address, Handler)
        self.script: list[Any] = []
        self.status = 200
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.stopped = threading.Event()
        self.unknown = 0
        """How many requests to stop a call come before it, as far as this server knows."""
        self.length: int | None = None
        self.ports: list[int] = []
        self.closes = 0
        """How many requests get no answer but the end of the connection."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/easymlnb/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(("POST", self.path, dict(self.headers), body))
        self.server.ports.append(self.client_address[1])
        if self.server.closes:
            self.server.closes -= 1
            self.close_connection = True
            return
        self.send_response(self.server.status)
        if self.server.length is not None:
            self.send_header("Content-Length", str(self.server.length))
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Set-Cookie", "visitor=one; Path=/")
        self.end_headers()
        for step in self.server.script:
            if isinstance(step, bytes):
                self.wfile.write(step)
                self.wfile.flush()
            else:
                step.wait(PATIENCE)

    def do_DELETE(self) -> None:
        self.server.seen.append(("DELETE", self.path, dict(self.headers), b""))
        known = self.server.unknown == 0
        self.server.unknown -= not known
        if known:
            self.server.stopped.set()
        self.send_response(204 if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(Handler, "protocol_version", "HTTP/1.0")
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def greet(name: str) -> str:
    return name


def started(url: str, **values: Any) -> tuple[Any, "queue.Queue[Any]"]:
    events: queue.Queue[Any] = queue.Queue()
    caller = HttpCaller(url, "secret", define(greet).spec)
    return caller.start(values or {"name": "Ada"}, events.put), events


def all_of(events: "queue.Queue[Any]") -> list[Any]:
    found: list[Any] = []
    while not found or not isinstance(found[-1], Succeeded | Failed):
        found.append(events.get(timeout=PATIENCE))
    return found


def test_a_call_tells_where_it_stands_and_ends_with_its_result(server):
    parts = [{"kind": "text", "title": "", "data": "x" * 500_000}]
    server.script = [
        b":\n\n", event("waiting", {"position": 2, "seconds": 4.5}),
        event("waiting", {"state": "asleep", "position": 1, "reason": "Pending"}),
        event("progress", {"fraction": 0.5, "text": "half"}),
        event("item", {"parts": parts[:1]}), event("unheard", {"of": 1}),
        event("result", {"parts": parts, "result": "x"}),
    ]  # fmt: skip
    running, events = started(server.url)
    waiting, asleep, progress, item, done = all_of(events)
    assert waiting == Waiting(2, 4.5)
    assert asleep == Waiting(1, None, "asleep", "Pending")
    assert progress == Progress(0.5, "half")
    assert item == Item(parts)
    assert (done.parts, done.request_id, done.result) == (parts, running.id, None)
    _, path, headers, body = server.seen[0]
    assert path == "/easymlnb/services/greet/view"
    assert headers["Authorization"] == "easymlnb-pass secret"
    assert headers["X-Request-Id"] == running.id
    assert "X-Easymlnb-Uploads" not in headers
    assert json.loads(body) == {"name": "Ada"}


def test_next_call_uses_the_same_connection(server):
    Handler.protocol_version = "HTTP/1.1"
    server.length = len(answer := event("result", {"parts": []}))
    server.script = [answer]
    for _ in range(3):
        assert isinstance(all_of(started(server.url)[1])[-1], Succeeded)
    assert len(set(server.ports)) == 1


def test_connection_that_the_server_closed_meanwhile_is_not_an_error(server):
    Handler.protocol_version = "HTTP/1.1"
    server.length = len(answer := event("result", {"parts": []}))
    server.script = [answer]
    all_of(started(server.url)[1])
    server.closes = 1  # after it has read the request
    assert isinstance(all_of(started(server.url)[1])[-1], Succeeded)
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in server.seen]
    assert keys[1] == keys[2]
    server.closes = 2
    assert isinstance(all_of(started(server.url)[1])[-1], Failed)


def test_call_that_was_stopped_is_not_sent_again(server):
    server.closes = 1
    events: queue.Queue[Any] = queue.Queue()
    call = HttpCall(HttpCaller(server.url, "secret", define(greet).spec), {}, events.put)
    call._stopping = True
    shared_loop().start(call.run())
    assert isinstance(all_of(events)[-1], Failed)
    assert len(server.seen) == 1


def test_nothing_that_one_answer_sets_goes_out_with_the_next_call(server):
    server.script = [event("result", {"parts": []})]
    for _ in range(2):
        all_of(started(server.url)[1])
    assert "Cookie" not in server.seen[1][2]


def test_files_that_were_sent_before_are_named(server):
    server.script = [event("result", {"parts": []})]
    values = {"a": {"upload": "one"}, "b": [{"c": {"upload": "two"}}, 3], "d": {"b64": "eA=="}}
    assert list(uploads(values)) == ["one", "two"]
    all_of(started(server.url, **values)[1])
    assert server.seen[0][2]["X-Easymlnb-Uploads"] == "one,two"


def test_an_error_keeps_its_code_its_fields_and_its_request(server):
    told = {"code": "invalid_input", "message": "No.", "details": [{"field": "name"}]}
    server.script = [event("error", {"error": {**told, "request_id": "theirs"}})]
    (failed,) = all_of(started(server.url)[1])
    assert isinstance(failed.error, InvalidInput)
    assert failed.error.details == [{"field": "name"}]
    assert failed.error.request_id == "theirs"
    server.status, server.script = 404, [json.dumps({"error": told}).encode()]
    (failed,) = all_of(started(server.url)[1])
    assert isinstance(failed.error, InvalidInput)


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[]", b""])
def test_an_answer_of_something_between_is_said_in_words(server, body):
    server.status, server.script = 502, [body]
    (failed,) = all_of(started(server.url)[1])
    assert isinstance(failed.error, ServerUnreachable)
    assert "html" not in failed.error.message


def test_a_stream_that_breaks_off_says_that_the_end_is_unknown(server):
    server.script = [event("progress", {"fraction": 0.1})]
    *_, failed = all_of(started(server.url)[1])
    assert isinstance(failed.error, ServerUnreachable)
    assert "your input is kept" in failed.error.message


def test_stopping_tells_the_server_which_call(server):
    server.script = [
        server.stopped, event("error", {"error": {"code": "cancelled", "message": "Stopped."}})
    ]  # fmt: skip
    running, events = started(server.url)
    running.stop()
    (failed,) = all_of(events)
    assert isinstance(failed.error, CallCancelled)
    assert deleted(server) == [f"/easymlnb/calls/{running.id}"]


def deleted(server: Server) -> list[str]:
    return [path for method, path, *_ in server.seen if method == "DELETE"]


def test_stopping_before_the_server_knows_of_the_call_is_said_again(server):
    server.unknown = 2
    server.script = [
        server.stopped, event("error", {"error": {"code": "cancelled", "message": "Stopped."}})
    ]  # fmt: skip
    running, events = started(server.url)
    running.stop()
    (failed,) = all_of(events)
    assert failed.error.message == "Stopped."
    assert deleted(server) == [f"/easymlnb/calls/{running.id}"] * 3


def test_a_call_that_does_not_heed_its_end_is_left(server, monkeypatch):
    monkeypatch.setattr(http_caller, "GRACE", 0.05)
    server.script = [event("progress", {"fraction": 0.1}), threading.Event()]
    running, events = started(server.url)
    events.get(timeout=PATIENCE)
    running.stop()
    (failed,) = all_of(events)
    assert isinstance(failed.error, CallCancelled)
    server.script[-1].set()


def test_a_server_that_restarts_is_waited_for(server, monkeypatch):
    monkeypatch.setattr(http_caller, "RETRY_SECONDS", 0.05)
    address = server.server_address[:2]
    server.shutdown()
    server.server_close()
    _, events = started(server.url)
    assert events.get(timeout=PATIENCE) == Progress(-1.0, http_caller.RESTARTING)
    back = Server(address)
    back.script = [event("result", {"parts": []})]
    thread = threading.Thread(target=back.serve_forever, daemon=True)
    thread.start()
    assert isinstance(all_of(events)[-1], Succeeded)
    back.shutdown()
    back.server_close()


def test_a_server_that_does_not_come_back_is_given_up(server, monkeypatch):
    monkeypatch.setattr(http_caller, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(http_caller, "PATIENCE", 0.1)
    server.shutdown()
    server.server_close()
    *_, failed = all_of(started(server.url)[1])
    assert isinstance(failed.error, ServerUnreachable)


def test_all_calls_share_one_thread(server):
    hold = threading.Event()
    server.script = [event("progress", {"fraction": 0.1}), hold, event("result", {"parts": []})]
    calls = [started(server.url) for _ in range(10)]
    for _, events in calls:
        events.get(timeout=PATIENCE)
    own = [one for one in threading.enumerate() if one.name == "easymlnb-rest"]
    assert len(own) == 1
    hold.set()
    for _, events in calls:
        assert isinstance(all_of(events)[-1], Succeeded)


@pytest.mark.parametrize(
    ("record", "public", "may"),
    [(None, False, True), (None, True, False), (Record(visitors=True), True, True)],
)
def test_who_may_flag_on_a_page(record: Record | None, public: bool, may: bool) -> None:
    spec = define(halved, record=record).spec
    assert HttpCaller("http://host/", "secret", spec, public=public).may_flag is may


def test_a_flag_goes_to_the_server_and_comes_back(server: Server) -> None:
    caller = HttpCaller(server.url, "secret", define(halved).spec)
    done: queue.Queue[str] = queue.Queue()
    server.status, server.script = 201, [b"{}"]
    caller.flag("request-1", "wrong", done.put)
    assert done.get(timeout=PATIENCE) == ""
    _, path, headers, body = server.seen[0]
    assert path == "/easymlnb/services/halved/flag"
    assert headers["Authorization"] == "easymlnb-pass secret"
    assert json.loads(body) == {"request_id": "request-1", "reason": "wrong"}
    server.status = 429
    error = {"code": "too_many_flags", "message": "Later."}
    server.script = [json.dumps({"error": error}).encode()]
    caller.flag("request-1", "wrong", done.put)
    assert done.get(timeout=PATIENCE) == "Later."
