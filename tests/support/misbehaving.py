"""Services that misbehave on demand, one that does not, and how tests call them."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from support.server import RunningServer

BYSTANDER = """
import easymlnb as ml

@ml.service
def bystander(x: int) -> int:
    return 2 * x
"""

VICTIM = """
import os, sys, time, threading, subprocess
from pathlib import Path
import easymlnb as ml

@ml.service
def pid() -> int:
    return os.getpid()

@ml.service(timeout=60)
def nap(started: str, done: str, seconds: float) -> int:
    "Sleep in short steps; two files tell that it began and that it came to its end."
    Path(started).write_text(str(os.getpid()))
    until = time.monotonic() + seconds
    while time.monotonic() < until and not Path(done).exists():
        time.sleep(0.01)
    Path(done).touch()
    return os.getpid()

@ml.service(timeout=90, idempotent=True)
def nap_again(started: str, done: str, seconds: float) -> int:
    "The same, of which it is no harm if it is done twice; the second time it does not sleep."
    return nap(started, done, 0 if Path(started).exists() else seconds)

@ml.service(timeout=60)
def forks(started: str) -> int:
    if os.fork() == 0:
        time.sleep(600)
    Path(started).write_text(str(os.getpid()))
    time.sleep(600)
    return 1

@ml.service(timeout=1)
def spins() -> int:
    while True:
        pass

@ml.service(timeout=1)
def swallows() -> int:
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            pass

@ml.service(timeout=1)
def holds_the_gil() -> int:
    return sum(range(10**12))

@ml.service(timeout=60)
def computes(seconds: float) -> int:
    "Compute in C code that holds Python's lock for at least the given time."
    size, began = 10**7, time.monotonic()
    sum(range(size))
    sum(range(int(size * (1 + seconds / (time.monotonic() - began)))))
    return os.getpid()

@ml.service
def misbehaves(how: str) -> int:
    if how == "exit":
        os._exit(0)
    if how == "signal":
        os.kill(os.getpid(), 11)
    if how == "files":
        os.closerange(3, 4096)
    if how == "stdout":
        sys.stdout = sys.stderr = None
        print("nobody sees this")
    if how == "closed":
        sys.stdout.close()
    if how == "folder":
        os.chdir("/")
        Path("here").exists()
    if how == "writes":
        for _ in range(300):
            os.write(1, b"x" * 1_000_000)
    if how == "prints":
        for _ in range(1000):
            print("x" * 1_000_000)
    if how == "daemon":
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.closerange(3, 4096)
                time.sleep(600)
            os._exit(0)
    if how == "sigint":
        os.kill(os.getpid(), 2)
    if how == "thread":
        threading.Thread(target=time.sleep, args=(600,)).start()
    return 1
"""


def ask(server: RunningServer, name: str, **values: Any) -> httpx.Response:
    return server.http.post(f"services/{name}/call", json=values, timeout=90)


def pid(server: RunningServer) -> int:
    """Return the process id of the victim's worker; waits until there is one again."""

    def answered() -> int | None:
        answer = ask(server, "pid")
        if answer.status_code == 200:
            return int(answer.json())
        # The one honest refusal: it was given to a worker that is just being lost.
        assert answer.json()["error"]["code"] == "worker_lost", answer.text
        return None

    return int(server.wait_for(answered, "the victim did not come back"))


def error(answer: httpx.Response) -> str:
    assert "Traceback" not in answer.text
    return str(answer.json()["error"]["code"])


class Nap:
    """A call that runs until its time is over."""

    def __init__(
        self,
        server: RunningServer,
        callers: ThreadPoolExecutor,
        folder: Path,
        seconds: float,
        name: str = "nap",
    ) -> None:
        self.started, self.done = folder / "started", folder / "done"
        self.answer: Future[httpx.Response] = callers.submit(
            ask, server, name, started=str(self.started), done=str(self.done), seconds=seconds
        )
        server.wait_for(lambda: self.started.exists() and self.started.read_text(), "no start")

    def wake(self) -> None:
        """End it before its time."""
        self.done.touch()

    @property
    def pid(self) -> int:
        return int(self.started.read_text())
