"""Choose the next call and the worker that takes it."""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.batching import gather
from easymlnb_server.dispatch.call import CallHandle, Execution
from easymlnb_server.dispatch.duration_model import DurationModels
from easymlnb_server.dispatch.worker_slots import WorkerSlot, WorkerSlots

SHORT = 0.001
"""Seconds up to which a call may be prefetched, so that it waits a few milliseconds at most."""


class Scheduler:
    """Looks at lines in the order of their turns, until one has calls that may go.

    ``found`` is the worker for those.
    """

    def __init__(self, crew: WorkerSlots, fits: DurationModels) -> None:
        self._crew = crew
        self._fits = fits
        self._runs: Counter[str] = Counter()
        self.renew()

    def renew(self) -> None:
        """Begin with the first line again."""
        self.found: WorkerSlot | None = None
        # Nothing is prefetched past one whose turn it is and who needs a free worker: workers
        # that always hold something would never be free.
        self._prefetch = True

    def began(self, service: str) -> None:
        """A run of this service was sent."""
        self._runs[service] += 1

    def ended(self, run: Execution) -> None:
        """A run is over: its place, if it has one, is another's."""
        self._runs[run.service] -= 1
        if run.release is not None:
            run.release(run)

    def place(self, service: str, spec: ServiceSpec, *, prefetch: bool = True) -> WorkerSlot | None:
        """Return who takes a run of this service now; with ``prefetch`` it may wait there."""
        if self._is_full(service, spec):
            return None
        prefetch = prefetch and spec.batch is None and self.is_short(service, 1)
        return self._crew.find(service, spec, prefetch=prefetch)

    def is_short(self, service: str, size: int) -> bool:
        """Return whether runs of so many calls were measured to take next to no time."""
        return 0.0 < self._fits.of(service).seconds(size) <= SHORT

    def look(self, line: Iterator[CallHandle]) -> int:
        """Return how many of the first calls in a line go now."""
        first = next(line)
        service, spec = first.call.service, first.spec
        # A service waits for a call that it makes, and must not wait for what runs before that too.
        prefetch = self._prefetch and isinstance(first.body, bytes) and not first.chain
        self.found = self.place(service, spec, prefetch=prefetch)
        if self.found is not None:
            if spec.batch is None:
                return 1
            calls = chain((first,), line)
            return gather(calls, spec.batch, self._fits.of(service), time.monotonic())
        on_main = spec.concurrency == 1 and first.batch_ready
        self._prefetch = self._prefetch and not (on_main and not self._is_full(service, spec))
        return 0

    def _is_full(self, service: str, spec: ServiceSpec) -> bool:
        return 0 < spec.max_concurrent <= self._runs[service]
