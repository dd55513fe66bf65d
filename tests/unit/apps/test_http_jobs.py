"""Jobs of a page over HTTP, against a small server that answers from a script."""

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from easymlnb.apps import http_jobs, permalinks
from easymlnb.apps.http_caller import HttpCaller
from easymlnb.forms.call_protocol import Failed, HandOver, JobStatus, Succeeded
from easymlnb.services.definition import define

PATIENCE = 20.0
ID = "01JQ0000000000000000000000"
PATH = f"/easymlnb/jobs/{ID}"


def shown(state: str, **known: Any) -> dict[str, Any]:
    job = {"state": state, "progress": 0.0, "progress_text": "", "reason": "", "position": None}
    return job | {"error": None, "began": 1.0, "ended": 3.5} | known


class Server(ThreadingHTTPServer):
    """Answers with ``answers`` by method and path; the last one of a list is repeated."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, path, dict(self.headers)))
        script = self.server.answers[self.command, path]
        status, content = script.pop(0) if len(script) > 1 else script[0]
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http_jobs, "RETRY_SECONDS", 0.01)
    made = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def greet(name: str) -> str:
    return name


def caller_of(server: Server, **options: Any) -> HttpCaller:
    url = f"http://127.0.0.1:{server.server_address[1]}/easymlnb/"
    return HttpCaller(url, "secret", define(greet).spec, **options)


def until_ended(statuses: "queue.Queue[JobStatus]") -> list[JobStatus]:
    found: list[JobStatus] = []
    while not found or not found[-1].ended:
        found.append(statuses.get(timeout=PATIENCE))
    return found


def test_a_job_is_submitted_once_and_followed_over_failures(server: Server) -> None:
    view = ("POST", "/easymlnb/services/greet/view")
    server.answers = {
        view: [(503, {}), (202, {"id": ID})],
        ("GET", PATH): [
            (200, shown("queued", position=2, reason="Starting")),
            (502, {}),
            (200, shown("running", progress=0.5, progress_text="half")),
            (200, shown("succeeded", progress=1.0)),
        ],
        ("GET", f"{PATH}/result"): [(200, {"parts": [{"kind": "text"}]})],
    }
    statuses: queue.Queue[JobStatus] = queue.Queue()
    caller = caller_of(server)
    caller.submit_job({"name": "Ada", "file": {"upload": "one"}}, statuses.put)
    found = until_ended(statuses)
    assert JobStatus(ID, "queued", 0.0, "Starting", 2) in found
    assert JobStatus(ID, "running", 0.5, "half") in found
    assert found[-1] == JobStatus(ID, "succeeded", 1.0)
    sent = [headers for method, path, headers in server.seen if (method, path) == view]
    assert len({headers["Idempotency-Key"] for headers in sent}) == 1
    assert (sent[0]["Prefer"], sent[0]["X-Easymlnb-Uploads"]) == ("respond-async", "one")
    events: queue.Queue[Any] = queue.Queue()
    caller.read_job(ID, events.put)
    assert events.get(timeout=PATIENCE) == Succeeded([{"kind": "text"}], 2.5)


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (202, {"id": ID}, HandOver(ID)),
        (400, {"error": {"message": "It is batched."}}, HandOver("", "It is batched.", True)),
        (503, {"error": {"message": "The lane is full."}}, HandOver("", "The lane is full.")),
        (404, {"error": {"message": "It has ended."}}, HandOver("", "It has ended.")),
    ],
)
def test_a_running_call_is_handed_over(
    server: Server, status: int, content: Any, expected: HandOver
) -> None:
    server.answers = {("POST", "/easymlnb/calls/one/job"): [(status, content)]}
    done: queue.Queue[HandOver] = queue.Queue()
    caller_of(server).hand_over("one", done.put)
    assert done.get(timeout=PATIENCE) == expected


def test_a_canceled_job(server: Server) -> None:
    cancelled = threading.Event()
    server.answers = {
        ("GET", PATH): [(200, shown("running", progress_text="first"))],
        ("POST", f"{PATH}/cancel"): [(202, {})],
    }
    statuses: queue.Queue[JobStatus] = queue.Queue()

    def on_status(status: JobStatus) -> None:
        statuses.put(status)
        cancelled.set()

    job = caller_of(server).follow_job(ID, on_status)
    assert cancelled.wait(PATIENCE)
    server.answers["GET", PATH] = [(200, shown("cancelled", error={"message": "canceled"}))]
    job.cancel()
    last = until_ended(statuses)[-1]
    assert (last.state, last.problem) == ("cancelled", "")


@pytest.mark.parametrize(
    ("status", "content", "problem"),
    [
        (422, {"error": {"message": "Name is missing."}}, "Name is missing."),
        (403, "no object", "could not be read"),
    ],
)
def test_a_refused_job_says_why(server: Server, status: int, content: Any, problem: str) -> None:
    server.answers = {("POST", "/easymlnb/services/greet/view"): [(status, content)]}
    statuses: queue.Queue[JobStatus] = queue.Queue()
    caller_of(server).submit_job({"name": "Ada"}, statuses.put)
    (last,) = until_ended(statuses)
    assert last.state == "failed" and problem in last.problem


def test_a_job_that_is_gone(server: Server) -> None:
    server.answers = {
        ("GET", PATH): [(404, {})],
        ("GET", f"{PATH}/result"): [(410, {"error": {"message": "It has expired."}})],
    }
    statuses: queue.Queue[JobStatus] = queue.Queue()
    caller = caller_of(server)
    caller.follow_job(ID, statuses.put)
    assert until_ended(statuses)[-1].problem == http_jobs.GONE
    events: queue.Queue[Any] = queue.Queue()
    caller.read_job(ID, events.put)
    event = events.get(timeout=PATIENCE)
    assert isinstance(event, Failed) and "expired" in event.error.message


def test_visitors_without_a_login_have_jobs_too(server: Server) -> None:
    assert caller_of(server).may_run_jobs
    assert caller_of(server, public=True).may_run_jobs


def test_jobs_that_a_browser_stores() -> None:
    spec = define(greet).spec
    other = ID[:-1] + "1"
    raw = permalinks.stored_jobs(spec, [(ID, {"name": "Ada"}), ("", {}), (other, {})])
    assert permalinks.read_jobs(raw) == [(other, {}), (ID, {"name": "Ada"})]
    assert permalinks.stored_jobs(spec, [("", {})]) == ""
    for invalid in ("", "{", "3", '[["../x", "{}"]]', '[["x"]]', f'[["{ID}", 3]]', "[" * 10**5):
        assert [values for _, values in permalinks.read_jobs(invalid)] in ([], [{}])
