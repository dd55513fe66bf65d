"""The numbers of calls and workers: right, bounded, and gone with what they are about."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from easymlnb.contract.errors import CallFailed, InvalidInput
from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.http.charts import duration
from easymlnb_server.observability.metrics import BOUNDS, RECENT, UNKNOWN, Histogram, Metrics
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.models import VersionEntry
from easymlnb_server.services.published import PublishedServices
from support.fakes import FakeLink, spec, with_version

BUNDLE = "0123456789abcdef"
OF_F = {"service": "f", "version": "1"}


@dataclass
class World:
    """Metrics of given tables, in a registry of their own."""

    live: LiveServices
    published: PublishedServices
    registry: CollectorRegistry
    metrics: Metrics

    def publish(self, name: str, version: int, deployment: Any) -> None:
        publish(self.published, name, version, deployment)

    def samples(self, name: str, **labels: str) -> list[float]:
        """Return what a scrape reads under a name, of the series with these labels."""
        families = text_string_to_metric_families(generate_latest(self.registry).decode())
        return [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]


def publish(published: PublishedServices, name: str, version: int, deployment: Any) -> None:
    entry = VersionEntry(version, BUNDLE, spec(name), deployment)
    published.set(name, with_version(entry))


def deployment(pool: Dispatcher | None = None, memory: int = 5) -> Any:
    return SimpleNamespace(
        bundle=BUNDLE,
        dispatcher=pool or Dispatcher(1),
        wanted=2,
        state="failed",
        restarts=Counter(lost=3),
        memory=lambda: [memory],
    )


@pytest.fixture
def world() -> Iterator[World]:
    live, published, registry = LiveServices(10), PublishedServices(), CollectorRegistry()
    made = World(live, published, registry, Metrics(live, published, registry=registry))
    made.metrics.open()
    yield made
    made.metrics.close()
    assert generate_latest(registry) == b""


def test_calls_are_counted_by_their_end(world: World) -> None:
    world.publish("f", 1, deployment())
    series = world.metrics.series("f", "1")
    series.add(None, 0.02, 0.01)
    series.add(None, 0.2, 0.1)
    series.add(InvalidInput([]), 0.001, 0.0)
    series.add(CallFailed(), 70.0, 69.0)
    total = "easymlnb_calls_total"
    assert world.samples(total, **OF_F, status="2xx", code="ok") == [2]
    assert world.samples(total, **OF_F, status="4xx", code="invalid_input") == [1]
    assert world.samples(total, **OF_F, status="5xx", code="call_failed") == [1]
    bucket = "easymlnb_call_duration_seconds_bucket"
    assert world.samples(bucket, **OF_F, le="0.001") == [1]
    assert world.samples(bucket, **OF_F, le="0.025") == [2]
    assert world.samples(bucket, **OF_F, le="60.0") == [3]
    assert world.samples(bucket, **OF_F, le="+Inf") == [4]
    assert world.samples("easymlnb_call_duration_seconds_sum", **OF_F) == [pytest.approx(70.221)]
    # The one that no worker saw has no time in one.
    assert world.samples("easymlnb_call_worker_seconds_count", **OF_F) == [3]


def test_batches_are_counted_by_their_size(world: World) -> None:
    world.publish("f", 1, deployment())
    assert world.samples("easymlnb_batch_size_count", **OF_F) == []
    series = world.metrics.series("f", "1")
    for size in (1, 3, 64, 1000):
        series.sizes.add(size)
    bucket = "easymlnb_batch_size_bucket"
    assert world.samples(bucket, **OF_F, le="1.0") == [1]
    assert world.samples(bucket, **OF_F, le="4.0") == [2]
    assert world.samples(bucket, **OF_F, le="64.0") == [3]
    assert world.samples(bucket, **OF_F, le="+Inf") == [4]
    assert world.samples("easymlnb_batch_size_sum", **OF_F) == [1068]


async def test_calls_in_flight_by_version(world: World) -> None:
    pool, link = Dispatcher(5), FakeLink()
    world.publish("f", 1, deployment(pool))
    call = Call(id=0, service="f", seconds=9.0)
    calls: list[CallHandle] = []
    world.metrics._in_flight = lambda: {("f", "1"): calls}
    world.metrics.series("f", "1")
    calls += [pool.submit(call, b"", low_priority=patient) for patient in (True, True, False)]
    waiting = "easymlnb_calls_waiting"
    assert world.samples(waiting, **OF_F, priority="interactive") == [1]
    assert world.samples(waiting, **OF_F, priority="batch") == [2]
    pool.join(link, 1)
    await asyncio.sleep(0)
    stats = world.metrics.stats("f", "1")
    assert (stats.running, stats.waiting, stats.workers) == (1, 2, 1)
    assert world.samples("easymlnb_calls_running", **OF_F) == [1]
    link.close()
    await asyncio.sleep(0)
    pool.close(CallFailed())


def test_workers_and_their_memory(world: World) -> None:
    pool = Dispatcher(1)
    world.publish("f", 1, deployment(pool, memory=7))
    of = {**OF_F, "bundle": BUNDLE[:12]}
    assert world.samples("easymlnb_workers_wanted", **of) == [2]
    assert world.samples("easymlnb_workers_ready", **of) == [0]
    assert world.samples("easymlnb_service_failed", **of) == [1]
    assert world.samples("easymlnb_worker_restarts_total", **of, reason="lost") == [3]
    assert world.samples("easymlnb_worker_memory_bytes") == []  # nobody looked yet
    world.metrics.measure()
    assert world.samples("easymlnb_worker_memory_bytes", **of) == [7]
    found = world.metrics.stats("f", "1")
    assert (found.memory_bytes, found.restarts, found.workers_wanted) == (7, 3, 2)


def test_what_is_gone_leaves_no_series(world: World) -> None:
    world.publish("f", 1, deployment())
    world.publish("g", 1, deployment())
    for name in "fg":
        world.metrics.series(name, "1").add(None, 0.1, 0.1)
    running = world.metrics.series("f", "1")
    world.published.remove("g")
    world.publish("f", 2, deployment())
    assert world.samples("easymlnb_calls_total") == []
    running.add(None, 0.1, 0.1)  # a call that the old version still answered
    world.metrics.series("f", "2").add(None, 0.1, 0.1)
    assert world.samples("easymlnb_calls_total") == [1]
    assert world.samples("easymlnb_calls_total", service="f", version="2") == [1]
    assert world.samples("easymlnb_workers_wanted", service="g") == []


def test_a_service_published_anew_begins_at_nothing(world: World) -> None:
    world.publish("f", 1, deployment())
    world.metrics.series("f", "1").add(None, 0.1, 0.1)
    world.published.remove("f")
    world.metrics.prune()
    world.publish("f", 1, deployment())
    assert world.metrics.stats("f", "1").calls == 0


def test_series_are_forgotten_without_any_scrape(world: World) -> None:
    for version in range(1, 1000):
        world.publish("f", version, deployment())
        world.metrics.series("f", str(version))
    assert len(world.metrics._series) <= 2


def test_a_live_service_has_calls_but_no_workers(world: World) -> None:
    link = FakeLink()
    world.live.offer(link, spec("f"))
    world.metrics.series("f", "live").add(None, 0.1, 0.1)
    assert world.samples("easymlnb_calls_total", service="f", version="live") == [1]
    assert world.samples("easymlnb_workers_ready") == []
    found = world.metrics.stats("f", "live")
    assert (found.calls, found.workers, found.memory_bytes) == (1, None, None)
    world.live.withdraw(link, "f")
    assert world.samples("easymlnb_calls_total") == []


def test_refusals_of_nobodys_calls_are_kept_apart(world: World) -> None:
    world.publish("f", 1, deployment())
    world.metrics.series("f", "1").refused["busy"] += 2
    world.metrics.series(*UNKNOWN).refused["not_logged_in"] += 1
    assert world.samples("easymlnb_calls_refused_total", **OF_F, code="busy") == [2]
    assert world.samples("easymlnb_calls_refused_total", service="", code="not_logged_in") == [1]
    assert world.samples("easymlnb_calls_running", service="") == []
    assert world.metrics.stats("f", "1").refused == 2


def test_quantiles_are_of_the_last_calls(world: World) -> None:
    world.publish("f", 1, deployment())
    series = world.metrics.series("f", "1")
    assert series.stats().p50 is None
    series.add(None, 0.5, 0.1)
    assert (series.stats().p50, series.stats().p95) == (0.5, 0.5)
    for number in range(1, RECENT + 1):
        series.add(None, number / 1000, 0.0)
    found = series.stats()
    assert (found.calls, found.p50, found.p95) == (RECENT + 1, 0.1, 0.19)


@pytest.mark.parametrize("number", range(len(BOUNDS)))
def test_a_bound_belongs_to_its_bucket(number: int) -> None:
    times = Histogram()
    times.add(BOUNDS[number])
    assert [count for _, count in times.buckets()] == [0] * number + [1] * (len(BOUNDS) - number)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.00042, "0.42 ms"), (0.0123, "12.3 ms"), (0.9994, "999 ms"),
        (0.9996, "1 s"), (12.34, "12.3 s"), (99.9, "100 s"), (3600.0, "3,600 s"),
    ],
)  # fmt: skip
def test_times_are_said_shortly(seconds: float, said: str) -> None:
    assert duration(seconds) == said
