"""Check a deployment's workers every second: stopped processes, expired nodes, memory."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from easymlnb.contract import units
from easymlnb.contract.errors import WorkerOutOfMemory
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.supervisor import Supervisor
from easymlnb_server.workers.worker_set import Worker, WorkerSet

CHECK_EVERY = 1.0
STOPPED_CHECKS = 3
"""Consecutive checks that must find a process stopped; a tool may stop it for a snapshot."""

PEAK = 10.0
"""Seconds above the memory limit before a worker is replaced; the peak of one call is allowed."""

FAR_ABOVE = 1.5
"""Multiple of the limit at which a worker is ended at once, before the whole machine suffers."""

log = logging.getLogger("easymlnb.deployment")


class MemoryVerdict(Enum):
    """What to do about a worker's memory."""

    FINE = "fine"
    REPLACE = "replace"
    END = "end"


@dataclass(slots=True)
class MemoryTracker:
    """One worker's memory over time, against its limit in bytes."""

    limit: int
    _above_since: float | None = None

    def judge(self, used: int, now: float) -> MemoryVerdict:
        """Return what to do; ``used`` in bytes, ``now`` in seconds of a monotonic clock."""
        if used > FAR_ABOVE * self.limit:
            return MemoryVerdict.END
        if used <= self.limit:
            self._above_since = None
            return MemoryVerdict.FINE
        if self._above_since is None:
            self._above_since = now
        return MemoryVerdict.REPLACE if now - self._above_since >= PEAK else MemoryVerdict.FINE


class WorkerChecks:
    """Ends or replaces workers that are stopped, will lose their node, or use too much memory.

    - ``workers``: the workers to check
    - ``default_limit``: memory in bytes for services that set no limit; 0 for no limit
    - ``replace``: called with a worker and the reason for its replacement
    """

    def __init__(
        self, workers: WorkerSet, default_limit: int, replace: Callable[[Worker, str], None]
    ) -> None:
        self.memory_limit = default_limit
        self._workers = workers
        self._default_limit = default_limit
        self._replace = replace
        self._stopped: Counter[Worker] = Counter()
        self._memory: dict[Worker, MemoryTracker] = {}

    def set_memory_limit(self, specs: Iterable[ServiceSpec]) -> int:
        """Use the largest limit among the services of one bundle; return it."""
        limit = max((spec.resources.memory for spec in specs), default=0)
        self.memory_limit = limit or self._default_limit
        return self.memory_limit

    def run(self, supervisor: Supervisor) -> None:
        supervisor.every("process checks", CHECK_EVERY, self._check_processes)
        supervisor.every("memory checks", CHECK_EVERY, self._check_memory)

    async def _check_processes(self) -> None:
        stopped: Counter[Worker] = Counter()
        for worker in self._workers.all:
            if worker.end is not None:
                continue
            if time.monotonic() > worker.kernel.replace_at:
                self._replace(worker, "time")
            # Asks the operating system: a process that computes in C and holds Python's lock
            # would not answer a ping either.
            if await worker.kernel.frozen():
                stopped[worker] = self._stopped[worker] + 1
            if stopped[worker] >= STOPPED_CHECKS:
                log.warning("A worker's process was suspended by a signal and is being killed.")
                worker.cause = "hung"
                self._workers.end(worker)
        self._stopped = stopped

    async def _check_memory(self) -> None:
        if not self.memory_limit:
            return
        workers = self._workers.all
        used = await asyncio.to_thread(lambda: [worker.kernel.memory() for worker in workers])
        now = time.monotonic()
        trackers = {w: self._memory.get(w) or MemoryTracker(self.memory_limit) for w in workers}
        self._memory = trackers
        for worker, size in zip(workers, used, strict=True):
            verdict = trackers[worker].judge(size, now)
            if worker.end is not None:
                continue
            if verdict is MemoryVerdict.REPLACE:
                self._replace(worker, "memory")
            if verdict is MemoryVerdict.END:
                self._end_for_memory(worker, size)

    def _end_for_memory(self, worker: Worker, used: int) -> None:
        log.warning(
            "A worker uses %s of memory, over its limit of %s, and is being ended.",
            units.format_size(used),
            units.format_size(self.memory_limit),
        )
        worker.cause = "memory"
        worker.link.close(WorkerOutOfMemory(self.memory_limit))
        self._workers.end(worker)
