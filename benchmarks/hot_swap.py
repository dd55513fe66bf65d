"""Models under load: an alias moves while calls arrive, and every answer names its version.

    python benchmarks/hot_swap.py [--moves 200] [--rate 100] [--trees 20] [--workers 2]
        [--seconds 90]

Each call predicts twice, so that a call with two versions is found; the forests answer with the
number of their version. A broken version is among the targets: it must never answer. At the end,
the memory of the workers is compared with that before the first move.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median, quantiles

import httpx
import numpy as np
from common import TOKEN, easymlnb, publish, workers
from sklearn.ensemble import RandomForestRegressor

from easymlnb.client import connect
from easymlnb.model_store.saving import Description, archive_of

SOURCE = """
import easymlnb as ml
forest = ml.model("forest@production")

@ml.service(examples=[{{"x": [0.0, 0.0, 0.0]}}], workers={workers})
def predict(x: list[float]) -> list[float]:
    return [float(forest.predict([x])[0]), float(forest.predict([x])[0])]
"""
HEADERS = {"Authorization": f"token {TOKEN}"}
VERSIONS = 3
MOST = 48
"""Calls that wait at the same time; fewer than the queue of a service takes."""


def save(url: str, trees: int) -> None:
    """Save forests that answer with their version, and one version that is broken."""
    data = np.random.default_rng(0).normal(size=(4000, 3))
    noise = np.random.default_rng(1).normal(scale=0.01, size=4000)
    with connect(url, TOKEN) as client, tempfile.TemporaryDirectory() as folder:
        for version in range(1, VERSIONS + 1):
            forest = RandomForestRegressor(trees, n_jobs=1).fit(data, version + noise)
            with archive_of(forest, Description()) as archive:
                client.models.add_version("forest", archive)
        Path(folder, "junk.txt").write_text("no model")
        with archive_of(Path(folder), Description()) as archive:
            client.models.add_version("forest", archive)
        client.models.alias("forest", "production", 1)


class Load:
    """Calls at a rate until ``over`` is set: what they answered, and how long each took."""

    def __init__(self, url: str, rate: float) -> None:
        self.over = asyncio.Event()
        self.found: Counter[str] = Counter()
        self.took: list[float] = []
        self._url = url
        self._rate = rate

    async def run(self) -> None:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(
            base_url=self._url, headers=HEADERS, timeout=60, limits=limits
        ) as http:
            began, sent, tasks = time.monotonic(), 0, set[asyncio.Task[None]]()
            while not self.over.is_set():
                while sent < (time.monotonic() - began) * self._rate and len(tasks) < MOST:
                    task = asyncio.create_task(self._call(http))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    sent += 1
                await asyncio.sleep(0.002)
            await asyncio.gather(*tasks)

    async def _call(self, http: httpx.AsyncClient) -> None:
        began = time.perf_counter()
        try:
            answer = await http.post("services/predict/call", json={"x": [0.1, 0.2, 0.3]})
        except httpx.HTTPError as error:
            self.found[f"lost: {type(error).__name__}"] += 1
            return
        self.took.append(time.perf_counter() - began)
        if answer.status_code != 200:
            self.found[f"failed: {answer.status_code} {answer.text[:100]}"] += 1
            return
        first, second = map(round, answer.json())
        if first != second:
            self.found["mixed two versions"] += 1
        elif answer.headers.get("X-Easymlnb-Model") != f"forest={first}":
            self.found["named another version"] += 1
        else:
            self.found[f"answered by {first}"] += 1


async def move(url: str, count: int, seconds: float) -> int:
    """Move the alias at random, sometimes to the broken version, at last to version 2.

    Ends after some seconds, and returns the number of moves.
    """
    dice = random.Random(1)
    async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=120) as http:
        until, moves = time.monotonic() + seconds, 0
        while moves < count:
            moves += 1
            last = moves == count or time.monotonic() > until
            version = 2 if last else dice.randint(1, VERSIONS + 1)
            answer = await http.put("models/forest/aliases/production", json={"version": version})
            answer.raise_for_status()
            if last:
                break
            await asyncio.sleep(dice.uniform(0, 0.3))
        await serving(http, 2)
        return moves


async def serving(http: httpx.AsyncClient, version: int, workers: int = 1) -> None:
    """Wait until all workers, and that many, serve a version."""
    async with asyncio.timeout(120):
        while True:
            found = (await http.get("models/forest")).json()["serving"]
            if len(found) >= workers and all(one["version"] == version for one in found):
                return
            await asyncio.sleep(0.1)


def memory(url: str) -> list[float]:
    """Return the megabytes of each worker."""
    return [process.memory_info().rss / 2**20 for process in workers(url)]


async def measure(options: argparse.Namespace, url: str) -> tuple[Load, Load, int, list[float]]:
    """Return the calls without and with moves, the moves, and the memory before them."""
    calm, load = Load(url, options.rate), Load(url, options.rate)
    async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=120) as http:
        await serving(http, 1, options.workers)
    before = memory(url)
    task = asyncio.create_task(calm.run())
    await asyncio.sleep(10)
    calm.over.set()
    await task
    task = asyncio.create_task(load.run())
    try:
        moves = await move(url, options.moves, options.seconds)
    finally:
        load.over.set()
        await task
    return calm, load, moves, before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=90)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, easymlnb(Path(folder), app_kernels=0) as url:
        save(url, options.trees)
        publish(url, SOURCE.format(workers=options.workers), "predict")
        calm, load, moves, before = asyncio.run(measure(options, url))
        after = memory(url)
    print(f"{moves} moves at {options.rate:g} calls/s, forests of {options.trees} trees")
    for name, one in (("before", calm), ("while moving", load)):
        high = quantiles(one.took, n=100)[98]
        print(f"  {name}: median {median(one.took) * 1000:.1f} ms, p99 {high * 1000:.1f} ms")
    for what, calls in sorted(load.found.items()):
        print(f"  {calls:7,} {what}")
    for when, found in (("before", before), ("after", after)):
        print(f"  MB of the workers {when}: {', '.join(f'{one:.0f}' for one in found)}")
    if any(not what.startswith("answered") for what in load.found):
        sys.exit("A call failed, mixed versions, or named another version.")


if __name__ == "__main__":
    main()
