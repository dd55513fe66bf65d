"""How many workers a deployment should have, from the calls of the last minutes.

No clock and no kernels: loads go in, numbers come out, so a simulation can try it on any traffic.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from easymlnb.contract.spec import ServiceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of a deployment, and how soon it moves between them.

    ``target`` is the number of calls, running or in line, that one worker should have. ``up`` and
    ``down`` are the seconds that calls are averaged over before a worker is added, and that fewer
    must have been enough before one goes. After ``idle`` seconds without any call the last worker
    goes too, where ``least`` is 0.
    """

    least: int = 1
    most: int = 1
    target: float = 1.0
    up: float = 5.0
    down: float = 60.0
    idle: float = 600.0

    @classmethod
    def of(cls, specs: Iterable[ServiceSpec]) -> "Limits":
        """Return the widest bounds that the services of one bundle ask for."""
        wanted = tuple(specs)
        return cls(
            least=max(spec.min_workers for spec in wanted),
            most=max(spec.workers for spec in wanted),
            target=min(spec.target_calls for spec in wanted),
            idle=max(spec.running.idle for spec in wanted),
        )


@dataclass(frozen=True, slots=True)
class Load:
    """What is seen at one moment: calls running and in line, and workers that take calls.

    ``now`` is in seconds of a clock that only grows.
    """

    now: float
    calls: int
    ready: int


@dataclass(slots=True)
class Autoscaler:
    """Decides from one load after the other; ``wanted`` is its last word."""

    limits: Limits
    wanted: int = 0
    _seen: deque[Load] = field(default_factory=deque)
    _needs: deque[tuple[float, int]] = field(default_factory=deque)
    _busy: float | None = None

    def decide(self, load: Load) -> int:
        """Return how many workers there should be now."""
        limits = self.limits
        if self._busy is None or load.calls:
            self._busy = load.now
        need = self._need(load)
        self._needs.append((load.now, need))
        while self._needs[0][0] < load.now - limits.down:
            self._needs.popleft()
        floor = limits.least
        if floor == 0 and (load.calls or (self.wanted and load.now - self._busy < limits.idle)):
            floor = 1
        if need > self.wanted and load.ready >= self.wanted:
            # While ordered workers are still starting, the line says nothing of what they change.
            # At most twice as many at once: what piled up is no measure of what goes on coming.
            self.wanted = min(need, max(1, 2 * self.wanted))
        else:
            self.wanted = min(self.wanted, max(need for _, need in self._needs))
        if limits.least == 0 and not floor:
            self.wanted = 0
        self.wanted = max(floor, min(limits.most, self.wanted))
        return self.wanted

    def _need(self, load: Load) -> int:
        """Return the workers that the average of the last seconds asks for."""
        self._seen.append(load)
        start = load.now - self.limits.up
        while len(self._seen) > 1 and self._seen[1].now <= start:
            self._seen.popleft()
        total = 0.0
        for earlier, later in zip(self._seen, list(self._seen)[1:], strict=False):
            total += earlier.calls * (later.now - max(start, earlier.now))
        average = total / self.limits.up
        return max(0, min(self.limits.most, ceil(round(average / self.limits.target, 6))))
