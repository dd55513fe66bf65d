"""The workers of one version, and the slots that calls take on them."""

import time
from collections import Counter
from collections.abc import Iterator

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.call import Execution
from easymlnb_server.dispatch.worker_link import WorkerLink

PREFETCH_LIMIT = 4
"""Calls that a worker may hold in addition to the one it runs."""

RECALL_AFTER = 0.02
"""Seconds after which the calls behind a running call may move to other busy workers."""


class WorkerSlot:
    """What the dispatcher knows about one worker.

    A worker runs calls on its main thread, ``capacity`` of them at once. Up to ``prefetch`` more
    short calls may wait on the worker, so that it does not idle while a result travels to the
    server and the next call back. Calls of an ``async def`` run on the worker's event loop and
    need no main thread.

    - ``runs``: the runs sent to the main thread, in their order; the first ``capacity`` have
      started
    - ``async_runs``: number of runs on the event loop by service
    - ``first_started``: when the first of ``runs`` started, by ``time.monotonic()``
    """

    __slots__ = ("async_runs", "capacity", "first_started", "link", "prefetch", "runs")

    def __init__(self, link: WorkerLink, capacity: int, prefetch: int) -> None:
        self.link = link
        self.capacity = capacity
        self.prefetch = prefetch
        self.runs: list[Execution] = []
        self.async_runs: Counter[str] = Counter()
        self.first_started = 0.0

    @property
    def is_free(self) -> bool:
        """Whether the main thread would start another run at once."""
        return len(self.runs) < self.capacity and not self.link.pauses

    def add(self, run: Execution) -> None:
        if run.is_async:
            self.async_runs[run.service] += 1
            return
        if not self.runs:
            self.first_started = time.monotonic()
        self.runs.append(run)
        if len(self.runs) > self.capacity:
            for handle in run.calls:
                handle.prefetched = True

    def remove(self, run: Execution) -> None:
        """Remove a run that has ended; the worker starts the next prefetched one."""
        if run.is_async:
            self.async_runs[run.service] -= 1
            return
        if run is self.runs[0]:
            self.first_started = time.monotonic()
        self.runs.remove(run)
        for handle in (h for started in self.runs[: self.capacity] for h in started.calls):
            handle.prefetched = False

    @property
    def has_credit(self) -> bool:
        """Whether one more short call may wait here: only behind short runs."""
        has_room = len(self.runs) < self.capacity + self.prefetch and not self.link.pauses
        return has_room and all(run.short for run in self.runs)

    def recall(self) -> None:
        """Ask the worker to return the prefetched calls that it has not started.

        The first run may be a long one, so nothing is prefetched behind it again.
        """
        prefetched = self.runs[self.capacity :]
        if prefetched and self.runs[0].short:
            self.runs[0].short = False
            for handle in (h for run in reversed(prefetched) for h in run.calls):
                self.link.recall(handle.call.id)


class WorkerSlots:
    """The workers that accept calls.

    Rules:

    1. A free worker goes first. Without one, a short call is prefetched by the worker that holds
       the fewest, if that has credit.
    2. Prefetched calls are recalled as soon as another worker is free, or when the call before
       them has run for ``RECALL_AFTER`` seconds. This is checked whenever a call ends or arrives
       or a worker joins, so it needs no timer.
    3. A call on the event loop goes to the worker with the fewest calls of its service.
    4. A paused worker, which is about to replace a model, gets no calls.
    """

    def __init__(self) -> None:
        self._slots: dict[WorkerLink, WorkerSlot] = {}

    def __iter__(self) -> Iterator[WorkerSlot]:
        # The slot of a lost worker is removed a moment later.
        return (slot for slot in self._slots.values() if not slot.link.lost)

    def join(self, link: WorkerLink, capacity: int, prefetch: int) -> None:
        self._slots[link] = WorkerSlot(link, capacity, prefetch)

    def get(self, link: WorkerLink) -> WorkerSlot | None:
        return self._slots.get(link)

    def leave(self, link: WorkerLink) -> None:
        self._slots.pop(link, None)

    def capacity(self, spec: ServiceSpec) -> int:
        """Return how many runs of a service can be active at once."""
        per_worker = spec.concurrency if spec.concurrency > 1 else 0
        total = sum(per_worker or slot.capacity for slot in self)
        return min(total, spec.max_concurrent or total)

    def recall(self) -> None:
        """Recall the prefetched calls that other workers could start sooner."""
        slots = [*self]
        if len(slots) > 1:
            any_free = any(slot.is_free for slot in slots)
            overdue = time.monotonic() - RECALL_AFTER
            for slot in slots:
                if any_free or slot.first_started < overdue:
                    slot.recall()

    def find(self, service: str, spec: ServiceSpec, *, prefetch: bool) -> WorkerSlot | None:
        """Return the worker for a run of this service, or ``None``."""
        if spec.concurrency > 1:
            open_slots = (slot for slot in self if not slot.link.whole_pauses)
            least = min(open_slots, key=lambda slot: slot.async_runs[service], default=None)
            if least is None or least.async_runs[service] >= spec.concurrency:
                return None
            return least
        for slot in self:
            if slot.is_free:
                return slot
        if not prefetch:
            return None
        with_credit = (slot for slot in self if slot.has_credit)
        return min(with_credit, key=lambda slot: len(slot.runs), default=None)
