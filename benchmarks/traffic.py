"""Versions under load: switches without a failed call, what choosing costs, and many versions.

    python benchmarks/traffic.py [switches] [choosing] [many] [--count 50] [--rate 200]

``switches`` moves all traffic between two versions, at random by weights and by rollback, while
200 calls a second arrive; each answer must name the version that made it. ``choosing`` times the
choice of a version on its own. ``many`` opens a database with 1,000 services of 20 versions, and
times the list of services, the catalog's data and the choice.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import httpx
from common import TOKEN, easymlnb, publish

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.identity.access import Caller
from easymlnb_server.services.catalog import entries
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.models import PublishedService, SleepingVersion, VersionEntry
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import Selection, ServiceRegistry
from easymlnb_server.store import Store
from easymlnb_server.traffic.models import Traffic
from easymlnb_server.traffic.policy import TrafficPolicy
from easymlnb_server.workers.circuit_breaker import CircuitBreaker

SOURCE = "import easymlnb as ml\n@ml.service\ndef f(x: int = 0) -> int:\n    return {number}"
HEADERS = {"Authorization": f"token {TOKEN}"}


async def _load(url: str, rate: float, over: asyncio.Event) -> Counter[str]:
    """Send calls at a rate until ``over`` is set; count what was wrong and what was right."""
    found: Counter[str] = Counter()
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60, limits=limits) as http:

        async def call() -> None:
            try:
                answer = await http.post("services/f/call", json={})
            except httpx.HTTPError as error:
                found[f"lost: {type(error).__name__}"] += 1
                return
            if answer.status_code != 200:
                found[f"failed: {answer.status_code} {answer.text[:100]}"] += 1
            elif answer.text != answer.headers.get("X-Easymlnb-Version"):
                found["named another version"] += 1
            else:
                found[f"answered by {answer.text}"] += 1

        began, sent, tasks = time.monotonic(), 0, set[asyncio.Task[None]]()
        while not over.is_set():
            while sent < (time.monotonic() - began) * rate:
                task = asyncio.create_task(call())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
    return found


async def _switch(url: str, count: int, over: asyncio.Event) -> list[float]:
    """Move the traffic at random; return the seconds of each change."""
    took, dice = [], random.Random(1)
    try:
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=120) as http:
            for number in range(count):
                began = time.monotonic()
                if number % 5 == 4:
                    answer = await http.post("services/f/rollback")
                else:
                    weight = dice.choice([0, 5, 50, 100])
                    body = {"weights": {"1": 100 - weight, "2": weight}}
                    answer = await http.put("services/f/traffic", json=body)
                took.append(time.monotonic() - began)
                if answer.status_code not in (200, 409):
                    raise RuntimeError(answer.text)
                await asyncio.sleep(dice.uniform(0, 0.5))
    finally:
        over.set()
    return took


def switches(count: int, rate: float) -> None:
    with tempfile.TemporaryDirectory() as folder, easymlnb(Path(folder), app_kernels=0) as url:
        for number in (1, 2):
            publish(url, SOURCE.format(number=number), "f")

        async def run() -> tuple[Counter[str], list[float]]:
            over = asyncio.Event()
            return await asyncio.gather(_load(url, rate, over), _switch(url, count, over))

        found, took = asyncio.run(run())
    print(
        f"{count} changes at {rate:g} calls/s: median {median(took):.2f} s, max {max(took):.2f} s"
    )
    for what, calls in sorted(found.items()):
        print(f"  {calls:7,} {what}")
    if any(not what.startswith("answered") for what in found):
        sys.exit("A call failed, or named another version.")


def _microseconds(work: Callable[[], object], times: int = 20_000) -> float:
    def run() -> float:
        began = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - began) / times * 1e6

    return min(run() for _ in range(5))


def _deployment() -> Any:
    return SimpleNamespace(
        state="ready",
        dispatcher=Dispatcher(0),
        breaker=CircuitBreaker(),
        reason="",
        bundle="b",
        starter=SimpleNamespace(drift=None),
    )


def _registry(services: int, versions: int, traffic: Callable[[int], Traffic]) -> ServiceRegistry:
    published = PublishedServices()
    published.open()
    for number in range(services):
        spec = ServiceSpec(name=f"s{number}", title=f"Service {number}", input={}, output={})
        policy = TrafficPolicy.of(traffic(versions))
        awake = {n: VersionEntry(n, "b", spec, _deployment()) for n in policy.traffic.weights}
        sleeping = {n: SleepingVersion(n, "b") for n in range(1, versions + 1) if n not in awake}
        published.set(spec.name, PublishedService(awake, policy, sleeping=sleeping))
    return ServiceRegistry(LiveServices(10), published, account="me")


async def choosing() -> None:
    kinds = {
        "one version": Traffic.undivided,
        "two versions, by chance": lambda last: Traffic(weights={last - 1: 90.0, last: 10.0}),
        "two versions, sticky": lambda last: Traffic(
            weights={last - 1: 90.0, last: 10.0}, sticky="caller"
        ),
    }
    for services in (1, 1000):
        for what, traffic in kinds.items():
            registry = _registry(services, 20, traffic)
            name, selection = f"s{services // 2}", Selection(owner="user me", point=0.3)
            took = _microseconds(partial(registry.find, name, selection=selection))
            print(f"{services:5} services, {what}: {took:.2f} us")


async def many(services: int = 1000, versions: int = 20) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open("", Path(folder))
        for number in range(versions):
            bundle = f"{number:064}"
            store.bundles.add(bundle, owner="me", manifest={}, file="f" * 64)
            specs = [
                ServiceSpec(name=f"s{one}", title="T", input={"type": "object"}, output={})
                for one in range(services)
            ]
            store.services.publish(bundle, specs, owner="me")
        for what, work in (
            ("reading all services", store.services.records),
            ("reading what serves", store.services.serving),
        ):
            began = time.perf_counter()
            work()
            print(f"{services} x {versions}: {what} {time.perf_counter() - began:.2f} s")
        store.close()
    registry = _registry(services, versions, Traffic.undivided)
    caller = Caller("me", admin=True)
    for turn in ("first", "second"):
        began = time.perf_counter()
        entries(registry, lambda name: "", caller)
        seconds = time.perf_counter() - began
        print(f"{services} x {versions}: {turn} list of services {1000 * seconds:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["switches", "choosing", "many", []])
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--rate", type=float, default=200.0)
    given = parser.parse_args()
    what = given.what or ["switches", "choosing", "many"]
    if "choosing" in what:
        asyncio.run(choosing())
    if "many" in what:
        asyncio.run(many())
    if "switches" in what:
        switches(given.count, given.rate)


if __name__ == "__main__":
    main()
