"""Compare rules for closing a batch: easymlnb's and those of other servers, on random arrivals.

The model takes 8 ms plus 1 ms per item. All rules are simulated on the same arrivals, without a
network or a processor: the result is the lower bound for a server with that rule. The first rule,
which is the best, also runs for real, interleaved with easymlnb: in one process, which shows what
this machine allows, and behind a minimal HTTP server (``bare.py``), which shows what any call over
HTTP costs.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bare import MOST, cost
from common import HERE, Peer, easymlnb, free_port, process, publish, service, wait_until
from load import arrivals, poisson

BODY = b'{"x": 1.5}'
SOURCE = """
import time
import easymlnb as ml

@ml.service(batch=ml.Batch(max_size=32))
def slow(x: ml.Batched[float]) -> list[float]:
    time.sleep(0.008 + 0.001 * len(x))
    return x
"""
RATES = (20, 150, 500)
SECONDS = 8.0
ROUNDS = 3
WINDOW = 0.010


def greedy(times: list[float]) -> list[float]:
    """Take all that waits as soon as the worker is free: our rule."""
    return _windowed(times, 0.0)


def window(times: list[float]) -> list[float]:
    """Wait for more from when the worker is free and a first call is there, as LitServe does."""
    return _windowed(times, WINDOW)


def _windowed(times: list[float], wait: float) -> list[float]:
    found, at, free = [], 0, 0.0
    while at < len(times):
        begin = max(free, times[at])
        until = begin + wait
        size = sum(1 for due in times[at : at + MOST] if due <= until)
        start = until if size < MOST else max(begin, times[at + MOST - 1])
        free = start + cost(size)
        found += [free - due for due in times[at : at + size]]
        at += size
    return found


def early(times: list[float]) -> list[float]:
    """Close a batch 10 ms after its first call though the worker is busy: Ray Serve, MLServer."""
    found, at, free = [], 0, 0.0
    while at < len(times):
        until = times[at] + WINDOW
        size = sum(1 for due in times[at : at + MOST] if due <= until)
        closed = until if size < MOST else times[at + MOST - 1]
        free = max(free, closed) + cost(size)
        found += [free - due for due in times[at : at + size]]
        at += size
    return found


async def alone(times: list[float]) -> list[float]:
    """Run the first rule in this process, with a thread that sleeps for a model."""
    loop = asyncio.get_running_loop()
    line: deque[float] = deque()
    some = asyncio.Event()
    found: list[float] = []
    began = loop.time()

    def arrive(due: float) -> None:
        line.append(due)
        some.set()

    for due in times:
        loop.call_at(began + due, arrive, due)
    with ThreadPoolExecutor(1) as model:
        while len(found) < len(times):
            some.clear()
            if not line:
                await some.wait()
            taken = [line.popleft() for _ in range(min(MOST, len(line)))]
            await loop.run_in_executor(model, time.sleep, cost(len(taken)))
            found += [loop.time() - began - due for due in taken]
    return found


RULES: dict[str, Callable[[list[float]], list[float]]] = {
    "all that waits, calculated": greedy,
    "window of 10 ms (LitServe), calculated": window,
    "closed while busy (Ray Serve, MLServer), calculated": early,
}


@contextlib.contextmanager
def bare(folder: Path) -> Iterator[Peer]:
    """Run the first rule behind the least HTTP server, in a process of its own."""
    port = free_port()
    command = [sys.executable, str(HERE / "bare.py"), str(port)]
    with process(command, {**os.environ}, folder):
        peer = Peer(f"http://127.0.0.1:{port}/", [BODY])
        wait_until(peer.answers)
        yield peer


def p50(peer: Peer, times: list[float]) -> float:
    calls = asyncio.run(arrivals(peer, times))
    assert all(call.status == 200 for call in calls)
    return median(call.seconds for call in calls)


def main() -> None:
    print("p50 in ms at " + ", ".join(f"{rate}/s" for rate in RATES))
    for name, rule in RULES.items():
        cells = [median(rule(poisson(rate, SECONDS))) * 1000 for rate in RATES]
        print(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    with (
        tempfile.TemporaryDirectory() as name,
        easymlnb(Path(name)) as url,
        bare(Path(name)) as least,
    ):
        publish(url, SOURCE, "slow")
        peer = service(url, "slow", [BODY])
        p50(peer, poisson(50, 2.0))
        rows: dict[str, list[str]] = {"one process": [], "bare HTTP": [], "easymlnb": []}
        for rate in RATES:
            times = poisson(rate, SECONDS)
            found = [
                (median(asyncio.run(alone(times))), p50(least, times), p50(peer, times))
                for _ in range(ROUNDS)
            ]
            inside, http, ours = (median(column) * 1000 for column in zip(*found, strict=True))
            rows["one process"].append(f"{inside:.1f}")
            rows["bare HTTP"].append(f"{http:.1f}")
            beside = [median(o / other for *others, o in found for other in others[n : n + 1])
                      for n in (0, 1)]  # fmt: skip
            rows["easymlnb"].append(f"{ours:.1f} ({beside[0]:.2f} x, {beside[1]:.2f} x)")
    for name, cells_ in rows.items():
        print(f"| all that waits, {name} | " + " | ".join(cells_) + " |")


if __name__ == "__main__":
    main()
