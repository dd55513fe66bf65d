"""When to close a batch: calls that come by chance, beside the rules of other servers.

The model takes 8 ms and 1 ms per item. The rules run on the same arrivals as a calculation, without
a network or a processor: what that shows is the least that such a server can take. The first, which
is the best of them, also runs for real within one process, in turns with easymlnb: this is what the
machine allows, whose sleeps last too long and whose processors are wanted by others.
"""

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from common import easymlnb, publish, service
from load import arrivals, poisson

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
MOST = 32
WINDOW = 0.010


def cost(size: int) -> float:
    return 0.008 + 0.001 * size


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


def main() -> None:
    print("p50 in ms at " + ", ".join(f"{rate}/s" for rate in RATES))
    for name, rule in RULES.items():
        cells = [median(rule(poisson(rate, SECONDS))) * 1000 for rate in RATES]
        print(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    with tempfile.TemporaryDirectory() as name, easymlnb(Path(name)) as url:
        publish(url, SOURCE, "slow")
        peer = service(url, "slow", [b'{"x": 1.5}'])
        asyncio.run(arrivals(peer, poisson(50, 2.0)))
        floor, ours = [], []
        for rate in RATES:
            times = poisson(rate, SECONDS)
            found = []
            for _ in range(ROUNDS):
                calls = asyncio.run(arrivals(peer, times))
                assert all(call.status == 200 for call in calls)
                bare = median(asyncio.run(alone(times)))
                found.append((bare, median(call.seconds for call in calls)))
            floor.append(median(bare for bare, _ in found) * 1000)
            ours.append((median(p50 for _, p50 in found) * 1000,
                         median(p50 / bare for bare, p50 in found)))  # fmt: skip
        print("| all that waits, in one process | " + " | ".join(f"{x:.1f}" for x in floor) + " |")
        print("| easymlnb | " + " | ".join(f"{x:.1f} ({of:.2f} x)" for x, of in ours) + " |")


if __name__ == "__main__":
    main()
