"""The wall clock is set, forward and back, while calls run: nothing expires, nothing waits."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.invariants import check
from support.notebooks import make_notebook
from support.server import RunningServer, free_port

pytestmark = pytest.mark.timeout(400)  # servers and kernels start several times

HOUR = 3600

# The server, and the workers that inherit its path, read the clock through this.
CLOCK = """
import time
from pathlib import Path

_true = time.time

def _set():
    try:
        return _true() + float(Path({offset!r}).read_text())
    except (OSError, ValueError):
        return _true()

time.time = _set
"""

SERVICES = """
import os, time
import easymlnb as ml
@ml.service(timeout=60)
def naps(seconds: float = 0.0, begun: str = "") -> tuple[int, float]:
    before = time.time()
    if begun:
        open(begun, "w").close()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid(), time.time() - before

@ml.service(timeout=2)
def hangs() -> int:
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose clock shows what the file ``offset`` says more than the true one."""
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(offset=str(tmp_path / "offset")))
    made = RunningServer(tmp_path, free_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        made.start()
    found = made.publish(make_notebook(SERVICES))
    assert found["state"] == "ready", found
    yield made
    made.stop()


def ask(server: RunningServer, name: str, **values: Any) -> httpx.Response:
    return server.http.post(f"services/{name}/call", json=values, timeout=90)


def test_jumps_of_the_clock_end_no_call_and_no_worker(
    clocked: RunningServer, tmp_path: Path
) -> None:
    worker = ask(clocked, "naps").json()[0]
    with ThreadPoolExecutor(4) as pool:
        for offset in (HOUR, -HOUR, 0):
            begun = tmp_path / f"begun at {offset}"
            values = {"seconds": 2, "begun": str(begun)}
            calls = [pool.submit(ask, clocked, "naps", **values) for _ in range(2)]
            clocked.wait_for(begun.exists, "no call runs")
            half = tmp_path / "half"
            half.write_text(str(offset))
            half.replace(tmp_path / "offset")
            answers = [call.result(90) for call in calls]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert {answer.json()[0] for answer in answers} == {worker}
            # One of them has seen the jump; so the clock that they saw was indeed set.
            assert any(abs(answer.json()[1]) > HOUR / 2 for answer in answers)
            late = ask(clocked, "hangs")
            assert late.json()["error"]["code"] == "deadline_exceeded"
            assert clocked.state("naps") in ("ready", "busy")
    assert clocked.http.get("services/naps").json()["stats"]["restarts"] == 0
    check(clocked, 1, "naps")
