"""Wait for workers to connect and to end, by their links and their processes."""

import asyncio
import contextlib
import time

from easymlnb.contract.errors import DeploymentFailed
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.placement.base import Kernel
from easymlnb_server.workers.registration import RegisteredWorker

DIAL_TIMEOUT = 60.0
"""Seconds from the last cell to the link."""

ALIVE_EVERY = 1.0
"""Seconds between two looks at a worker's process. A child that it forked holds its link open
when it dies, so the link alone does not tell."""

IDLE_EVERY = 0.1
"""Seconds between two looks at the calls of a worker that gets no more of them."""


LAST_WORDS = 3.0
"""Seconds to read what a dead worker sent last; a child that it forked may hold its link open."""


async def close(link: WorkerLink) -> None:
    """Close the link of a dead worker, which mostly ends by itself just now.

    Its own end tells which of the calls that it held it had not begun: others run those.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS):
            await link.closed.wait()
    link.close()


async def lost(kernel: Kernel, link: WorkerLink) -> None:
    """Wait until a worker is gone, by its link or by its process."""
    while not link.lost:
        # Not `wait_for`: that of Python 3.11 can lose a cancellation.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ALIVE_EVERY):
                await link.closed.wait()
        if not await kernel.alive():
            await close(link)


async def idle(kernel: Kernel, link: WorkerLink, seconds: float) -> None:
    """Wait until a worker has answered all its calls, is gone, or so many seconds are over."""
    until = time.monotonic() + seconds
    while len(link) and not link.lost and time.monotonic() < until:
        await asyncio.sleep(IDLE_EVERY)
        if not await kernel.alive():
            await close(link)


async def dialled(kernel: Kernel, arrival: asyncio.Future[RegisteredWorker]) -> RegisteredWorker:
    """Wait for a kernel that serves now to dial home; raises ``DeploymentFailed``."""
    until = time.monotonic() + DIAL_TIMEOUT
    while not (await asyncio.wait({arrival}, timeout=ALIVE_EVERY))[0]:
        if not await kernel.alive():
            raise DeploymentFailed(
                "The kernel ended after the last cell, before its services were ready."
            )
        if time.monotonic() > until:
            raise DeploymentFailed(
                f"The worker did not connect to the server within {DIAL_TIMEOUT:g} s after its "
                "last cell."
            )
    return arrival.result()
