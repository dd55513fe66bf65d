"""Short calls that wait on their worker: none is lost with it, none is begun twice."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import RunningServer, free_port, make_notebook
from victim import error

SOURCE = """
import os, time
import easymlnb as ml

@ml.service(workers=2)
def quick(number: int, told: str) -> int:
    with open(told, "ab", buffering=0) as file:
        file.write(f"{number}\\n".encode())
    return number

@ml.service
def sometimes(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    made = RunningServer(tmp_path_factory.mktemp("ahead"), free_port())
    made.start()
    found = made.publish(make_notebook(SOURCE), "ahead.ipynb")
    assert found["state"] == "ready", found
    made.wait_for(lambda: workers(made) == 2, "there are not two workers")
    yield made
    made.stop()


def workers(server: RunningServer) -> int:
    return int(server.http.get("services/quick").json()["stats"]["workers"])


def test_workers_die_under_many_short_calls(server: RunningServer, tmp_path: Path) -> None:
    """Each call is begun once at most; a failed one is one that its dead worker had begun."""
    told = tmp_path / "told"
    numbers = iter(range(10**9))
    over = threading.Event()
    answers: dict[int, httpx.Response] = {}

    def ask() -> None:
        limits = httpx.Limits(max_keepalive_connections=1)
        with httpx.Client(
            base_url=server.http.base_url, headers=server.http.headers, limits=limits, timeout=60
        ) as client:
            while not over.is_set():
                number = next(numbers)
                values = {"number": number, "told": str(told)}
                answers[number] = client.post("services/quick/call", json=values)

    pids = {server.call("sometimes", seconds=0.0).json()}
    with ThreadPoolExecutor(24) as pool:
        asking = [pool.submit(ask) for _ in range(24)]
        for _ in range(4):
            before = len(answers)
            server.wait_for(lambda before=before: len(answers) > before + 300, "calls stand still")
            pid = server.call("sometimes", seconds=0.0).json()
            pids.add(pid)
            os.kill(pid, signal.SIGKILL)
            server.wait_for(lambda: workers(server) == 2, "no new worker came")
        over.set()
        for one in asking:
            one.result(60)
    begun = Counter(int(line) for line in told.read_text().split())
    assert set(begun.values()) == {1}
    codes = Counter("ok" if a.status_code == 200 else error(a) for a in answers.values())
    assert set(codes) <= {"ok", "worker_lost"}
    # A worker runs one call at a time: what else it held was run by the other one.
    assert codes["worker_lost"] <= 4
    assert all(a.json() == n for n, a in answers.items() if a.status_code == 200)
    assert all(begun[n] == 1 for n, a in answers.items() if a.status_code == 200)
    assert len(pids) > 1


def test_call_that_turns_out_slow_keeps_no_other_waiting(server: RunningServer) -> None:
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda _: server.call("sometimes", seconds=0.0), range(64)))
        slow = pool.submit(server.call, "sometimes", seconds=5.0)
        quick = [pool.submit(server.call, "sometimes", seconds=0.0) for _ in range(31)]
        found = {answer.result(60).json() for answer in quick}
        assert not slow.done()
        assert slow.result(60).json() not in found or len(found) == 2
