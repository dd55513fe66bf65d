"""Workers that outlive a killed server: taken over by the next one, or ended automatically."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from support.invariants import check, data, workers
from support.notebooks import make_notebook
from support.server import RunningServer, free_port, running_server

pytestmark = pytest.mark.timeout(400)  # servers and kernels start several times

SERVICES = """
import os, subprocess, time
from pathlib import Path
import easymlnb as ml
starts = Path({starts!r})
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
time.sleep(1)

@ml.service(workers=2, timeout=60)
def who(seconds: float = 0.0, started: str = "") -> int:
    if started:
        Path(started).touch()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid()

@ml.service(timeout=60)
def clings(started: str) -> int:
    Path(started).touch()
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            pass

@ml.service
def breeds() -> int:
    return subprocess.Popen(["sleep", "600"], start_new_session=True).pid
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[RunningServer]:
    """A server with two workers, which wait for the next one however slow this machine is."""
    notebook = make_notebook(SERVICES.format(starts=str(tmp_path / "starts")))
    with running_server(tmp_path, notebook, options=("--EasyMLNB.orphan_timeout=600",)) as made:
        made.wait_for(lambda: len(pids(made)) == 2, "there are not two workers", 180)
        yield made


def pids(server: RunningServer) -> set[int]:
    """Return the process ids of the workers that take calls."""
    stats = server.http.get("services/who").json()["stats"]
    return (
        {pid for found in workers(server).values() for pid in found[:1]}
        if (stats["workers"] == 2)
        else set()
    )


def killed_and_started(server: RunningServer) -> None:
    server.stop(signal.SIGKILL)
    server.start()


def ask(server: RunningServer, name: str, **values: Any) -> httpx.Response | httpx.TransportError:
    url, headers = f"{server.url}easymlnb/services/{name}/call", dict(server.http.headers)
    try:
        return httpx.post(url, json=values, headers=headers, timeout=60)
    except httpx.TransportError as error:
        return error


def test_workers_are_taken_over_and_run_nothing_again(
    serving: RunningServer, tmp_path: Path
) -> None:
    before = pids(serving)
    for file in (*data(serving).glob("workers/*.json"), data(serving) / "server.json"):
        assert file.stat().st_mode & 0o077 == 0
    log = serving.http.get(f"bundles/{serving.http.get('services/who').json()['bundle']}/notebook")
    for _ in range(2):  # the secret is good for the next server, and for the one after it
        killed_and_started(serving)
        assert serving.call("who").json() in before
        serving.wait_for(lambda: pids(serving) == before, "the workers are others")
    assert (tmp_path / "starts").read_text() == "xx"
    bundle = serving.http.get("services/who").json()["bundle"]
    assert serving.http.get(f"bundles/{bundle}/notebook").content == log.content
    check(serving, 2, "who")


def test_server_killed_under_load_answers_or_cuts_every_call(
    serving: RunningServer, tmp_path: Path
) -> None:
    before = pids(serving)
    started = tmp_path / "started"
    with ThreadPoolExecutor(8) as pool:
        long = pool.submit(ask, serving, "who", seconds=50, started=str(started))
        short = [pool.submit(ask, serving, "who", seconds=0.2) for _ in range(20)]
        serving.wait_for(started.exists, "the long call did not start")
        serving.stop(signal.SIGKILL)
        answers = [future.result(60) for future in (long, *short)]
    assert isinstance(answers[0], httpx.TransportError)
    assert all(isinstance(a, httpx.TransportError) or a.status_code == 200 for a in answers)
    serving.start()
    assert serving.call("who").json() in before
    # The worker whose caller has left has come back, too.
    serving.wait_for(lambda: pids(serving) == before, "a worker did not come back")
    check(serving, 2, "who")


def test_next_server_is_found_on_another_port(serving: RunningServer) -> None:
    before, old = pids(serving), serving.port
    serving.stop(signal.SIGKILL)
    serving.port = free_port()
    serving.start()
    try:
        assert serving.call("who").json() in before
    finally:
        serving.stop()
        serving.port = old
    assert workers(serving) == {}


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose workers wait for the next one for a moment only."""
    with running_server(tmp_path, options=("--EasyMLNB.orphan_timeout=2",)) as made:
        yield made


def test_workers_that_no_server_comes_for_end_with_all_they_started(
    brief: RunningServer, tmp_path: Path
) -> None:
    brief.publish(make_notebook(SERVICES.format(starts=str(tmp_path / "starts"))))
    child = brief.call("breeds").json()
    started = tmp_path / "started"
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(ask, brief, "clings", started=str(started))
        brief.wait_for(started.exists, "the call did not start")
        assert any(child in found for found in workers(brief).values())
        brief.stop(signal.SIGKILL)
        assert isinstance(stuck.result(60), httpx.TransportError)
    brief.wait_for(lambda: workers(brief) == {}, "workers are left")
    brief.start()
    check(brief, 2, "who")


def test_worker_that_does_not_come_back_is_replaced(serving: RunningServer) -> None:
    stopped = min(pids(serving))
    psutil.Process(stopped).send_signal(signal.SIGSTOP)
    killed_and_started(serving)
    assert serving.call("who").json() != stopped
    serving.wait_for(
        lambda: not any(stopped in found for found in workers(serving).values()),
        "the worker that hangs is left",
    )
    check(serving, 2, "who")


def test_server_killed_while_workers_start_leaves_nothing(
    server: RunningServer, tmp_path: Path
) -> None:
    import nbformat

    from easymlnb.publishing.bundle import build_bundle

    path = server.root / "slow.ipynb"
    nbformat.write(make_notebook("import time; time.sleep(600)"), path)
    server.http.post(
        "services", content=build_bundle(path).data, headers={"Content-Type": "application/zip"}
    )
    server.wait_for(lambda: workers(server), "no worker starts")
    # For the next server to clear up after.
    server.wait_for(lambda: list(data(server).glob("workers/*.json")), "there is no note of it")
    time.sleep(1)  # it begins with the notebook
    server.stop(signal.SIGKILL)
    server.wait_for(lambda: workers(server) == {}, "the worker that was starting is left")
    assert list(data(server).glob("workers/*.json"))
    server.start()
    server.stop()
    assert workers(server) == {}
    assert list(data(server).glob("work*/*")) == []
