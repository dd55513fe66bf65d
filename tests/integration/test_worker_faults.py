"""Workers that die, hang and misbehave: callers get an error at once, all else keeps working."""

import asyncio
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from support.invariants import check, workers
from support.misbehaving import Nap, ask, error, pid
from support.notebooks import make_notebook
from support.server import RunningServer

pytestmark = pytest.mark.timeout(300)  # each death in a row makes the next worker come later


def test_idle_worker_killed(victim: RunningServer) -> None:
    old = pid(victim)
    os.kill(old, signal.SIGKILL)
    assert pid(victim) != old


def test_worker_killed_under_a_call(
    victim: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    nap = Nap(victim, callers, tmp_path, 60)
    waiting = callers.submit(ask, victim, "pid")
    os.kill(nap.pid, signal.SIGKILL)
    answer = nap.answer.result(50)  # before it would end automatically
    assert (answer.status_code, error(answer)) == (503, "worker_lost")
    assert answer.json()["error"]["details"]["retryable"] is True
    # The next worker serves the call that waited.
    assert waiting.result(60).json() != nap.pid


def test_call_of_an_idempotent_service_runs_again_on_the_next_worker(
    victim: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    again = Nap(victim, callers, tmp_path, 80, "nap_again")
    os.kill(first := again.pid, signal.SIGKILL)
    answer = again.answer.result(90)
    assert answer.status_code == 200, answer.text
    # It runs in another process, which wrote its own number there.
    assert answer.json() == again.pid != first


def test_worker_killed_whose_child_holds_the_link(
    victim: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    answer = callers.submit(ask, victim, "forks", started=str(started))
    victim.wait_for(lambda: started.exists() and started.read_text(), "it did not start")
    os.kill(int(started.read_text()), signal.SIGKILL)
    assert error(answer.result(50)) == "worker_lost"


def test_stopped_worker_is_replaced_and_its_call_told(
    victim: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    nap = Nap(victim, callers, tmp_path, 60)  # which is also its deadline
    os.kill(nap.pid, signal.SIGSTOP)
    answer = nap.answer.result(45)
    assert (answer.status_code, error(answer)) == (503, "worker_lost")
    assert pid(victim) != nap.pid
    victim.wait_for(lambda: not psutil.pid_exists(nap.pid), "it is still there")


def test_call_of_an_idempotent_service_runs_again_when_its_worker_is_stopped(
    victim: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    again = Nap(victim, callers, tmp_path, 80, "nap_again")
    os.kill(first := again.pid, signal.SIGSTOP)
    answer = again.answer.result(90)
    assert answer.status_code == 200, answer.text
    assert answer.json() == again.pid != first


def test_idle_worker_that_is_stopped_is_replaced(victim: RunningServer) -> None:
    old = pid(victim)
    os.kill(old, signal.SIGSTOP)
    victim.wait_for(lambda: not psutil.pid_exists(old), "it is still there")
    assert pid(victim) != old


def test_worker_that_computes_without_a_word_is_left_alone(victim: RunningServer) -> None:
    old = pid(victim)
    answer = ask(victim, "computes", seconds=6)
    assert (answer.status_code, answer.json()) == (200, old)
    assert pid(victim) == old


def test_endless_loop_is_interrupted_and_its_worker_stays(victim: RunningServer) -> None:
    old = pid(victim)
    answer = ask(victim, "spins")
    assert (answer.status_code, error(answer)) == (504, "deadline_exceeded")
    assert "exceeded its timeout of 1 s." in answer.text
    assert pid(victim) == old


@pytest.mark.parametrize("name", ["swallows", "holds_the_gil"])
def test_what_cannot_be_interrupted_is_killed_and_replaced(
    victim: RunningServer, name: str
) -> None:
    old = pid(victim)
    answer = ask(victim, name)
    assert (answer.status_code, error(answer)) == (504, "deadline_exceeded")
    assert pid(victim) != old


@pytest.mark.parametrize("how", ["exit", "signal", "files"])
def test_call_that_ends_its_worker(victim: RunningServer, how: str) -> None:
    old = pid(victim)
    answer = ask(victim, "misbehaves", how=how)
    assert (answer.status_code, error(answer)) == (503, "worker_lost")
    assert pid(victim) != old


@pytest.mark.parametrize(
    "how", ["stdout", "closed", "folder", "writes", "prints", "daemon", "sigint", "thread"]
)
def test_call_that_leaves_its_worker_in_disorder(victim: RunningServer, how: str) -> None:
    assert victim.process is not None
    before = psutil.Process(victim.process.pid).memory_info().rss
    ask(victim, "misbehaves", how=how)
    assert ask(victim, "misbehaves", how="").json() == 1
    assert psutil.Process(victim.process.pid).memory_info().rss < before + 100 * 2**20


def test_processes_of_a_removed_service_are_gone(victim: RunningServer) -> None:
    victim.publish(
        make_notebook(
            "import os, subprocess, threading, time, easymlnb as ml\n"
            "@ml.service\ndef breeds() -> int:\n"
            "    threading.Thread(target=time.sleep, args=(600,)).start()\n"
            "    subprocess.Popen(['sleep', '600'])\n"
            "    subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
            "    if os.fork() == 0:\n"
            "        os.setsid()\n"
            "        time.sleep(600)\n"
            "    return os.getpid()"
        ),
        "breeds.ipynb",
    )
    parent = ask(victim, "breeds").json()
    family = [pids for pids in workers(victim).values() if parent in pids]
    assert len(family[0]) == 4
    assert victim.http.delete("services/breeds").status_code == 204
    victim.wait_for(
        lambda: not any(map(psutil.pid_exists, family[0])), "processes of the service are left"
    )


def test_worker_that_keeps_crashing_is_seen_as_failed(
    victim: RunningServer, tmp_path: Path
) -> None:
    flag = tmp_path / "crash"
    victim.publish(
        make_notebook(
            "import os, threading, time, easymlnb as ml\n"
            "def watch():\n"
            f"    while not os.path.exists({str(flag)!r}):\n        time.sleep(0.05)\n"
            "    os._exit(1)\n"
            "threading.Thread(target=watch, daemon=True).start()\n"
            "@ml.service\ndef crashes() -> int:\n    return 1"
        ),
        "crashes.ipynb",
    )
    flag.touch()

    def failed() -> bool:
        # Each time it is tried again it does not, for a moment.
        found = victim.http.get("services/crashes").json()
        return found["state"] == "failed" and "error" in found

    victim.wait_for(failed, "it does not count as failed")
    flag.unlink()
    victim.wait_for(lambda: victim.state("crashes") == "ready", "it was not tried again")
    assert ask(victim, "crashes").json() == 1
    assert victim.http.delete("services/crashes").status_code == 204


def test_thousand_slow_calls_to_one_service_leave_another_alone(
    victim: RunningServer, tmp_path: Path
) -> None:
    values = {"started": str(tmp_path / "started"), "done": str(tmp_path / "done"), "seconds": 1}
    request = victim.http.build_request(
        "POST", "services/nap/call", json=values, headers={"Connection": "close"}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    sent = f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n".encode() + request.read()

    async def ask_once() -> str:
        # A full HTTP client is too slow for this number of connections.
        reader, writer = await asyncio.open_connection("127.0.0.1", victim.port)
        try:
            writer.write(sent)
            answer = (await reader.read()).decode()
        finally:
            writer.close()
        found = re.search(r'"code": ?"([a-z_]+)"', answer)
        return found[1] if found else answer.partition("\r\n")[0]

    async def ask_all() -> set[str]:
        return set(await asyncio.gather(*(ask_once() for _ in range(1000))))

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(asyncio.run, ask_all())
        others = 0
        while not slow.done():
            assert ask(victim, "bystander", x=1).json() == 2
            others += 1
        answers = slow.result()
    assert others > 3
    # One runs, two wait, and the others are refused as busy: every call gets a response.
    assert answers == {"HTTP/1.1 200 OK", "busy"}


def test_many_faults_leave_no_descriptor_open(victim: RunningServer) -> None:
    assert victim.process is not None
    process = psutil.Process(victim.process.pid)

    def fault() -> int:
        os.kill(old := pid(victim), signal.SIGKILL)
        assert pid(victim) != old
        check(victim, 2, "bystander", x=1)
        return process.num_fds()

    before = fault()
    assert fault() <= before + 3


def test_every_call_is_answered_while_workers_die(victim: RunningServer) -> None:
    over = threading.Event()

    def kill() -> None:
        # After each death in a row the next worker comes later, in the end too late for a call.
        for _ in range(3):
            if over.wait(2.0):
                return
            os.kill(pid(victim), signal.SIGKILL)

    ask(victim, "swallows")  # whose end is no fault of its start: nor count the deaths before it
    assert pid(victim)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: ask(victim, "misbehaves", how=""), range(300)))
    finally:
        over.set()
        killer.join()
    assert {200 if a.status_code == 200 else error(a) for a in answers} <= {200, "worker_lost"}
    assert sum(a.status_code == 200 for a in answers) > 200
