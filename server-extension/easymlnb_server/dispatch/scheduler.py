"""Choose the next calls and the worker that runs them."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.batching import batch_size
from easymlnb_server.dispatch.call import CallHandle, Execution
from easymlnb_server.dispatch.duration_model import DurationModel
from easymlnb_server.dispatch.worker_slots import WorkerSlot, WorkerSlots

SHORT = 0.001
"""Seconds that a run may take for its call to be prefetched."""


class Scheduler:
    """Checks services in turn until one has calls that can run.

    ``slot`` is the worker slot for the calls that ``calls_to_send`` chose last.
    """

    def __init__(self, slots: WorkerSlots, durations: Mapping[str, DurationModel]) -> None:
        self._slots = slots
        self._durations = durations
        self._runs: Counter[str] = Counter()
        self.restart()

    def restart(self) -> None:
        """Start again with the first service."""
        self.slot: WorkerSlot | None = None
        # Nothing is prefetched past a call that needs a free worker: a worker that always holds
        # prefetched calls would never be free.
        self._prefetch = True

    def run_started(self, service: str) -> None:
        """Count a run against the service's ``max_concurrent``."""
        self._runs[service] += 1

    def run_ended(self, run: Execution) -> None:
        """Release the run's slot, if it has one."""
        self._runs[run.service] -= 1
        if run.release is not None:
            run.release(run)

    def find_slot(
        self, service: str, spec: ServiceSpec, *, prefetch: bool = True
    ) -> WorkerSlot | None:
        """Return the worker for a run of this service; with ``prefetch`` it may be a busy one."""
        if self._is_full(service, spec):
            return None
        prefetch = prefetch and spec.batch is None and self.is_short(service, 1)
        return self._slots.find(service, spec, prefetch=prefetch)

    def is_short(self, service: str, size: int) -> bool:
        """Return whether runs of ``size`` calls were measured to take at most ``SHORT``."""
        return 0.0 < self._durations[service].seconds(size) <= SHORT

    def calls_to_send(self, queue: Iterator[CallHandle]) -> int:
        """Return how many of a service's first calls can be sent now."""
        first = next(queue)
        service, spec = first.call.service, first.spec
        # A call that another one waits for is not prefetched: it could wait behind that one.
        prefetch = self._prefetch and isinstance(first.body, bytes) and not first.chain
        self.slot = self.find_slot(service, spec, prefetch=prefetch)
        if self.slot is not None:
            if spec.batch is None:
                return 1
            calls, durations = chain((first,), queue), self._durations[service]
            return batch_size(calls, spec.batch, durations, time.monotonic())
        on_main = spec.concurrency == 1 and first.batch_ready
        self._prefetch = self._prefetch and not (on_main and not self._is_full(service, spec))
        return 0

    def _is_full(self, service: str, spec: ServiceSpec) -> bool:
        return 0 < spec.max_concurrent <= self._runs[service]
