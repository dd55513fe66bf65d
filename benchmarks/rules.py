"""When to close a batch: calls that come by chance, beside the rules of other servers.

The model takes 8 ms and 1 ms per item. The other rules run on the same arrivals as a calculation,
without a network or a processor: what they show is the least that such a server can take.
"""

import asyncio
import tempfile
from collections.abc import Callable
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
        cells = []
        for rate in RATES:
            times = poisson(rate, SECONDS)
            rounds = [asyncio.run(arrivals(peer, times)) for _ in range(ROUNDS)]
            assert all(call.status == 200 for calls in rounds for call in calls)
            cells.append(median(median(c.seconds for c in calls) for calls in rounds) * 1000)
        print("| easymlnb, measured | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
