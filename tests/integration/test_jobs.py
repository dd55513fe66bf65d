"""Jobs on a real server: submit, follow, cancel, retry, and survive kills of workers and server."""

import asyncio
import http.client
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner

import easymlnb as ml
from easymlnb.cli.app import app
from support.invariants import workers
from support.notebooks import make_notebook
from support.server import RunningServer, free_port, running_server
from support.webhook_receiver import receiving

pytestmark = pytest.mark.timeout(300)

SERVICES = """
import os, time
from pathlib import Path
import easymlnb as ml

@ml.service
def double(x: int) -> int:
    print("doubling", x)
    return 2 * x

@ml.service
def fails(times: int = 99) -> int:
    job = ml.job()
    if job.attempt <= times:
        raise ValueError(f"attempt {job.attempt} fails")
    return job.attempt

@ml.service
def slow(folder: str, steps: int = 1) -> list[int]:
    '''Take steps while files allow them, and say which attempt of the job took each.'''
    job, marks = ml.job(), Path(folder)
    checkpoint = ml.checkpoint()
    state = (checkpoint.load() or {"taken": []})["taken"]
    (marks / f"pid-{job.attempt}").write_text(str(os.getpid()))
    for step in range(len(state), steps):
        while not (marks / f"go-{step}").exists():
            time.sleep(0.01)
        print("step", step, flush=True)
        state.append(job.attempt)
        job.metric("loss", 1 / (step + 1), step=step)
        checkpoint.save(step + 1, taken=state)
        ml.progress((step + 1) / steps, f"step {step}")
        (marks / f"done-{step}").touch()
    job.save_file("notes/log.txt", "all done")
    return state

@ml.service(timeout=1, on_timeout="job")
def patient(folder: str) -> str:
    while folder and not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return "done"

@ml.service(idempotent=True)
def sturdy(folder: str) -> int:
    job, marks = ml.job(), Path(folder)
    (marks / f"pid-{job.attempt}").write_text(str(os.getpid()))
    while job.attempt == 1 and not (marks / "go").exists():
        time.sleep(0.01)
    return job.attempt

@ml.service
def doomed(folder: str) -> None:
    (Path(folder) / "pid-1").write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)
"""


CONFIG = """
import asyncio, contextvars
from sqlalchemy import event
from sqlalchemy.engine import Engine

task, plain = contextvars.ContextVar("task", default=""), asyncio.to_thread

async def to_thread(*args, **options):
    task.set(asyncio.current_task().get_name())
    return await plain(*args, **options)

asyncio.to_thread = to_thread

@event.listens_for(Engine, "before_cursor_execute")
def note(connection, cursor, statement, *rest):
    with open({file!r}, "a") as file:
        file.write(task.get() + "\\n")
"""
"""Configuration of a server that notes which task makes each statement of the database.

Those of background work have the name of the work, those of requests a number.
"""


class Mailbox:
    """Keeps the mail that arrives."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages.append(envelope.content)
        return "250 OK"


@pytest.fixture(scope="module")
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    made = Mailbox()
    controller = Controller(made, "127.0.0.1", free_port(), server_hostname="mx")
    controller.start()
    yield made, controller.port
    controller.stop()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, mailbox: tuple[Mailbox, int]
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("jobs")
    options = (
        "--EasyMLNB.webhook_hosts=localhost",
        "--EasyMLNB.webhook_hosts=127.0.0.0/8",
        "--EasyMLNB.webhook_hosts=::1",
        "--EasyMLNB.smtp_host=127.0.0.1",
        f"--EasyMLNB.smtp_port={mailbox[1]}",
        "--EasyMLNB.smtp_tls=none",
        "--EasyMLNB.mail_from=easymlnb@example.org",
        "--EasyMLNB.mail_domains=example.org",
    )
    config = folder / "config" / "jupyter_server_config.py"
    config.parent.mkdir()
    config.write_text(CONFIG.format(file=str(folder / "statements")))
    with running_server(folder, make_notebook(SERVICES), options=options) as made:
        yield made
        made.stop()
        assert workers(made) == {}


def submit(server: RunningServer, name: str, query: str = "", **values: Any) -> str:
    answer = server.http.post(f"services/{name}/jobs{query}", json=values)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"].endswith(f"jobs/{answer.json()['id']}")
    return str(answer.json()["id"])


def job(server: RunningServer, id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.http.get(f"jobs/{id}").json()
    return found


def ended(server: RunningServer, id: str) -> dict[str, Any]:
    """Wait for the end of a job."""

    def look() -> dict[str, Any] | None:
        found = server.http.get(f"jobs/{id}", params={"wait": 20}).json()
        return found if found["state"] not in ("queued", "running") else None

    found: dict[str, Any] = server.wait_for(look, f"the job did not end: {job(server, id)}")
    return found


def result(server: RunningServer, id: str) -> httpx.Response:
    return server.http.get(f"jobs/{id}/result")


def pid(server: RunningServer, folder: Path, attempt: int = 1) -> int:
    file = folder / f"pid-{attempt}"
    server.wait_for(lambda: file.exists() and file.read_text(), "the function did not begin")
    return int(file.read_text())


def states(server: RunningServer, id: str, last: int = 0) -> list[tuple[int, str]]:
    """Return the state events of a job that has ended."""
    headers = {"Last-Event-ID": str(last)}
    text = server.http.get(f"jobs/{id}/events", headers=headers).text
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if lines.get("event") == "state":
            found.append((int(lines["id"]), json.loads(lines["data"])["state"]))
    return found


def test_a_call_becomes_a_job(server: RunningServer) -> None:
    id = submit(server, "double", x=21)
    done = ended(server, id)
    assert (done["state"], done["attempt"], done["progress"]) == ("succeeded", 1, 1.0)
    answer = result(server, id)
    assert (answer.json(), answer.headers["X-Easymlnb-Version"]) == (42, "1")
    assert server.http.get(f"jobs/{id}/log").text == "doubling 21\n"
    assert server.http.get(f"jobs/{id}/log", params={"from": 9}).text == "21\n"
    events = states(server, id)
    assert [state for _, state in events] == ["queued", "running", "succeeded"]
    assert states(server, id, events[1][0]) == events[2:]
    assert server.http.get(f"jobs/{id}/events?after={events[-1][0]}").status_code == 204
    listed = server.http.get("jobs", params={"service": "double", "state": "succeeded"}).json()
    assert id in [one["id"] for one in listed["jobs"]]
    log = server.http.get("services/double/log").json()
    assert [one["entry"] for one in log["entries"]][-1:] == ["job"]
    assert server.http.delete(f"jobs/{id}").status_code == 204
    assert server.http.get(f"jobs/{id}").json()["error"]["code"] == "job_not_found"


def test_prefer_waits_for_the_result_or_not(server: RunningServer, tmp_path: Path) -> None:
    call = "services/double/call"
    answer = server.http.post(call, json={"x": 4}, headers={"Prefer": "wait=60"})
    assert (answer.status_code, answer.json()) == (200, 8)
    assert answer.headers["Preference-Applied"] == "wait=60"
    headers = {"Prefer": "wait=60", "Accept": "text/event-stream"}
    assert server.http.post(call, json={"x": 4}, headers=headers).json() == 8
    answer = server.http.post(call, json={"x": 5}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert ended(server, answer.json()["id"])["state"] == "succeeded"
    answer = server.http.post(call, json={"x": "five"}, headers={"Prefer": "wait=60"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")
    values = {"folder": str(tmp_path)}
    answer = server.http.post("services/slow/call", json=values, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert result(server, answer.json()["id"]).json()["error"]["code"] == "job_not_finished"
    (tmp_path / "go-0").touch()
    assert ended(server, answer.json()["id"])["attempt"] == 1
    assert result(server, answer.json()["id"]).json() == [1]


def test_a_service_may_turn_overdue_calls_into_jobs(server: RunningServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:  # the only worker runs one, and the other one waits
        both = list(pool.map(lambda _: server.call("patient", folder=str(tmp_path)), range(2)))
    assert [answer.status_code for answer in both] == [202, 202]
    (tmp_path / "go").touch()
    done = [ended(server, answer.json()["id"]) for answer in both]
    assert [one["state"] for one in done] == ["succeeded"] * 2
    began = sorted(states(server, one["id"])[0][1] for one in done)
    # On a busy machine, not even the first one may have reached the worker in time.
    assert began in (["queued", "running"], ["queued", "queued"])
    assert all(len(one["attempts"]) == 1 for one in done)
    with ml.connect(server.url, server.token) as client:
        assert client.patient(folder=str(tmp_path)) == "done"


def test_a_running_call_goes_on_as_a_job(server: RunningServer, tmp_path: Path) -> None:
    def promoted(folder: Path, steps: int) -> tuple[str, int]:
        values = {"folder": str(folder), "steps": steps}
        answer = server.http.post("services/slow/call", json=values, headers={"Prefer": "wait=1"})
        assert (answer.status_code, answer.json()["state"]) == (202, "running"), answer.text
        return answer.json()["id"], pid(server, folder, 0)  # it began as a plain call

    id, worker = promoted(tmp_path, 2)
    assert server.call("double", x=1).json() == 2  # another worker serves in its place
    (tmp_path / "go-0").touch()
    server.wait_for(lambda: job(server, id)["progress"] == 0.5, "there is no progress")
    server.stop(signal.SIGKILL)
    (tmp_path / "go-1").touch()
    server.wait_for((tmp_path / "done-1").exists, "the call waits for its server")
    server.start()
    done = ended(server, id)
    assert [one["outcome"] for one in done["attempts"]] == ["succeeded"]
    assert result(server, id).json() == [1, 1]
    assert [state for _, state in states(server, id)] == ["running", "succeeded"]
    assert server.http.get(f"jobs/{id}/log").text == "step 0\nstep 1\n"
    assert [one["step"] for one in done["metrics"]] == [0, 1]
    assert [one["label"] for one in done["files"]] == ["notes/log.txt"]
    folder = tmp_path / "canceled"
    folder.mkdir()
    id, worker = promoted(folder, 1)
    assert server.http.post(f"jobs/{id}/cancel").status_code == 202
    assert ended(server, id)["state"] == "cancelled"
    server.wait_for(lambda: not psutil.pid_exists(worker), "its worker is left")
    assert server.http.post(f"jobs/{id}/retry").status_code == 202  # the input is stored
    (folder / "go-0").touch()


def test_jobs_in_python_and_in_a_terminal(server: RunningServer, tmp_path: Path) -> None:
    with ml.connect(server.url, server.token) as client:
        job = client.slow.options(attempts=2).submit(str(tmp_path), steps=2)
        for step in range(2):
            (tmp_path / f"go-{step}").touch()
        events = list(job.events())
        assert [one["state"] for one in events if one["kind"] == "state"][-1] == "succeeded"
        assert {"log", "metric", "file", "checkpoint"} <= {one["kind"] for one in events}
        assert job.result() == [1, 1] and job.progress == 1.0
        assert job.log == "step 0\nstep 1\n"
        assert job.file(job.files[0]).data == b"all done"
        assert client.jobs[job.id].state == "succeeded"
        assert job.id in [one.id for one in client.jobs.list(service="slow")]
        assert client.jobs[job.id].retry().wait().result() == [1, 1]
        (tmp_path / "go-1").unlink()
        stopped = client.slow.submit(str(tmp_path), steps=2)
        assert any(one["kind"] == "checkpoint" for one in stopped.events())
        stopped.cancel()
        assert stopped.wait().state == "cancelled"
        (tmp_path / "go-1").touch()
        continued = stopped.retry().wait()
        assert continued.result() == [1, 1]
        assert continued.log == "step 1\n", "it continues from the checkpoint"

    async def submit_async() -> int:
        async with ml.connect_async(server.url, server.token) as client:
            found: int = await (await client.double.submit(x=5))
            return found

    assert asyncio.run(submit_async()) == 10
    target = ["--url", server.url, "--token", server.token]
    run = CliRunner().invoke
    assert job.id in run(app, ["jobs", "list", *target]).stdout
    shown = run(app, ["jobs", "show", job.id, "--follow", *target])
    assert "succeeded" in shown.stdout and shown.exit_code == 0
    assert run(app, ["jobs", "log", job.id, "--follow", *target]).stdout == "step 0\nstep 1\n"
    again = run(app, ["jobs", "retry", job.id, *target]).stdout.strip()
    assert ended(server, again)["state"] == "succeeded"
    assert run(app, ["jobs", "cancel", job.id, *target]).exit_code == 1
    page = server.http.get(f"jobs/{job.id}/page").text
    assert "notes/log.txt" in page and "step 1" in page and "succeeded" in page
    assert job.id in server.http.get("jobs/page", params={"state": "succeeded"}).text


def test_events_arrive_once_over_many_connections(server: RunningServer, tmp_path: Path) -> None:
    id = submit(server, "slow", folder=str(tmp_path), steps=2)
    (tmp_path / "go-0").touch()
    seen: list[int] = []
    for cut in range(50):
        if cut == 40:
            (tmp_path / "go-1").touch()
            ended(server, id)
        headers = {"Last-Event-ID": str(seen[-1] if seen else 0)}
        with server.http.stream("GET", f"jobs/{id}/events", headers=headers) as stream:
            for line in stream.iter_lines():
                if line.startswith("id: "):
                    seen.append(int(line.removeprefix("id: ")))
                if line and not line.startswith("retry"):
                    break  # the connection is cut
    assert stream.status_code == 204  # nothing is left
    assert seen == list(range(1, len(seen) + 1)) and len(seen) >= 3
    assert len(states(server, id)) == 3


@pytest.mark.parametrize("route", ["jobs", "batches"])
def test_gigabytes_are_refused_before_they_are_sent(server: RunningServer, route: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Content-Length": str(3 * 2**30), "Authorization": f"token {server.token}"}
    connection.request("POST", f"/easymlnb/services/double/{route}", headers=headers)
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    assert (answer.status, error["code"]) == (413, "too_large")
    assert "is over the limit of" in error["message"]
    connection.close()


def test_a_key_means_one_job(server: RunningServer) -> None:
    key = {"Idempotency-Key": "same"}
    ids = [
        server.http.post("services/double/jobs", json={"x": x}, headers=key).json()
        for x in (1, 1, 2)
    ]
    assert ids[0]["id"] == ids[1]["id"]
    assert ids[2]["error"]["code"] == "idempotency_key_conflict"
    ended(server, ids[0]["id"])


@pytest.mark.parametrize(
    "query", ["attempts=0", "attempts=1.5", "attempts=21", "timeout=-1", "timeout=nan", "lane=no"]
)
def test_options_that_no_job_can_have(server: RunningServer, query: str) -> None:
    answer = server.http.post(f"services/double/jobs?{query}", json={"x": 1})
    assert answer.status_code == 400 and query.partition("=")[2] in answer.text, answer.text
    headers = {"Prefer": "respond-async", "X-Timeout": "-1"}
    assert server.http.post("services/double/call", json={}, headers=headers).status_code == 400
    answer = server.http.get("jobs/garbage")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")


def test_a_job_that_raises_is_tried_again_and_retried(server: RunningServer) -> None:
    id = submit(server, "fails", "?attempts=2", times=1)
    done = ended(server, id)
    assert [one["outcome"] for one in done["attempts"]] == ["failed", "succeeded"]
    assert result(server, id).json() == 2
    failed = submit(server, "fails")
    done = ended(server, failed)
    assert (done["state"], done["error"]["code"]) == ("failed", "call_failed")
    assert result(server, failed).status_code == 500
    again = server.http.post(f"jobs/{failed}/retry").json()["id"]
    done = ended(server, again)
    assert (done["state"], done["retry_of"]) == ("failed", failed)


def test_jobs_are_canceled_in_any_state(server: RunningServer, tmp_path: Path) -> None:
    later = submit(server, "double", f"?not_before={time.time() + 3600:.0f}", x=1)
    assert job(server, later)["position"] == 1
    assert server.http.post(f"jobs/{later}/cancel").json()["state"] == "cancelled"
    running = submit(server, "slow", folder=str(tmp_path))
    pid(server, tmp_path)
    assert server.http.post(f"jobs/{running}/cancel").status_code == 202
    assert ended(server, running)["state"] == "cancelled"
    answer = result(server, running)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "cancelled")
    assert "Retry-After" not in answer.headers  # it will never be there
    refused = server.http.post(f"jobs/{running}/cancel")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "job_ended")


def test_jobs_of_a_removed_service_end(server: RunningServer, tmp_path: Path) -> None:
    running = submit(server, "doomed", folder=str(tmp_path))
    later = submit(server, "doomed", f"?not_before={time.time() + 3600:.0f}", folder="")
    process = pid(server, tmp_path)
    assert server.http.delete("services/doomed").status_code == 204
    for id in (running, later):
        done = ended(server, id)
        assert (done["state"], done["error"]["code"]) == ("failed", "service_not_found")
        assert result(server, id).json()["error"]["message"] == "The job's service was removed."
    server.wait_for(lambda: not psutil.pid_exists(process), "the job's worker runs on")


def test_a_killed_worker_costs_a_loss(server: RunningServer, tmp_path: Path) -> None:
    id = submit(server, "sturdy", folder=str(tmp_path))
    os.kill(pid(server, tmp_path), signal.SIGKILL)
    done = ended(server, id)
    assert [one["outcome"] for one in done["attempts"]] == ["lost", "succeeded"]
    folder = tmp_path / "slow"
    folder.mkdir()
    id = submit(server, "slow", folder=str(folder))
    os.kill(pid(server, folder), signal.SIGKILL)
    done = ended(server, id)
    assert (done["state"], done["error"]["code"]) == ("failed", "worker_lost")


FRAGILE = """
import os, signal
from pathlib import Path
import easymlnb as ml

deaths = Path({file!r})
if left := int(deaths.read_text()):
    deaths.write_text(str(left - 1))
    os.kill(os.getpid(), signal.SIGKILL)

@ml.service
def fragile() -> str:
    return "done"
"""


@pytest.mark.parametrize("deaths", [2, 3])
def test_a_kernel_that_is_killed_at_its_start_costs_a_loss(
    server: RunningServer, tmp_path: Path, deaths: int
) -> None:
    file = tmp_path / "deaths"
    file.write_text("0")
    found = server.publish(make_notebook(FRAGILE.format(file=str(file))), "fragile.ipynb")
    assert found["state"] == "ready", found
    file.write_text(str(deaths))
    done = ended(server, submit(server, "fragile"))
    if deaths == 2:  # the function has not begun, so it is no harm to start another kernel
        assert [one["outcome"] for one in done["attempts"]] == ["lost", "lost", "succeeded"]
    else:
        assert (done["state"], done["error"]["code"]) == ("failed", "deployment_failed")
        assert "Cell 1 of the notebook ended the kernel" in done["error"]["message"]
    assert server.http.delete("services/fragile").status_code == 204


def test_jobs_outlive_their_server(server: RunningServer, tmp_path: Path) -> None:
    id = submit(server, "slow", folder=str(tmp_path), steps=4)
    (tmp_path / "go-0").touch()
    server.wait_for(lambda: job(server, id)["progress"] == 0.25, "there is no progress")
    worker = pid(server, tmp_path)
    queued = submit(server, "double", f"?not_before={time.time() + 1:.0f}", x=3)
    server.stop(signal.SIGKILL)
    (tmp_path / "go-1").touch()  # the function continues without a server
    server.wait_for((tmp_path / "done-1").exists, "the job waits for its server")
    server.start()
    assert result(server, queued if ended(server, queued) else "").json() == 6
    server.wait_for(lambda: job(server, id)["state"] == "running", "the job is not adopted")
    server.stop()  # an ordinary stop leaves it running, too
    server.start()
    for step in (2, 3):
        (tmp_path / f"go-{step}").touch()
    done = ended(server, id)
    assert [one["outcome"] for one in done["attempts"]] == ["succeeded"]
    assert result(server, id).json() == [1, 1, 1, 1]
    assert pid(server, tmp_path) == worker
    log = server.http.get(f"jobs/{id}/log").text
    assert log == "".join(f"step {step}\n" for step in range(4))
    assert [one["step"] for one in done["metrics"]] == [0, 1, 2, 3]
    (file,) = done["files"]
    answer = server.http.get(file["url"])
    assert (answer.text, file["label"]) == ("all done", "notes/log.txt")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    log = server.log
    at = log.find("Traceback")
    assert at < 0, log[max(0, at - 1500) : at + 3000]


def test_a_result_is_there_although_worker_and_server_were_killed(
    server: RunningServer, tmp_path: Path
) -> None:
    id = submit(server, "slow", folder=str(tmp_path))
    worker = pid(server, tmp_path)
    server.stop(signal.SIGKILL)
    (tmp_path / "go-0").touch()
    ends = server.folder / "data" / "easymlnb" / "jobs"
    server.wait_for(lambda: list(ends.glob(f"*/.easymlnb-jobs/{id}-1/end")), "no result is kept")
    os.kill(worker, signal.SIGKILL)
    server.start()
    assert ended(server, id)["state"] == "succeeded"
    assert result(server, id).json() == [1]


def statements_of_requests(server: RunningServer) -> int:
    tasks = (server.folder / "statements").read_text().split("\n")
    return sum(name.startswith("Task-") for name in tasks)


def test_plain_calls_make_no_statement(server: RunningServer) -> None:
    later = f"?not_before={time.time() + 3600:.0f}"
    before = statements_of_requests(server)
    queued = [submit(server, "double", later, x=n) for n in range(5)]
    assert statements_of_requests(server) > before  # so that others would be seen
    before = statements_of_requests(server)
    for n in range(50):
        assert server.call("double", x=n).json() == 2 * n
        headers = {"Accept": "text/event-stream"}  # not on the fast path
        assert server.http.post("services/double/call", json={"x": n}, headers=headers).is_success
        headers = {"Prefer": "wait=60"}  # a job only if it takes long
        assert server.http.post("services/double/call", json={"x": n}, headers=headers).is_success
    assert statements_of_requests(server) == before
    for id in queued:
        server.http.delete(f"jobs/{id}")


def test_schedules_and_webhooks_outlive_their_server(
    server: RunningServer, mailbox: tuple[Mailbox, int]
) -> None:
    target = ["--url", server.url, "--token", server.token]

    def run(*command: str) -> str:
        done = CliRunner().invoke(app, [*command, *target])
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    with receiving() as receiver, ml.connect(server.url, server.token) as client:
        own = client.double.options(webhook=receiver.url, webhook_events=["job.failed"])
        assert own.submit(x=1).wait().webhook_secret.startswith("whsec_")  # it does not fail
        receiver.answers = [503]
        secret = run("webhooks", "add", receiver.url, "--service", "double")
        client.admin.create_webhook("mailto:ann@example.org", service="double")
        schedule = run("schedules", "add", "double", "0 6 * * *", "x=21", "--zone", "Asia/Tokyo")
        first = run("schedules", "run", schedule)
        assert ended(server, first)["schedule"] == schedule
        failed = server.wait_for(
            lambda: [one for one in client.admin.deliveries(job=first) if one["error"]],
            "no try failed",
        )
        assert (failed[0]["state"], failed[0]["status"]) == ("pending", 503)
        server.wait_for(lambda: mailbox[0].messages, "no mail")
        server.stop(signal.SIGKILL)
        state = server.folder / "data" / "easymlnb" / "easymlnb.sqlite"
        with sqlite3.connect(state) as rows:  # the server was away at three ticks
            rows.execute("UPDATE schedules SET next = ?", (time.time() - 3 * 86400,))
        rows.close()
        server.start()
        missed = server.wait_for(
            lambda: [one for one in client.jobs.list(service="double") if one.id > first],
            "the missed tick made no job",
        )
        assert missed[0].wait().result() == 42
        server.wait_for(
            lambda: all(one["state"] == "delivered" for one in client.admin.deliveries()),
            f"not delivered: {client.admin.deliveries()}",
        )
        (now,) = client.admin.schedules("double")
        assert (now["runs"], now["last_job"], now["paused"]) == (2, missed[0].id, False)
        assert len(client.jobs.list(service="double")) >= 2 and len(missed) == 1
        assert len(receiver.messages) == 3 and len(set(receiver.ids)) == 2
        own = client.double.options(webhook=receiver.url, webhook_secret=secret)
        single = own.submit(x=2)
        assert single.webhook_secret == secret
        server.wait_for(
            lambda: (
                len(client.admin.deliveries(job=single.id)) == 3
                and all(one["state"] == "delivered" for one in client.admin.deliveries())
            ),
            "the webhook of a single job was not called",
        )
        assert len(receiver.messages) == 5
        for headers, body in receiver.messages:
            assert Webhook(secret).verify(body, headers)["type"] == "job.succeeded"
        assert len(mailbox[0].messages) == 3
        assert b"double: job succeeded" in mailbox[0].messages[0]
        page = server.http.get(f"jobs/{first}/page").text
        assert "Webhooks and mail" in page and "mailto:ann@example.org" in page
        for name in ("schedules", "webhooks"):
            assert "double" in server.http.get(f"{name}/page").text
        assert schedule in run("schedules", "list")
        assert receiver.url in run("webhooks", "list")
        assert first in run("webhooks", "deliveries", "--job", first)
        run("schedules", "pause", schedule)
        assert "paused" in run("schedules", "list")
        run("schedules", "resume", schedule)
        run("schedules", "remove", schedule)
        for one in client.admin.webhooks():
            client.admin.remove_webhook(one["id"])
    refused = server.http.post("webhooks", json={"url": "https://hooks.example.org/"})
    assert refused.status_code == 400 and "webhook_hosts" in refused.json()["error"]["message"]
    never = {"service": "double", "cron": "0 0 30 2 *", "inputs": {"x": 1}}
    refused = server.http.post("schedules", json=never)
    assert refused.status_code == 400 and "30 2" in refused.json()["error"]["message"]


def test_a_queued_job_says_that_its_kernel_starts(session_server: RunningServer) -> None:
    slow = "import time\nimport easymlnb as ml\ntime.sleep(3)"
    service = "@ml.service\ndef slow_start() -> int:\n    return 1"
    found = session_server.publish(make_notebook(slow, service), "slow_start.ipynb")
    assert found["state"] == "ready", found
    job = session_server.http.post("services/slow_start/jobs", json={}).json()["id"]

    def starting() -> bool:
        shown = session_server.http.get(f"jobs/{job}").json()
        return bool(shown["state"] == "queued" and "kernel is starting" in shown["reason"])

    session_server.wait_for(starting, "the job does not say what it waits for")
    ended = session_server.http.get(f"jobs/{job}", params={"wait": 60}).json()
    assert (ended["state"], ended["reason"]) == ("succeeded", "")
    session_server.http.delete("services/slow_start")
