"""The workers of a pool, and the places that calls take on them.

A plain call takes its worker's main thread. A short one may be sent ahead, to wait on the worker
itself: the worker then never idles while its answer travels and the next call comes. Calls of an
``async def`` take places beside the main thread.
"""

import time
from collections import Counter
from collections.abc import Iterator

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.engine.link import WorkerLink
from easymlnb_server.engine.pending import Run

AHEAD_SECONDS = 0.002
"""Work that a worker may hold in all, so that what waits there would wait no longer elsewhere."""

AHEAD = 16
"""Calls that a worker may hold beyond the one it runs."""

LATE = 0.02
"""Seconds after its expected end from which a run keeps nothing waiting behind it."""


class Member:
    """One worker: ``line`` are the runs on its main thread, the first of them under way.

    ``slots`` is how many it runs at once there, ``ahead`` how many more it may hold. ``stuck``
    says that its first run is late.
    """

    __slots__ = ("ahead", "beside", "line", "link", "since", "slots", "stuck")

    def __init__(self, link: WorkerLink, slots: int, ahead: int) -> None:
        self.link = link
        self.slots = slots
        self.ahead = ahead
        self.line: list[Run] = []
        self.beside: Counter[str] = Counter()
        self.since = 0.0
        self.stuck = False

    @property
    def free(self) -> bool:
        """Say whether its main thread takes a run at once."""
        return len(self.line) < self.slots

    def put(self, run: Run) -> None:
        if run.beside:
            self.beside[run.service] += 1
            return
        if not self.line:
            self.since = time.monotonic()
        self.line.append(run)
        if len(self.line) > self.slots:
            for pending in run.calls:
                pending.held = True

    def done(self, run: Run) -> None:
        """Take a run away; the next one, if any waits, begins now."""
        if run.beside:
            self.beside[run.service] -= 1
            return
        at = self.line.index(run)
        del self.line[at]
        if at >= self.slots:  # it was given back, and changes nothing for those before it
            return
        self.since = time.monotonic()
        self.stuck = False
        for pending in (p for first in self.line[: self.slots] for p in first.calls):
            pending.held = False

    @property
    def left(self) -> float:
        """Return the seconds until its first run should end, below 0 if that is late."""
        if not self.line:
            return 0.0
        return self.since + self.line[0].seconds - time.monotonic()

    def may_hold(self, seconds: float) -> bool:
        """Say whether a run of so many seconds may wait here."""
        if not self.ahead or self.stuck or len(self.line) >= self.slots + self.ahead:
            return False
        return sum(run.seconds for run in self.line) + seconds <= AHEAD_SECONDS

    def held(self) -> Iterator[Run]:
        """Return the runs that wait here, the last one first."""
        return reversed(self.line[self.slots :])


class Crew:
    """The workers that take calls."""

    def __init__(self) -> None:
        self._members: dict[WorkerLink, Member] = {}

    def __iter__(self) -> Iterator[Member]:
        # One that was lost just now leaves a moment later.
        return (member for member in self._members.values() if not member.link.lost)

    def join(self, link: WorkerLink, slots: int, ahead: int) -> None:
        self._members[link] = Member(link, slots, ahead)

    def get(self, link: WorkerLink) -> Member | None:
        return self._members.get(link)

    def leave(self, link: WorkerLink) -> None:
        self._members.pop(link, None)

    def places(self, spec: ServiceSpec) -> int:
        """Return how many runs of a service can be out at once."""
        each = spec.concurrency if spec.concurrency > 1 else 0
        places = sum(each or member.slots for member in self)
        return min(places, spec.max_concurrent or places)

    def find(self, service: str, spec: ServiceSpec, seconds: float) -> Member | None:
        """Return a worker that takes a run of this service; ``seconds`` is 0 while unknown."""
        if spec.concurrency > 1:
            least = min(self, key=lambda member: member.beside[service], default=None)
            if least is None or least.beside[service] >= spec.concurrency:
                return None
            return least
        for member in self:
            if member.free:
                return member
        if not seconds or spec.batch is not None:
            return None
        holding = (member for member in self if member.may_hold(seconds))
        return min(holding, key=lambda member: len(member.line), default=None)
