"""How long runs take, learned from those that were: for batches, lines and ``Retry-After``.

And how long workers take to start, for those who wait for one.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from easymlnb.contract.spec import ServiceSpec

UNNOTICED = 0.01
"""Part of the time of a run that callers who come at once may wait for each other."""

LONGEST_MOMENT = 0.05
TICK = 0.002
"""Seconds; timers of the event loop know no less than half of a tick."""

FORGETTING = 0.9
"""Weight that a run keeps with each later one: about the last twenty count."""


class DurationModel:
    """Seconds of a run of ``n`` calls as ``a * n + b``: least squares, the latest runs count most.

    While all runs had one size, nothing tells ``a`` from ``b``; then a smaller run is taken to
    last as long, and with a larger one half of that is taken to grow in proportion.
    """

    __slots__ = ("_n", "_nn", "_ns", "_s", "_weight")

    def __init__(self) -> None:
        self._weight = self._n = self._s = self._nn = self._ns = 0.0

    def add(self, n: int, seconds: float, *, whole: bool = True) -> None:
        """Take in a run of ``n`` calls that lasted so long.

        One that was broken off, not ``whole``, would have lasted longer: twice as long, say, which
        counts where it is more than was thought.
        """
        if not whole:
            seconds *= 2
            if seconds < self.seconds(n):
                return
        self._weight = self._weight * FORGETTING + 1
        self._n = self._n * FORGETTING + n
        self._s = self._s * FORGETTING + seconds
        self._nn = self._nn * FORGETTING + n * n
        self._ns = self._ns * FORGETTING + n * seconds

    def seconds(self, n: int) -> float:
        """Return what a run of ``n`` calls should last; 0 while nothing is known."""
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

    def moment(self) -> float:
        """Return the seconds that a call may wait for others and not notice it; mostly 0."""
        moment = self.seconds(1) * UNNOTICED
        return min(moment, LONGEST_MOMENT) if moment >= TICK else 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """What stands in line for one service: so many runs of so many seconds."""

    runs: int
    seconds: float


def wait(own: Load, others: Iterable[Load], places: int) -> float:
    """Return the seconds until a service's line is worked off by ``places`` runs at a time.

    Services take turns, so each of the others gets in as many runs meanwhile, if it has them.
    """
    between = sum(min(own.runs, other.runs) * other.seconds for other in others)
    return (own.runs * own.seconds + between) / max(1, places)


class DurationModels:
    """What is known of the services of one pool."""

    def __init__(self) -> None:
        self._fits: defaultdict[str, DurationModel] = defaultdict(DurationModel)

    def of(self, service: str) -> DurationModel:
        return self._fits[service]

    def wait(
        self,
        service: str,
        spec: ServiceSpec,
        calls: int,
        others: Mapping[str, int],
        places: int,
    ) -> float:
        """Return the seconds until so many calls of this service had their turn.

        ``others`` are the calls that wait for other services, ``places`` the runs at a time.
        """
        size = spec.batch.max_size if spec.batch is not None else 1
        own = Load(-(-calls // size), self._fits[service].seconds(min(calls, size)))
        theirs = (Load(count, self._fits[name].seconds(1)) for name, count in others.items())
        return wait(own, theirs, places)


@dataclass(frozen=True, slots=True)
class NoWorkers:
    """What calls wait for while there are no workers.

    ``state`` is a word, ``reason`` a sentence where there is one, ``seconds`` about how long it
    takes, 0 while nothing is known.
    """

    state: str = "starting"
    reason: str = ""
    seconds: float = 0.0


class StartupEstimator:
    """How long workers take until they serve; the latest ones count most."""

    FORGETTING = 0.5
    LEAST = 1.0
    """Seconds that are said of a start that takes longer than those before."""

    def __init__(self) -> None:
        self._mean = 0.0
        self._under_way: list[float] = []

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the start that is made inside; one that fails tells nothing."""
        began = time.monotonic()
        self._under_way.append(began)
        try:
            yield
            took = time.monotonic() - began
            forgetting = self.FORGETTING if self._mean else 0.0
            self._mean = self._mean * forgetting + took * (1 - forgetting)
        finally:
            self._under_way.remove(began)

    @property
    def left(self) -> float:
        """Seconds until the next worker should serve; 0 while nothing is known."""
        if not self._mean:
            return 0.0
        now = time.monotonic()
        return max(self.LEAST, self._mean - (now - min(self._under_way, default=now)))
