"""Jobs under random kills and pauses of workers and servers: none may be lost, or succeed twice.

On PostgreSQL there are two servers, of which one is on standby, and takes over when the active one
is killed, or paused for longer than its lease; the standby is killed, too. SQLite allows one server
at a time: after a kill, another one with another address starts on the same folder. Some of the
jobs begin as plain calls.

    python benchmarks/chaos.py                     # 1,000 jobs on each database
    python benchmarks/chaos.py --jobs 150 --database sqlite
"""

import argparse
import json
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.invariants import workers
from support.notebooks import make_notebook
from support.postgres import running
from support.server import RunningServer, free_port, running_server
from support.standby_pair import Pair

SOURCE = """
import time
import easymlnb as ml

@ml.service(idempotent=True)
def mark(number: int, seconds: float, file: str) -> int:
    for step in range(10):
        time.sleep(seconds / 10)
        ml.progress((step + 1) / 10)
    with open(file, "a") as out:
        out.write(f"{number}\\n")
    return number
"""

KERNELS = 3
KINDS = {
    "kill worker": 9,
    "pause worker": 4,
    "kill server": 3,
    "pause server": 3,
    "kill standby": 1,
}
"""Disturbances, and how often each one comes."""

PAUSES = (0.3, 1.2)
"""Seconds between two disturbances."""

LONGEST_PAUSE = 10.0
"""Seconds without enough finished functions after which the next disturbance comes anyway."""

PLAIN = 0.1
"""Share of the jobs that begin as plain calls."""

JOB_SECONDS, CALL_SECONDS = (0.1, 0.8), (1.2, 2.0)
"""How long the functions of jobs run, and those of plain calls, which wait for one second."""

LOST_AFTER = 300.0
"""Seconds without a change, when nothing is disturbed any more, after which a job is lost."""


class World:
    """The two servers of one run. ``active`` returns the one that answers.

    With a ``standby`` both run, else the second one starts when the first one was killed.
    """

    def __init__(self, servers: tuple[RunningServer, ...], *, standby: bool) -> None:
        self.servers = servers
        self.standby = standby
        self.takeovers = 0
        self._last = servers[0]
        self._starting: list[threading.Thread] = []

    def active(self) -> RunningServer:
        """Return the server that is active, once there is one."""
        while True:
            for server in self.servers:
                with suppress(httpx.HTTPError, RuntimeError):
                    if server.http.get("health/ready", timeout=2).status_code == 200:
                        self.takeovers += server is not self._last
                        self._last = server
                        return server
            time.sleep(0.1)

    def other(self, server: RunningServer) -> RunningServer:
        return self.servers[server is self.servers[0]]

    def ask(self, request: Callable[[httpx.Client], httpx.Response]) -> httpx.Response:
        """Send a request until a server answers it."""
        while True:
            with suppress(httpx.HTTPError, RuntimeError):
                answer = request(self.active().http)
                if answer.status_code < 500:
                    return answer
            time.sleep(0.2)

    def workers(self) -> list[int]:
        found = [pids[0] for server in self.servers for pids in workers(server).values()]
        return sorted(set(found))

    def disturb(self) -> str:
        """Kill or pause a worker or the active server; return what was done."""
        what = random.choices(list(KINDS), list(KINDS.values()))[0]
        if what == "kill standby" and self.standby:
            self._kill(self.other(self.active()))
        elif what in ("kill server", "kill standby"):
            self._kill(self.active())
            what = "kill server"
        elif what == "pause server":
            process = self.active().process
            assert process is not None
            _pause(process.pid, random.uniform(0.5, 9.0))
        elif pids := self.workers():
            pid = random.choice(pids)
            with suppress(ProcessLookupError):
                if what == "kill worker":
                    os.kill(pid, signal.SIGKILL)
                else:
                    _pause(pid, random.uniform(0.2, 1.0))
        return what

    def _kill(self, server: RunningServer) -> None:
        """Kill a server; the other one takes over, and the killed one becomes the standby."""
        self.settle()
        server.stop(signal.SIGKILL)
        if not self.standby:
            self.other(server).start()
            return
        starting = threading.Thread(target=server.start)
        starting.start()
        self._starting.append(starting)

    def settle(self) -> None:
        """Wait until all servers run."""
        for starting in self._starting:
            starting.join()
        self._starting.clear()


def _pause(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def configure(folder: Path) -> None:
    """Give the lane of jobs its kernels."""
    file = folder / "config" / "jupyter_server_config.py"
    file.parent.mkdir(parents=True)
    file.write_text(f"c.EasyMLNB.lanes = {{'jobs': {{'workers': {KERNELS}}}}}")


@contextmanager
def sqlite(folder: Path) -> Iterator[World]:
    options = (f"--EasyMLNB.state_dir={folder / 'state'}",)
    first, second = folder / "one", folder / "two"
    configure(first)
    configure(second)
    with running_server(first, make_notebook(SOURCE), options=options) as server:
        other = RunningServer(second, free_port(), options=options)
        try:
            yield World((server, other), standby=False)
        finally:
            other.stop()


@contextmanager
def postgresql(folder: Path) -> Iterator[World]:
    with running() as postgres, ExitStack() as stack:
        both = Pair(folder, postgres)
        stack.callback(both.stop)
        for server in both.both:
            configure(server.folder)
        both.start()
        active, standby = both.roles()
        found = active.publish(make_notebook(SOURCE))
        assert found["state"] == "ready", found
        yield World((active, standby), standby=True)


class Submissions:
    """Submits jobs one after the other, and collects the ids that a server has confirmed."""

    def __init__(self, world: World, count: int, file: Path, seconds: float) -> None:
        self.ids: list[str] = []
        self.sent = 0
        self._until = time.monotonic() + seconds
        self.answered = 0
        self._world = world
        self._count = count
        self._file = str(file)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for number in range(self._count):
            if time.monotonic() > self._until:
                return
            self.sent += 1
            plain = random.random() < PLAIN
            seconds = random.uniform(*(CALL_SECONDS if plain else JOB_SECONDS))
            values = {"number": number, "seconds": seconds, "file": self._file}
            self._submit(number, values, plain)

    def _submit(self, number: int, values: dict[str, Any], plain: bool) -> None:
        """Submit a job, again until a server has confirmed it; the key makes that one job."""

        def call(http: httpx.Client) -> httpx.Response:
            return http.post("services/mark/call", json=values, headers={"Prefer": "wait=1"})

        def submit(http: httpx.Client) -> httpx.Response:
            headers = {"Idempotency-Key": f"job-{number}"}
            return http.post("services/mark/jobs", json=values, headers=headers)

        answer = self._world.ask(call if plain else submit)
        if answer.status_code == 202:
            self.ids.append(str(answer.json()["id"]))
        else:
            assert answer.status_code == 200, answer.text
            self.answered += 1


def _wait_for_work(file: Path, runs: int) -> None:
    """Wait a moment, and until functions have run to their end: kernels must have time to start."""
    wanted = len(file.read_text().split()) + random.randint(1, 2 * runs - 1)
    until = time.monotonic() + LONGEST_PAUSE * runs
    time.sleep(random.uniform(*PAUSES))
    while len(file.read_text().split()) < wanted and time.monotonic() < until:
        time.sleep(0.1)


def queued(world: World) -> int:
    """Return how many jobs wait."""
    answer = world.ask(lambda http: http.get("jobs", params={"state": "queued", "limit": 1}))
    return int(answer.json()["total"])


def end_of(world: World, id: str) -> dict[str, Any]:
    """Return a job when it has ended, or is lost, with how often it succeeded by its events."""
    found: dict[str, Any] = {}
    until = time.monotonic() + LOST_AFTER
    while time.monotonic() < until:
        answer = world.ask(lambda http: http.get(f"jobs/{id}", params={"wait": 5}))
        if answer.status_code != 200:
            return {"state": "lost", "attempts": [], "successes": 0, "error": answer.json()}
        before, found = found, answer.json()
        if found["state"] not in ("queued", "running"):
            break
        if found != before:
            until = time.monotonic() + LOST_AFTER
    else:
        found["state"] = "lost"
    events = world.ask(lambda http: http.get(f"jobs/{id}/events")).text
    states = [json.loads(line[6:]) for line in events.split("\n") if line.startswith("data: ")]
    succeeded = [one["outcome"] for one in found["attempts"]].count("succeeded")
    told = sum(one.get("state") == "succeeded" for one in states)
    return found | {"successes": max(succeeded, told)}


def run(world: World, count: int, folder: Path, runs: int = 1, seconds: float = math.inf) -> bool:
    """Submit and disturb at the same time; print the outcome, and return whether all is well."""
    file = folder / "marks"
    file.touch()
    began = time.monotonic()
    submissions = Submissions(world, count, file, seconds)
    submissions.thread.start()
    done: Counter[str] = Counter()
    said = began
    while submissions.thread.is_alive() or queued(world) > KERNELS:
        _wait_for_work(file, runs)
        done[world.disturb()] += 1
        if time.monotonic() - said > 60:
            said = time.monotonic()
            ran = len(file.read_text().split())
            print(f"  {said - began:.0f} s: {ran} runs, {sum(done.values())} faults", flush=True)
    world.settle()
    assert len(submissions.ids) + submissions.answered == submissions.sent, "a request was refused"
    ends = {id: end_of(world, id) for id in submissions.ids}
    print(f"  {world.takeovers} times another server process took over")
    return report(ends, submissions, done, Counter(file.read_text().split()), began)


def report(
    ends: dict[str, dict[str, Any]],
    submissions: Submissions,
    done: Counter[str],
    ran: Counter[str],
    began: float,
) -> bool:
    states = Counter(end["state"] for end in ends.values())
    attempts = [len(end["attempts"]) for end in ends.values()]
    twice = [id for id, end in ends.items() if end["successes"] > 1]
    wrong = [
        id
        for id, end in ends.items()
        if end["state"] != "succeeded" and (end["error"] or {}).get("code") != "worker_lost"
    ]
    print(f"  {sum(done.values())} disturbances in {time.monotonic() - began:.0f} s: {dict(done)}")
    print(
        f"  {len(ends)} jobs, {submissions.answered} calls that ended in time: {dict(states)}, "
        f"{sum(attempts)} attempts, {sum(n > 1 for n in attempts)} jobs with more than one"
    )
    print(f"  lost {states['lost']}, succeeded twice {len(twice)}, other ends {len(wrong)}")
    for id in wrong:
        print(f"    {id}: {ends[id]['state']}, {ends[id]['error']}, {ends[id]['attempts']}")
    print(f"  functions that ran to their end more than once: {sum(n > 1 for n in ran.values())}")
    return not twice and not wrong and len(ran) >= states["succeeded"] + submissions.answered


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="Only this one.")
    parser.add_argument(
        "--runs",
        type=int,
        default=1,
        help="Functions that end between two disturbances, on average.",
    )
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="Submit no longer than that."
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    good = True
    for name, make in (("sqlite", sqlite), ("postgresql", postgresql)):
        if given.database in (None, name):
            random.seed(given.seed)
            with tempfile.TemporaryDirectory() as path, make(Path(path)) as world:
                print(f"{name}, {given.jobs} jobs:", flush=True)
                seconds = 60 * given.minutes
                good = run(world, given.jobs, Path(path), given.runs, seconds) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
