"""Latency and errors of each version over time, from samples of the metrics."""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

KEPT = 240
"""Samples of a version: one hour."""

Counts = tuple[int, int, float | None]
"""Calls, errors, and the 95th percentile of the last calls in seconds."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a version did between two samples; ``time`` is in seconds since 1970."""

    time: float
    calls: int
    errors: int
    p95: float | None


class VersionHistory:
    """The last samples of each version that got calls."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str], deque[Point]] = {}
        self._last: dict[tuple[str, str], tuple[int, int]] = {}

    def sample(
        self, counts: Iterable[tuple[tuple[str, str], Counts]], now: float | None = None
    ) -> None:
        """Add a point for each version that got calls since the last sample."""
        moment = time.time() if now is None else now
        seen = set()
        for key, (calls, errors, p95) in counts:
            seen.add(key)
            calls_before, errors_before = self._last.get(key, (0, 0))
            self._last[key] = calls, errors
            if calls > calls_before:
                points = self._points.setdefault(key, deque(maxlen=KEPT))
                points.append(Point(moment, calls - calls_before, errors - errors_before, p95))
        for key in self._last.keys() - seen:
            self._last.pop(key)
            self._points.pop(key, None)

    def of(self, name: str) -> dict[str, list[Point]]:
        """Return the points of a service by version, oldest first."""
        return {
            version: list(points)
            for (service, version), points in self._points.items()
            if service == name
        }
