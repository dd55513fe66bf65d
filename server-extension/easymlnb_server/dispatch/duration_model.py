"""Learn how long runs and worker starts take, for batches, queues and ``Retry-After``."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

UNNOTICED = 0.01
"""Fraction of a run's duration that simultaneous callers may wait for one another."""

LONGEST_WAIT = 0.05
TICK = 0.002
"""Seconds; the event loop's timers are not exact enough for shorter waits."""

DECAY = 0.9
"""Weight that a run keeps with each later one: about the last twenty runs count."""


class DurationModel:
    """Duration of a run of ``n`` calls as ``a * n + b``: least squares, recent runs count most.

    While all runs had one size, ``a`` and ``b`` are unknown. A smaller run is then expected to take
    as long, and half of a larger run's duration to grow in proportion.
    """

    __slots__ = ("_n", "_nn", "_ns", "_s", "_weight")

    def __init__(self) -> None:
        self._weight = self._n = self._s = self._nn = self._ns = 0.0

    def add(self, n: int, seconds: float, *, complete: bool = True) -> None:
        """Learn from a run of ``n`` calls.

        A run that was interrupted would have taken longer. It counts as twice its duration, and
        only if that is more than expected.
        """
        if not complete:
            seconds *= 2
            if seconds < self.seconds(n):
                return
        self._weight = self._weight * DECAY + 1
        self._n = self._n * DECAY + n
        self._s = self._s * DECAY + seconds
        self._nn = self._nn * DECAY + n * n
        self._ns = self._ns * DECAY + n * seconds

    def seconds(self, n: int) -> float:
        """Return the expected duration of a run of ``n`` calls; 0 while it is unknown."""
        if not self._weight:
            return 0.0
        spread = self._weight * self._nn - self._n**2
        mean = self._s / self._weight
        if spread < 1e-6 * self._n**2:
            return max(mean, mean * (1 + n * self._weight / self._n) / 2)
        a = (self._weight * self._ns - self._n * self._s) / spread
        if a <= 0:
            return mean
        b = mean - a * self._n / self._weight
        return a * n + b if b > 0 else n * self._ns / self._nn

    def unnoticed_wait(self) -> float:
        """Return the seconds that a call may wait for others unnoticed; usually 0."""
        seconds = self.seconds(1) * UNNOTICED
        return min(seconds, LONGEST_WAIT) if seconds >= TICK else 0.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """The queued runs of one service; ``seconds`` is the duration of each."""

    runs: int
    seconds: float


def expected_wait(own: Backlog, others: Iterable[Backlog], capacity: int) -> float:
    """Return the seconds until a service's backlog is done with ``capacity`` runs at once.

    Services take turns, so each other service runs as often in that time, if it has enough calls.
    """
    between = sum(min(own.runs, other.runs) * other.seconds for other in others)
    return (own.runs * own.seconds + between) / max(1, capacity)


@dataclass(frozen=True, slots=True)
class NoWorkers:
    """Why a version has no workers.

    - ``state``: ``"starting"`` or ``"asleep"``
    - ``reason``: what the start waits for, as a sentence; empty if it does not wait
    - ``seconds``: expected seconds until a worker is ready; 0 while that is unknown
    """

    state: str = "starting"
    reason: str = ""
    seconds: float = 0.0


class StartupEstimator:
    """Estimates how long workers take to start; recent starts count most."""

    DECAY = 0.5
    MIN_REMAINING = 1.0
    """Seconds reported for a start that takes longer than earlier ones."""

    def __init__(self) -> None:
        self._mean = 0.0
        self._running: list[float] = []

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Measure the start made in the block; a failed start is ignored."""
        began = time.monotonic()
        self._running.append(began)
        try:
            yield
            seconds = time.monotonic() - began
            decay = self.DECAY if self._mean else 0.0
            self._mean = self._mean * decay + seconds * (1 - decay)
        finally:
            self._running.remove(began)

    @property
    def remaining(self) -> float:
        """Expected seconds until the next worker is ready; 0 while that is unknown."""
        if not self._mean:
            return 0.0
        now = time.monotonic()
        return max(self.MIN_REMAINING, self._mean - (now - min(self._running, default=now)))
