"""Replace workers before the time limit of their node expires."""

import asyncio
import time
from collections.abc import Callable

from easymlnb_server.workers.worker_set import Worker, WorkerSet

LOOK_EVERY = 1.0


async def keep(staff: WorkerSet, replace: Callable[[Worker, str], None]) -> None:
    """Have each worker replaced when its time has come, for ever."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        for worker in staff.all:
            if worker.end is None and time.monotonic() > worker.kernel.replace_at:
                replace(worker, "time")
