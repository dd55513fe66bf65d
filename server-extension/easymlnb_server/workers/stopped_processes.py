"""Replace workers whose process was stopped, for example by SIGSTOP.

The operating system is asked, not the worker: a process that computes in C code and holds Python's
lock answers no ping either, while it does honest work.
"""

import asyncio
import logging

from easymlnb_server.workers.worker_set import Worker, WorkerSet

LOOK_EVERY = 1.0
LOOKS = 3
"""Looks in a row that must find a process stopped: a tool that takes a snapshot stops it, too."""

log = logging.getLogger("easymlnb.deployment")


async def keep(staff: WorkerSet) -> None:
    """End workers that are stopped, for ever; their slots replace them."""
    found: dict[Worker, int] = {}
    while True:
        await asyncio.sleep(LOOK_EVERY)
        found = {
            worker: found.get(worker, 0) + 1
            for worker in staff.all
            if worker.end is None and await worker.kernel.frozen()
        }
        for worker, looks in found.items():
            if looks >= LOOKS:
                log.warning("A worker's process was suspended by a signal and is being killed.")
                worker.cause = "hung"
                staff.end(worker)
