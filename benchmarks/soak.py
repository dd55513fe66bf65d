"""Mixed calls for a long time while workers are killed: is every error explained, is memory flat?

Calls come at random, at a part of what is measured first with as many callers as keep the workers
busy, to services that wait, compute, stream,
batch, carry a megabyte, or fail on purpose. Every so often a worker is killed. In the end there
must be no error without a reason (the call of a killed worker; a line that grew until its
successor came), no memory that grows, nothing left behind.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, linear_regression, quantiles
from typing import Any

import httpx
import psutil
from common import TOKEN, easymlnb, publish, server, workers
from explained import Bad, Watch

WORKERS = 3
SOURCE = f"""
import time
import easymlnb as ml

@ml.service(workers={WORKERS}, timeout=30, examples=[{{"seconds": 0.01}}])
def waits(seconds: float) -> float:
    time.sleep(seconds)
    return seconds

@ml.service(timeout=30)
def computes(n: int) -> int:
    return sum(i * i for i in range(n))

@ml.service(timeout=30)
def streams(n: int):
    for i in range(n):
        time.sleep(0.005)
        yield i

@ml.service(timeout=30, batch=ml.Batch(max_size=16))
def batches(x: ml.Batched[float]) -> list[float]:
    time.sleep(0.01)
    return [2 * value for value in x]

@ml.service(timeout=30)
def carries(data: bytes) -> int:
    return len(data)

@ml.service(timeout=30)
def fails(x: int) -> int:
    raise ValueError(x)
"""
MIX: dict[str, tuple[int, Callable[[random.Random], bytes]]] = {
    "waits": (8, lambda rng: b'{"seconds": %.3f}' % rng.uniform(0.0, 0.06)),
    "computes": (4, lambda rng: b'{"n": %d}' % rng.randint(1000, 200_000)),
    "streams": (2, lambda rng: b'{"n": %d}' % rng.randint(1, 20)),
    "batches": (4, lambda rng: b'{"x": %.3f}' % rng.random()),
    "carries": (1, lambda rng: b'{"data": "%s"}' % (b"QUJD" * rng.choice((10, 350_000)))),
    "fails": (1, lambda rng: b'{"x": 1}'),
}
"""Each service's share of the calls, and a body for it."""

EXPECTED = {"fails": "call_failed"}
LOOK = 0.5
"""Seconds between two looks at how many workers there are."""

HANDS = 128
"""Calls that may be out at once; more are not sent, which is counted."""


@dataclass
class Soak:
    """What happened."""

    watch: Watch = field(default_factory=lambda: Watch(WORKERS))
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad: list[Bad] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=dict)
    memory: list[tuple[float, float, float]] = field(default_factory=list)
    unsent: int = 0

    @property
    def now(self) -> float:
        return self.watch.now

    def add(self, name: str, code: str, seconds: float, message: str) -> None:
        self.outcomes[name, code] += 1
        if code == EXPECTED.get(name, "ok"):
            self.times.setdefault(name, []).append(seconds)
        else:
            self.bad.append(Bad(self.now, seconds, name, code, message))

    def unexplained(self) -> list[str]:
        """Return in words what no killed worker explains."""
        return [self.watch.told(bad) for bad in self.bad if not self.watch.explains(bad)]


async def call(client: httpx.AsyncClient, soak: Soak, name: str, body: bytes) -> None:
    began = time.monotonic()
    try:
        answer = await client.post(f"services/{name}/call", content=body)
        end = answer.content.splitlines()[-1] if name == "streams" else answer.content
        error = json.loads(end)["error"] if b'"error"' in end else {"code": "ok", "message": ""}
        code, message = str(error["code"]), str(error["message"])
    except (httpx.HTTPError, ValueError, KeyError, IndexError) as problem:
        code, message = type(problem).__name__, str(problem)
    soak.add(name, code, time.monotonic() - began, message)


def any_call(rng: random.Random) -> tuple[str, bytes]:
    name = rng.choices(list(MIX), [share for share, _ in MIX.values()])[0]
    return name, MIX[name][1](rng)


async def capacity(client: httpx.AsyncClient, seconds: float) -> float:
    """Return how many calls a second are answered when there is always one for each worker."""
    trial = Soak()

    async def caller(number: int) -> None:
        rng = random.Random(number)
        while trial.now < seconds:
            await call(client, trial, *any_call(rng))

    await asyncio.gather(*(caller(number) for number in range(2 * WORKERS)))
    return trial.outcomes.total() / trial.now


async def load(client: httpx.AsyncClient, soak: Soak, seconds: float, rate: float) -> None:
    """Send calls at random times, ``rate`` per second on average, without waiting for results."""
    rng = random.Random(1)
    tasks: set[asyncio.Task[None]] = set()
    due = soak.now
    while soak.now < seconds:
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - soak.now))
        if len(tasks) >= HANDS:
            soak.unsent += 1
            continue
        task = asyncio.create_task(call(client, soak, *any_call(rng)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)


async def kill(url: str, soak: Soak, seconds: float, every: float) -> None:
    """Kill a worker every so often; leave the end in peace."""
    while soak.now + 1.5 * every < seconds:
        await asyncio.sleep(every)
        there = await asyncio.to_thread(workers, url)
        if there:
            soak.watch.kills.append(soak.now)
            random.choice(there).send_signal(signal.SIGKILL)


async def look(client: httpx.AsyncClient, soak: Soak, seconds: float) -> None:
    """Note how many workers take calls, and how late this process itself is."""
    while soak.now < seconds:
        with contextlib.suppress(httpx.HTTPError):
            listed = (await client.get("services/waits")).json()
            soak.watch.saw(listed["stats"]["workers"])
        due = time.monotonic() + LOOK
        await asyncio.sleep(LOOK)
        soak.watch.woke(time.monotonic() - due)


async def weigh(url: str, soak: Soak, seconds: float) -> None:
    """Note the memory of the server and of its workers, in MB."""
    process = server(url)
    while soak.now < seconds:
        there = await asyncio.to_thread(workers, url)
        sizes = []
        for one in there:
            try:
                sizes.append(one.memory_info().rss / 2**20)
            except psutil.Error:
                continue
        if sizes:
            soak.memory.append((soak.now, process.memory_info().rss / 2**20, max(sizes)))
        await asyncio.sleep(min(5.0, seconds / 60))


def slope(points: list[tuple[float, float]]) -> float:
    """Return how fast it grows, in MB per hour."""
    return linear_regression(*zip(*points, strict=True)).slope * 3600


async def run(url: str, seconds: float, part: float, every: float) -> dict[str, Any]:
    descriptors = server(url).num_fds()
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    limits = httpx.Limits(max_connections=HANDS)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=60
    ) as client:
        rate = part * await capacity(client, max(5.0, seconds / 40))
        soak = Soak()
        await asyncio.gather(
            load(client, soak, seconds, rate),
            kill(url, soak, seconds, every),
            weigh(url, soak, seconds),
            look(client, soak, seconds),
        )
        health = (await client.get("health/ready")).status_code
        listed = (await client.get("services/waits")).json()
    return report(soak, seconds, rate) | {
        "ready": health == 200 and listed["state"] in ("ready", "busy"),
        "restarts": listed["stats"]["restarts"],
        "workers_left": len(await asyncio.to_thread(workers, url)),
        "descriptors": [descriptors, server(url).num_fds()],
    }


def report(soak: Soak, seconds: float, rate: float) -> dict[str, Any]:
    warm = [point for point in soak.memory if point[0] > seconds / 4]
    calls: dict[str, dict[str, Any]] = {}
    for name, times in sorted(soak.times.items()):
        cuts = quantiles(times, n=100)
        calls[name] = {
            "outcomes": {code: n for (of, code), n in soak.outcomes.items() if of == name},
            "p50_ms": round(1000 * cuts[49], 1),
            "p99_ms": round(1000 * cuts[98], 1),
        }
    errors: Counter[str] = Counter()
    for (name, code), count in soak.outcomes.items():
        if code != EXPECTED.get(name, "ok"):
            errors[code] += count
    return {
        "seconds": seconds,
        "calls": soak.outcomes.total(),
        "rate": round(rate, 1),
        "unsent": soak.unsent,
        "kills": len(soak.watch.kills),
        "errors": dict(errors),
        "unexplained": soak.unexplained(),
        "away": [round(end - begin, 1) for begin, end in soak.watch.away],
        "services": calls,
        "server_mb": round(fmean(point[1] for point in warm), 1),
        "server_mb_per_hour": round(slope([(at, size) for at, size, _ in warm]), 1),
        "largest_worker_mb": round(fmean(point[2] for point in warm), 1),
        "largest_worker_mb_per_hour": round(slope([(at, size) for at, _, size in warm]), 1),
    }


def good(found: dict[str, Any]) -> bool:
    """Say whether it went well. A slope counts by what it adds in the time that was looked at."""
    grown = found["server_mb_per_hour"] * found["seconds"] * 0.75 / 3600
    return bool(
        found["ready"]
        and not found["unexplained"]
        and found["unsent"] < 0.01 * found["calls"]
        and found["workers_left"] == WORKERS
        and grown < max(10.0, 0.1 * found["server_mb"])
        and found["descriptors"][1] <= found["descriptors"][0] + HANDS + 10
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--load", type=float, default=0.6, help="part of what workers can do")
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name, easymlnb(Path(name)) as url:
        publish(url, SOURCE, "soak")
        found = asyncio.run(run(url, 60 * given.minutes, given.load, given.kill_every))
        for line in found["unexplained"]:
            print(line, file=sys.stderr)
        if not good(found):
            print((Path(name) / "log").read_text(errors="replace")[-3000:], file=sys.stderr)
    print(json.dumps(found, indent=1))
    return 0 if good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
