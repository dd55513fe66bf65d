"""Check the memory of a deployment's workers every second."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from easymlnb.contract import units
from easymlnb.contract.errors import WorkerOutOfMemory
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.workers import memory_policy
from easymlnb_server.workers.memory_policy import MemoryTracker, Verdict
from easymlnb_server.workers.worker_set import Worker, WorkerSet

log = logging.getLogger("easymlnb.deployment")


class MemoryWatch:
    """Holds workers to their limit; ``default`` is that of services which name none, 0 for none.

    ``limit`` is in bytes. ``replace`` is called with a worker that has been above it for a while.
    """

    def __init__(
        self, staff: WorkerSet, default: int, replace: Callable[[Worker, str], None]
    ) -> None:
        self.limit = default
        self._staff = staff
        self._default = default
        self._replace = replace
        self._scales: dict[Worker, MemoryTracker] = {}

    def limit_to(self, specs: Iterable[ServiceSpec]) -> int:
        """Take the widest limit that services of one bundle ask for; returns it."""
        self.limit = max((spec.running.memory for spec in specs), default=0) or self._default
        return self.limit

    async def keep(self) -> None:
        """Watch for ever."""
        while True:
            await asyncio.sleep(memory_policy.LOOK_EVERY)
            if not self.limit:
                continue
            workers = self._staff.all
            used = await asyncio.to_thread(_weigh, workers)
            now = time.monotonic()
            for worker, size in zip(workers, used, strict=True):
                self._judge(worker, size, now)
            self._scales = {worker: self._scales[worker] for worker in workers}

    def _judge(self, worker: Worker, used: int, now: float) -> None:
        scale = self._scales.setdefault(worker, MemoryTracker(self.limit))
        verdict = scale.look(used, now)
        if worker.end is not None:
            return
        if verdict is Verdict.REPLACE:
            self._replace(worker, "memory")
        if verdict is Verdict.END:
            log.warning(
                "A worker uses %s of memory, over its limit of %s, and is being ended.",
                units.format_size(used),
                units.format_size(self.limit),
            )
            worker.cause = "memory"
            worker.link.close(WorkerOutOfMemory(self.limit))
            self._staff.end(worker)


def _weigh(workers: tuple[Worker, ...]) -> list[int]:
    return [worker.kernel.memory() for worker in workers]
