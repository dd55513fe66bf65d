"""Decide how many workers a deployment should have.

The module uses no clock and no kernels, so that a simulation can run it on any traffic.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, inf

from easymlnb.contract.spec import ServiceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLimits:
    """The limits of a deployment.

    - ``min_workers``, ``max_workers``: limits of the number of workers
    - ``target_calls``: calls, running or queued, that one worker should have
    - ``scale_up_window``: seconds over which calls are averaged before a worker is added
    - ``scale_down_window``: seconds for which fewer workers must have been enough before one is
      removed
    - ``idle_timeout``: seconds without calls after which the last worker is removed, if
      ``min_workers`` is 0
    """

    min_workers: int = 1
    max_workers: int = 1
    target_calls: float = 1.0
    scale_up_window: float = 5.0
    scale_down_window: float = 60.0
    idle_timeout: float = 600.0

    @classmethod
    def from_specs(cls, specs: Iterable[ServiceSpec]) -> "ScalingLimits":
        """Return the widest limits among the services of one bundle."""
        specs = tuple(specs)
        return cls(
            min_workers=max(spec.min_workers for spec in specs),
            max_workers=max(spec.workers for spec in specs),
            target_calls=min(spec.target_calls for spec in specs),
            idle_timeout=max(spec.resources.idle for spec in specs),
        )


@dataclass(frozen=True, slots=True)
class Load:
    """The load at one moment.

    - ``now``: seconds of a monotonic clock
    - ``calls``: calls that are running or queued
    - ``ready``: workers that accept calls
    """

    now: float
    calls: int
    ready: int


@dataclass(slots=True)
class Autoscaler:
    """Decides from a sequence of loads.

    Rules:

    1. The number of workers follows the calls of the last ``scale_up_window`` seconds, divided by
       ``target_calls``.
    2. It at most doubles in one step, and not while ordered workers are still starting: the queue
       does not show their effect yet.
    3. It decreases to the largest number needed in the last ``scale_down_window`` seconds.
    4. The last worker is removed after ``idle_timeout`` seconds without calls, if ``min_workers``
       is 0; the next call starts one again.

    ``wanted`` is the latest decision.
    """

    limits: ScalingLimits
    wanted: int = 0
    _loads: deque[Load] = field(default_factory=deque)
    _needs: deque[tuple[float, int]] = field(default_factory=deque)
    _last_call: float | None = None

    def forget_calls(self) -> None:
        """Count the time without calls as over, so that the last worker may be removed now."""
        self._last_call = -inf

    def decide(self, load: Load) -> int:
        """Return the number of workers for now."""
        limits = self.limits
        if self._last_call is None or load.calls:
            self._last_call = load.now
        need = self._need(load)
        self._needs.append((load.now, need))
        while self._needs[0][0] < load.now - limits.scale_down_window:
            self._needs.popleft()
        idle = load.now - self._last_call >= limits.idle_timeout
        floor = limits.min_workers
        if floor == 0 and (load.calls or (self.wanted and not idle)):
            floor = 1
        if need > self.wanted and load.ready >= self.wanted:
            self.wanted = min(need, max(1, 2 * self.wanted))
        else:
            self.wanted = min(self.wanted, max(need for _, need in self._needs))
        if floor == 0:
            self.wanted = 0
        self.wanted = max(floor, min(limits.max_workers, self.wanted))
        return self.wanted

    def _need(self, load: Load) -> int:
        """Return the number of workers for the average load of the last seconds."""
        window = self.limits.scale_up_window
        self._loads.append(load)
        start = load.now - window
        while len(self._loads) > 1 and self._loads[1].now <= start:
            self._loads.popleft()
        total = sum(
            earlier.calls * (later.now - max(start, earlier.now))
            for earlier, later in pairwise(self._loads)
        )
        workers = ceil(round(total / window / self.limits.target_calls, 6))
        return max(0, min(self.limits.max_workers, workers))
