"""The workers of a pool, and the places that calls take on them.

A plain call takes its worker's main thread. Short calls may be prefetched: a few wait on the worker
itself, which then never idles while its answer travels and the next call comes. Calls of an
``async def`` take places async_runs the main thread.
"""

import time
from collections import Counter
from collections.abc import Iterator

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.call import Execution
from easymlnb_server.dispatch.worker_link import WorkerLink

PREFETCH_LIMIT = 4
"""Calls that a worker may hold beyond the one it runs."""

RECALL_AFTER = 0.02
"""Seconds that a call may take before those behind it are given to busy workers, too."""


class WorkerSlot:
    """One worker: ``line`` are the runs on its main thread, the first of them under way.

    ``slots`` is how many it runs at once there, ``ahead`` how many more it may hold. ``since`` is
    when the first of them began.
    """

    __slots__ = ("ahead", "async_runs", "line", "link", "since", "slots")

    def __init__(self, link: WorkerLink, slots: int, ahead: int) -> None:
        self.link = link
        self.slots = slots
        self.ahead = ahead
        self.line: list[Execution] = []
        self.async_runs: Counter[str] = Counter()
        self.since = 0.0

    @property
    def free(self) -> bool:
        """Say whether its main thread takes a run at once."""
        return len(self.line) < self.slots

    def put(self, run: Execution) -> None:
        if run.is_async:
            self.async_runs[run.service] += 1
            return
        if not self.line:
            self.since = time.monotonic()
        self.line.append(run)
        if len(self.line) > self.slots:
            for pending in run.calls:
                pending.prefetched = True

    def done(self, run: Execution) -> None:
        """Take a run away; the next one, if any waits, begins now."""
        if run.is_async:
            self.async_runs[run.service] -= 1
            return
        if run is self.line[0]:
            self.since = time.monotonic()
        self.line.remove(run)
        for pending in (p for first in self.line[: self.slots] for p in first.calls):
            pending.prefetched = False

    @property
    def has_credit(self) -> bool:
        """Whether one more short call may wait here. It waits behind short runs only."""
        return len(self.line) < self.slots + self.ahead and all(run.short for run in self.line)

    def recall(self) -> None:
        """Ask for the calls that wait here. The worker keeps those that it begins before.

        It gets no more to hold before its first run ends, as that may be a long one.
        """
        held = self.line[self.slots :]
        if held and self.line[0].short:
            self.line[0].short = False
            for pending in (p for run in reversed(held) for p in run.calls):
                self.link.recall(pending.call.id)


class WorkerSlots:
    """The workers that take calls."""

    def __init__(self) -> None:
        self._members: dict[WorkerLink, WorkerSlot] = {}

    def __iter__(self) -> Iterator[WorkerSlot]:
        # One that was lost just now leaves a moment later.
        return (member for member in self._members.values() if not member.link.lost)

    def join(self, link: WorkerLink, slots: int, ahead: int) -> None:
        self._members[link] = WorkerSlot(link, slots, ahead)

    def get(self, link: WorkerLink) -> WorkerSlot | None:
        return self._members.get(link)

    def leave(self, link: WorkerLink) -> None:
        self._members.pop(link, None)

    def places(self, spec: ServiceSpec) -> int:
        """Return how many runs of a service can be out at once."""
        each = spec.concurrency if spec.concurrency > 1 else 0
        places = sum(each or member.slots for member in self)
        return min(places, spec.max_concurrent or places)

    def recall(self) -> None:
        """Take back the calls that other workers could run sooner.

        Those are the calls behind one that takes long, or all if a worker has nothing to do.
        """
        members = [*self]
        if len(members) > 1:
            idle = any(member.free for member in members)
            late = time.monotonic() - RECALL_AFTER
            for member in members:
                if idle or member.since < late:
                    member.recall()

    def find(self, service: str, spec: ServiceSpec, *, prefetch: bool) -> WorkerSlot | None:
        """Return a worker that takes a run of this service; with ``prefetch`` it may wait there."""
        if spec.concurrency > 1:
            least = min(self, key=lambda member: member.async_runs[service], default=None)
            if least is None or least.async_runs[service] >= spec.concurrency:
                return None
            return least
        for member in self:
            if member.free:
                return member
        if not prefetch:
            return None
        with_credit = (member for member in self if member.has_credit)
        return min(with_credit, key=lambda member: len(member.line), default=None)
