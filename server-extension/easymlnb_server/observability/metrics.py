"""Metrics of calls and workers, for Prometheus and for the pages.

A call costs a few additions. Services, queues and workers are read at each scrape, so removed ones
need no cleanup.
"""

import asyncio
import contextlib
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import accumulate
from math import ceil
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Metric
from prometheus_client import generate_latest as exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from easymlnb.contract.errors import Busy, CallCancelled, EasyMLNBError
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.observability.version_history import Counts, VersionHistory
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import LIVE
from easymlnb_server.services.responses import Stats
from easymlnb_server.traffic.promotions import Sample
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.worker_set import REASONS

CONTENT_TYPE = CONTENT_TYPE_LATEST
__all__ = ["CONTENT_TYPE", "CallMetrics", "Histogram", "Metrics", "exposition"]

BOUNDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, float("inf")),
)
"""Upper bounds of the buckets of durations, in seconds."""

RECENT = 200
"""Number of last calls that the quantiles of ``stats`` include."""

MEASURE_EVERY = 3.0
"""Seconds between two measurements of a version's workers for its promotion."""

UNKNOWN = ("", "")
"""Key of calls that name an unknown service or have no credentials."""

Key = tuple[str, str]
"""A service's name, and the version that answers: a number or ``live``."""

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, float("inf"))
"""Upper bounds of the buckets of batch sizes."""


Samples = Callable[[], Iterable[tuple[tuple[str, ...], int]]]
"""Returns the counts by the values of a metric's labels."""


class Histogram:
    """A histogram, of seconds unless other bounds are given."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self._bounds = bounds
        self.counts = [0] * len(bounds)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, int]]:
        """Return cumulative counts, as Prometheus expects them."""
        names = [*map(str, self._bounds[:-1]), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


class CallMetrics:
    """The numbers of one version of one service.

    ``ended`` counts by HTTP status and error code (``ok`` for a result), ``refused`` by code,
    ``sizes`` counts batches by their calls. ``failed`` are the seconds in total of failed calls,
    and ``last`` is when a call ended, in seconds of ``time.time``; 0 if none did.
    """

    __slots__ = ("ended", "failed", "last", "recent", "refused", "sizes", "whole", "worker")

    def __init__(self) -> None:
        self.ended: Counter[tuple[int, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.whole = Histogram()
        self.worker = Histogram()
        self.sizes = Histogram(SIZES)
        self.failed = self.last = 0.0
        self.recent: deque[float] = deque(maxlen=RECENT)

    def add(self, error: EasyMLNBError | None, whole: float, worker: float) -> None:
        """Count a call that ended: its seconds in total, and in a worker (0 if none ran it)."""
        self.ended[(200, "ok") if error is None else (error.status, error.code)] += 1
        self.whole.add(whole)
        self.recent.append(whole)
        self.last = time.time()
        if error is not None:
            self.failed += whole
        if worker:
            self.worker.add(worker)

    def counts(self) -> Counts:
        """Return the calls that ended or found no room, those that failed, and the 95th percentile.

        Failures are the version's: not errors of the caller, and not stopped calls.
        """
        busy = self.refused[Busy.code]
        failed = sum(
            count
            for (status, code), count in self.ended.items()
            if status >= 500 and code != CallCancelled.code
        )
        return self.ended.total() + busy, failed + busy, _quantile(sorted(self.recent), 0.95)

    def stats(self, in_flight: Collection[CallHandle] = ()) -> Stats:
        """Return the numbers, with those of the calls that are ``in_flight``."""
        running = _running(in_flight)
        stopped = sum(n for (_, code), n in self.ended.items() if code == CallCancelled.code)
        errors = sum(count for (status, _), count in self.ended.items() if status >= 400) - stopped
        recent = sorted(self.recent)
        return Stats(
            calls=self.ended.total(),
            errors=errors,
            stopped=stopped,
            refused=self.refused.total(),
            p50=_quantile(recent, 0.5),
            p95=_quantile(recent, 0.95),
            waiting=len(in_flight) - running,
            running=running,
        )


class Metrics:
    """All series; a collector for ``registry`` between ``open`` and ``close``."""

    interval = 15.0
    """Seconds between two calls of ``refresh``."""

    def __init__(
        self,
        live: LiveServices,
        published: PublishedServices,
        in_flight: Callable[[], Mapping[Key, Collection[CallHandle]]] = dict,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._live = live
        self._published = published
        self._in_flight = in_flight
        self._registry = registry
        self._series: dict[Key, CallMetrics] = {}
        self._memory: dict[str, int] = {}
        self._sizes: dict[str, tuple[float, int | None]] = {}
        self.history = VersionHistory()
        self.counters: dict[tuple[str, ...], Samples] = {}
        """What other parts count, by name, help text and labels of the metric."""

    def open(self) -> None:
        self._registry.register(self)

    def close(self) -> None:
        self._registry.unregister(self)

    def series(self, name: str, version: str) -> CallMetrics:
        """Return the series of a version; a call holds it until it ends."""
        found = self._series.get((name, version))
        if found is None:
            self.prune()
            found = self._series[name, version] = CallMetrics()
        return found

    def numbers(self, name: str, version: str) -> CallMetrics:
        """Return the series of a version, which is empty if nobody called it."""
        return self._series.get((name, version)) or CallMetrics()

    def prune(self) -> None:
        """Forget the services and versions that are gone."""
        known = {UNKNOWN, *((service.spec.name, LIVE) for service in self._live.all())}
        known |= {
            (name, str(number))
            for name, service in tuple(self._published.services.items())
            for number in service.numbers
        }
        for key in self._series.keys() - known - self._in_flight().keys():
            del self._series[key]

    def stats(self, name: str, version: str) -> Stats:
        """Return the numbers of a version; those of workers are ``None`` for a live service."""
        found = self.numbers(name, version).stats(self._in_flight().get((name, version), ()))
        service = self._published.get(name)
        deployments = {
            str(one.number): one.deployment
            for one in (service.versions.values() if service else ())
        }
        deployment = deployments.get(version)
        if deployment is None:
            return found
        return msgspec.structs.replace(
            found,
            workers=len(deployment.dispatcher.workers),
            workers_wanted=deployment.wanted,
            restarts=deployment.restarts.total(),
            memory_bytes=self._memory.get(deployment.bundle),
        )

    async def sample(self, name: str, number: int) -> Sample:
        """Return the numbers of a version for its promotion; its workers are measured."""
        series = self._series.get((name, str(number)))
        calls, errors, p95 = series.counts() if series is not None else (0, 0, None)
        service = self._published.get(name)
        version = service.versions.get(number) if service is not None else None
        if version is None:
            return Sample(calls=calls, errors=errors, p95=p95)
        deployment = version.deployment
        failure = deployment.breaker.error if deployment.state == "failed" else None
        lost = sum(deployment.restarts[reason] for reason in ("lost", "hung", "memory"))
        return Sample(
            calls=calls,
            errors=errors,
            p95=p95,
            memory=await self._largest(deployment),
            lost_workers=lost,
            start_error=failure.message if failure is not None else "",
        )

    async def _largest(self, deployment: Deployment) -> int | None:
        """Return the bytes of the largest worker, measured every few seconds."""
        now = time.monotonic()
        since, size = self._sizes.get(deployment.bundle, (float("-inf"), None))
        if now - since < MEASURE_EVERY:
            return size
        # A node that does not respond must not delay other promotions.
        with contextlib.suppress(TimeoutError):
            found = await asyncio.wait_for(asyncio.to_thread(deployment.memory), MEASURE_EVERY)
            size = max(found, default=0) or None
        self._sizes[deployment.bundle] = now, size
        return size

    async def refresh(self) -> None:
        """Measure the workers' memory, and keep the numbers of each version."""
        self.prune()
        self.history.sample(
            (key, series.counts()) for key, series in self._series.items() if key != UNKNOWN
        )
        await asyncio.to_thread(self.measure)

    def measure(self) -> None:
        """Measure the workers' memory: milliseconds per process, so not for every scrape."""
        versions = self._published.versions()
        deployments = {one.deployment.bundle: one.deployment for one in versions}
        self._memory = {bundle: sum(one.memory()) for bundle, one in deployments.items()}
        self._sizes = {key: found for key, found in self._sizes.items() if key in deployments}

    def describe(self) -> Iterable[Metric]:
        """Return no names, so that two servers in one process can both register."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all known services."""
        self.prune()
        yield from _calls(self._series, self._in_flight())
        yield from self._workers()
        yield from self._counted()

    def _counted(self) -> Iterator[Metric]:
        for (name, text, *labels), samples in self.counters.items():
            family = CounterMetricFamily(name, text, labels=labels)
            for values, count in samples():
                family.add_metric(values, count)
            yield family

    def _workers(self) -> Iterator[Metric]:
        families = _families(_WORKER_FAMILIES, "service", "version", "bundle")
        versions = [
            (name, version)
            for name, service in tuple(self._published.services.items())
            for version in service.versions.values()
        ]
        for name, version in versions:
            deployment = version.deployment
            labels = [name, str(version.number), deployment.bundle[:12]]
            families["ready"].add_metric(labels, len(deployment.dispatcher.workers))
            families["wanted"].add_metric(labels, deployment.wanted)
            families["failed"].add_metric(labels, deployment.state == "failed")
            for reason in REASONS:
                families["restarts"].add_metric([*labels, reason], deployment.restarts[reason])
            if deployment.bundle in self._memory:
                families["memory"].add_metric(labels, self._memory[deployment.bundle])
        yield from families.values()


def _families(table: Mapping[str, tuple[Any, ...]], *labels: str) -> dict[str, Any]:
    return {
        key: kind(name, text, labels=[*labels, *more])
        for key, (kind, name, text, *more) in table.items()
    }


_WORKER_FAMILIES = {
    "ready": (GaugeMetricFamily, "easymlnb_workers_ready", "Workers that accept calls."),
    "wanted": (GaugeMetricFamily, "easymlnb_workers_wanted", "Target number of workers."),
    "failed": (
        GaugeMetricFamily,
        "easymlnb_service_failed",
        "1 if the service has no worker and none could start, else 0.",
    ),
    "restarts": (
        CounterMetricFamily,
        "easymlnb_worker_restarts",
        "Workers that were lost or killed, and replaced.",
        "reason",
    ),
    "memory": (
        GaugeMetricFamily,
        "easymlnb_worker_memory_bytes",
        "Resident memory of the workers and their child processes.",
    ),
}
"""Key -> kind, name, help text and further labels of a metric."""
_CALL_FAMILIES = {
    "ended": (
        CounterMetricFamily,
        "easymlnb_calls",
        "Accepted calls that ended.",
        "status",
        "code",
    ),
    "refused": (
        CounterMetricFamily,
        "easymlnb_calls_refused",
        "Calls that were refused.",
        "code",
    ),
    "waiting": (GaugeMetricFamily, "easymlnb_calls_waiting", "Calls in the queue.", "priority"),
    "running": (GaugeMetricFamily, "easymlnb_calls_running", "Calls running in a worker."),
    "whole": (
        HistogramMetricFamily,
        "easymlnb_call_duration_seconds",
        "Seconds from a call's headers to its end.",
    ),
    "worker": (
        HistogramMetricFamily,
        "easymlnb_call_worker_seconds",
        "Seconds of a call in its worker.",
    ),
    "sizes": (
        HistogramMetricFamily,
        "easymlnb_batch_size",
        "Number of calls per run of a batched service.",
    ),
}


def _calls(
    series: dict[Key, CallMetrics], in_flight: Mapping[Key, Collection[CallHandle]]
) -> Iterator[Metric]:
    families = _families(_CALL_FAMILIES, "service", "version")
    for key, one in series.items():
        for (status, code), count in one.ended.items():
            families["ended"].add_metric([*key, f"{status // 100}xx", code], count)
        for code, count in one.refused.items():
            families["refused"].add_metric([*key, code], count)
        if key == UNKNOWN:
            continue
        calls = in_flight.get(key, ())
        low_priority = [call.low_priority for call in calls if not call.started]
        interactive = len(low_priority) - sum(low_priority)
        families["waiting"].add_metric([*key, "interactive"], interactive)
        families["waiting"].add_metric([*key, "batch"], sum(low_priority))
        families["running"].add_metric(key, _running(calls))
        for name, histogram in (("whole", one.whole), ("worker", one.worker)):
            families[name].add_metric(key, histogram.buckets(), histogram.total)
        if one.sizes.total:
            families["sizes"].add_metric(key, one.sizes.buckets(), one.sizes.total)
    yield from families.values()


def _running(calls: Iterable[CallHandle]) -> int:
    return sum(call.started > 0 for call in calls)


def _quantile(ordered: list[float], share: float) -> float | None:
    """Return the value that this share does not exceed; ``None`` without values."""
    if not ordered:
        return None
    return round(ordered[ceil(share * len(ordered)) - 1], 6)
