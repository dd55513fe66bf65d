"""Callers who leave, hurry or come too many; calls at once; live kernels that do not answer."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from support.kernels import NotebookKernel
from support.misbehaving import Nap, ask, error, pid
from support.notebooks import make_notebook
from support.server import RunningServer


def test_caller_who_leaves_stops_the_function(victim: RunningServer, tmp_path: Path) -> None:
    started, done = tmp_path / "started", tmp_path / "done"
    values = {"started": str(started), "done": str(done), "seconds": 30}
    old = pid(victim)
    with pytest.raises(httpx.ReadTimeout):
        victim.http.post("services/nap/call", json=values, timeout=1.5)
    assert pid(victim) == old  # one worker: its slot is free only because the function was stopped
    assert not done.exists()
    assert victim.http.get("services/nap/log").json()["entries"][-1]["status"] == 503


def test_full_queue_says_when_to_come_back(
    victim: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    nap = Nap(victim, callers, tmp_path, 50)
    waiting = [callers.submit(ask, victim, "pid") for _ in range(2)]
    victim.wait_for(
        lambda: victim.http.get("services/pid").json()["stats"]["waiting"] == 2, "nobody waits"
    )
    assert victim.state("pid") == "busy"
    refused = ask(victim, "pid")
    assert error(refused) == "busy"
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    nap.wake()
    assert nap.answer.result(60).status_code == 200
    assert [answer.result(60).status_code for answer in waiting] == [200, 200]


def test_switch_of_versions_under_load_fails_no_call(victim: RunningServer) -> None:
    """Each answer is that of the version that it names; the old one finishes what it has."""

    def version(number: int) -> None:
        source = (
            "import easymlnb as ml, time\n@ml.service\ndef switched() -> int:\n"
            f"    time.sleep(0.02)\n    return {number}"
        )
        found = victim.publish(make_notebook(source), "switched.ipynb")
        assert found["state"] == "ready", found

    def call(over: threading.Event) -> list[httpx.Response]:
        answers = []
        while not over.is_set():
            answers.append(ask(victim, "switched"))
        return answers

    version(1)
    over = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(call, over) for _ in range(2)]
        try:
            for number in (2, 3):
                version(number)
        finally:
            over.set()
        answers = [answer for caller in running for answer in caller.result(60)]
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.headers["X-Easymlnb-Version"] == answer.text for answer in answers)
    assert {answer.text for answer in answers} >= {"1", "2"}
    assert victim.http.delete("services/switched").status_code == 204


def test_callers_deadline(victim: RunningServer, tmp_path: Path) -> None:
    values = {"started": str(tmp_path / "s"), "done": str(tmp_path / "d"), "seconds": 20}
    answer = victim.http.post("services/nap/call", json=values, headers={"X-Timeout": "0.5"})
    assert (answer.status_code, error(answer)) == (504, "deadline_exceeded")
    assert "exceeded its timeout of 0.5 s." in answer.text
    for bad in ("0", "-1", "nan", "inf", "soon", "", "1e-9", "1_0"):
        answer = victim.http.post("services/pid/call", json={}, headers={"X-Timeout": bad})
        assert (bad, answer.status_code) == (bad, 400)


def test_other_methods_on_a_call(victim: RunningServer) -> None:
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        answer = victim.http.request(method, "services/pid/call")
        assert (method, answer.status_code) == (method, 405)
        assert answer.headers["allow"] == "POST, OPTIONS"


def test_options_name_the_methods_of_a_route(victim: RunningServer) -> None:
    origin = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    for path, methods in {"services/pid/call": "POST, OPTIONS", "services/pid": "GET"}.items():
        answer = httpx.options(f"{victim.url}easymlnb/{path}", headers=origin)
        assert answer.status_code == 204
        assert answer.headers["allow"].startswith(methods)
        assert "X-Timeout" in answer.headers["access-control-allow-headers"]
    assert httpx.options(f"{victim.url}easymlnb/none").status_code in (401, 403, 404)


def test_two_workers_run_two_calls_at_once(victim: RunningServer, tmp_path: Path) -> None:
    victim.publish(
        make_notebook(
            "import time, easymlnb as ml\nfrom pathlib import Path\n"
            "@ml.service(workers=2, timeout=60)\ndef meets(mine: str, other: str) -> bool:\n"
            "    Path(mine).touch()\n"
            "    while not Path(other).exists():\n        time.sleep(0.01)\n"
            "    return True"
        ),
        "meets.ipynb",
    )
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda p: ask(victim, "meets", mine=p[0], other=p[1]), [(a, b), (b, a)])
        assert [answer.json() for answer in answers] == [True, True]
    assert victim.http.delete("services/meets").status_code == 204


def test_live_call_that_cannot_be_stopped_does_not_block_the_next(victim: RunningServer) -> None:
    kernel = NotebookKernel(victim.http, "stuck.ipynb")
    try:
        kernel.run(
            "import easymlnb as ml, time\n@ml.service(timeout=1)\n"
            "def live_stuck(seconds: float) -> int:\n    time.sleep(seconds)\n    return 1"
        )
        assert error(ask(victim, "live_stuck", seconds=60)) == "deadline_exceeded"
        victim.wait_for(
            lambda: ask(victim, "live_stuck", seconds=0).status_code == 200, "its slot is lost"
        )
        assert "did not stop" in victim.log
    finally:
        kernel.close()


def test_stopped_live_kernel_answers_at_the_deadline_and_comes_back(
    victim: RunningServer,
) -> None:
    kernel = NotebookKernel(victim.http, "stopped.ipynb")
    try:
        kernel.run(
            "import easymlnb as ml, os\n@ml.service\ndef live_pid() -> int:\n    return os.getpid()"
        )
        process = psutil.Process(ask(victim, "live_pid").json())
        process.suspend()
        for _ in range(2):
            answer = victim.http.post("services/live_pid/call", json={}, headers={"X-Timeout": "1"})
            assert error(answer) == "deadline_exceeded"
        process.resume()
        assert ask(victim, "live_pid").json() == process.pid
    finally:
        kernel.close()


def test_caller_who_leaves_in_the_middle_of_the_body(victim: RunningServer) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", victim.port)) as plain:
            plain.sendall(
                b"POST /easymlnb/services/pid/call HTTP/1.1\r\nHost: localhost\r\n"
                + f"Authorization: token {victim.token}\r\n".encode()
                + b"Content-Type: application/json\r\nContent-Length: 10000000\r\n\r\n"
                + b" " * 100_000
            )
    assert ask(victim, "pid").status_code == 200
