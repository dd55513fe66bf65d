"""Measure one service while a thousand slow calls of another run or wait, and without them."""

import asyncio
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles

import httpx
from common import TOKEN, Caller, Peer, easymlnb, publish, service
from load import answer, request

SLOW = """
import time
import easymlnb as ml

@ml.service(timeout=300, workers=2)
def slow() -> None:
    time.sleep(0.05)
"""
QUICK = """
import easymlnb as ml

@ml.service
def quick(x: float) -> float:
    return x
"""
MANY = 1000
ROUNDS = 5


async def call(peer: Peer) -> int:
    """Make one slow call and return the status of its answer."""
    parts = httpx.URL(peer.url)
    reader, writer = await asyncio.open_connection(parts.host, parts.port)
    writer.write(request(peer, peer.bodies[0]))
    status, _, _ = await answer(reader)
    writer.close()
    return status


async def crowd(peer: Peer) -> set[int]:
    """Make all the slow calls at once and return the statuses of their answers."""
    return set(await asyncio.gather(*(call(peer) for _ in range(MANY))))


def gather(peer: Peer) -> set[int]:
    return asyncio.run(crowd(peer))


def waiting(url: str) -> int:
    answer = httpx.get(f"{url}services/slow", headers={"Authorization": f"token {TOKEN}"})
    return int(answer.json()["stats"]["waiting"])


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(easymlnb(folder, queue_limit=MANY))
        publish(url, SLOW, "slow")
        publish(url, QUICK, "quick")
        caller = Caller(service(url, "quick", [b'{"x": 1.5}']))
        caller.times(500)
        rows: dict[str, list[tuple[float, float]]] = {"alone": [], "beside": []}
        # In a process of their own, and without a library that looks at a thousand connections for
        # each answer: what the calls cost their client must not be what is measured.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            for _ in range(ROUNDS):
                times = caller.times(2000)
                rows["alone"].append((median(times), quantiles(times, n=100)[98]))
                sent = pool.submit(gather, service(url, "slow", [b"{}"]))
                while not sent.done() and waiting(url) < MANY - 50:
                    time.sleep(0.1)
                times = []
                while waiting(url) > 100:
                    times += caller.times(200)
                rows["beside"].append((median(times), quantiles(times, n=100)[98]))
                print(f"  {len(times)} calls; slow ones: {sent.result()}", file=sys.stderr)
    print("| the other service's slow calls | p50 | p99 |\n|---|---|---|")
    for name, found in rows.items():
        p50, p99 = (median(column) * 1000 for column in zip(*found, strict=True))
        print(f"| {name} | {p50:.2f} ms | {p99:.2f} ms |")


if __name__ == "__main__":
    main()
