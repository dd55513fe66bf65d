"""A server that is stopped or killed while calls run: every call is answered, nothing is left."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nbformat
import psutil
import pytest

from easymlnb.publishing.bundle import build_bundle
from support.invariants import check, data, workers
from support.notebooks import make_notebook
from support.server import RunningServer

SERVICES = """
import subprocess, time
from pathlib import Path
import easymlnb as ml

@ml.service(timeout=60)
def nap(seconds: float, started: str = "") -> float:
    if started:
        Path(started).touch()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    return seconds

@ml.service
def breeds() -> int:
    return subprocess.Popen(["sleep", "600"], start_new_session=True).pid
"""


@pytest.fixture
def serving(server: RunningServer) -> RunningServer:
    found = server.publish(make_notebook(SERVICES))
    assert found["state"] == "ready", found
    return server


def under_call(
    server: RunningServer, started: Path, seconds: float, stop: Callable[[], None]
) -> httpx.Response:
    """Run ``stop`` while a call of ``seconds`` runs; returns the call's response."""

    def ask() -> httpx.Response:
        values: dict[str, Any] = {"seconds": seconds, "started": str(started)}
        url, headers = f"{server.url}easymlnb/services/nap/call", dict(server.http.headers)
        return httpx.post(url, json=values, headers=headers, timeout=60)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        server.wait_for(started.exists, "the call did not start")
        stop()
        return answer.result(60)


def ended(server: RunningServer) -> bool:
    """Say whether the server has ended well, within the time that it has for it."""
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(40) == 0


def test_call_that_runs_is_answered_before_the_server_ends(
    serving: RunningServer, tmp_path: Path
) -> None:
    answer = under_call(serving, tmp_path / "started", 1.5, lambda: _end(serving))
    assert (answer.status_code, answer.json()) == (200, 1.5)
    assert workers(serving) == {}
    assert list(data(serving).glob("work*/*")) == []


def test_new_calls_are_refused_while_the_server_stops(
    serving: RunningServer, tmp_path: Path
) -> None:
    def stop() -> None:
        assert serving.process is not None
        # Open connections stay open; new ones are refused.
        assert serving.state("nap") == "ready"
        serving.process.send_signal(signal.SIGTERM)
        serving.wait_for(
            lambda: serving.http.get("health/ready").status_code == 503, "it is ready still"
        )
        refused = serving.call("nap", seconds=0)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert int(refused.headers["Retry-After"]) >= 1

    assert under_call(serving, tmp_path / "started", 4, stop).json() == 4
    assert serving.process is not None
    assert serving.process.wait(40) == 0


def test_call_that_takes_too_long_is_told_so(serving: RunningServer, tmp_path: Path) -> None:
    answer = under_call(serving, tmp_path / "started", 50, lambda: _end(serving))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "worker_lost")
    assert workers(serving) == {}


def _end(server: RunningServer) -> None:
    assert ended(server)


def test_server_stops_while_workers_start(server: RunningServer) -> None:
    path = server.root / "slow.ipynb"
    nbformat.write(make_notebook("import time; time.sleep(60)", SERVICES), path)
    server.http.post(
        "services", content=build_bundle(path).data, headers={"Content-Type": "application/zip"}
    )
    for pause in (0.0, 0.7):
        server.wait_for(lambda: workers(server), "no worker starts")
        time.sleep(pause)
        assert ended(server)
        assert workers(server) == {}
        assert list(data(server).glob("work*/*")) == []
        server.stop()
        server.start()


def test_next_server_ends_what_a_killed_one_left_when_it_is_told_to(
    serving: RunningServer,
) -> None:
    child = serving.http.post("services/breeds/call", json={}).json()

    def with_child() -> dict[str, list[int]] | None:
        # Right after its start a process shows no environment yet.
        found = workers(serving)
        return found if any(child in pids for pids in found.values()) else None

    left = serving.wait_for(with_child, "the child is not seen")
    commands = [psutil.Process(pid).cmdline() for pids in left.values() for pid in pids]
    sockets = [Path(arg).parent for args in commands for arg in args if "connection.json" in arg]
    assert [path.exists() for path in sockets] == [True]
    serving.stop(signal.SIGKILL)
    serving.start()
    check(serving, 1, "nap", seconds=0)
    assert serving.http.delete("services/nap").status_code == 204
    assert serving.http.delete("services/breeds").status_code == 204
    serving.wait_for(lambda: workers(serving) == {}, "workers are left")
    serving.wait_for(lambda: not sockets[0].exists(), "sockets are left")
