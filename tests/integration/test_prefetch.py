"""Short calls that wait on their worker: none is lost with it, none is begun twice."""

import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from support.misbehaving import error
from support.notebooks import make_notebook
from support.server import RunningServer

SOURCE = """
import os, time
import easymlnb as ml

@ml.service(workers=2)
def quick(number: int, told: str) -> int:
    with open(told, "ab", buffering=0) as file:
        file.write(f"{number}\\n".encode())
    return number

@ml.service
def sometimes(until: str = "") -> int:
    while until and not os.path.exists(until):
        time.sleep(0.01)
    return os.getpid()
"""


@pytest.fixture(scope="module")
def server(session_server: RunningServer) -> RunningServer:
    found = session_server.publish(make_notebook(SOURCE), "prefetch.ipynb")
    assert found["state"] == "ready", found
    session_server.wait_for(lambda: workers(session_server) == 2, "there are not two workers")
    return session_server


def stats(server: RunningServer) -> dict[str, int]:
    found: dict[str, int] = server.http.get("services/quick").json()["stats"]
    return found


def workers(server: RunningServer) -> int:
    return stats(server)["workers"]


@pytest.mark.timeout(300)  # a worker that dies again and again comes back later each time
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

    def replaced(lost: int) -> bool:
        # That one is lost is not known the moment it is killed.
        found = stats(server)
        return found["restarts"] >= lost and found["workers"] == 2

    pids = {server.call("sometimes").json()}
    restarts = stats(server)["restarts"]
    with ThreadPoolExecutor(24) as pool:
        asking = [pool.submit(ask) for _ in range(24)]
        try:
            for lost in range(restarts + 1, restarts + 5):
                before = len(answers)
                server.wait_for(
                    lambda before=before: len(answers) > before + 300, "calls stand still"
                )
                pid = server.call("sometimes").json()
                pids.add(pid)
                os.kill(pid, signal.SIGKILL)
                server.wait_for(partial(replaced, lost), "no new worker came")
        finally:
            over.set()
        for one in asking:
            one.result(60)
    begun = Counter(int(line) for line in told.read_text().split())
    assert set(begun.values()) == {1}
    codes = Counter("ok" if a.status_code == 200 else error(a) for a in answers.values())
    assert set(codes) <= {"ok", "worker_lost"}
    # A worker runs one call at a time: what else it held was run by the other one.
    assert codes["worker_lost"] <= stats(server)["restarts"] - restarts
    assert all(a.json() == n for n, a in answers.items() if a.status_code == 200)
    assert all(begun[n] == 1 for n, a in answers.items() if a.status_code == 200)
    assert len(pids) > 1


def test_call_that_turns_out_slow_keeps_no_other_waiting(
    server: RunningServer, tmp_path: Path
) -> None:
    over = tmp_path / "over"
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda _: server.call("sometimes"), range(64)))
        slow = pool.submit(server.call, "sometimes", until=str(over))
        quick = [pool.submit(server.call, "sometimes") for _ in range(31)]
        try:
            # It lasts until the others have results: a call that waits behind it has none.
            found = {answer.result(20).json() for answer in quick}
        finally:
            over.touch()
        assert slow.result(60).json() not in found or len(found) == 2
