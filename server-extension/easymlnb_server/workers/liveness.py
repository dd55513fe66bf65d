"""Wait for workers to connect and to end, by their links and their processes."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from easymlnb.contract.errors import DeploymentFailed
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.placement.base import Kernel
from easymlnb_server.workers.registration import RegisteredWorker

CONNECT_TIMEOUT = 60.0
"""Seconds from the last cell to the link."""

ALIVE_EVERY = 1.0
"""Seconds between two checks of a worker's process. A child process that it forked keeps the link
open when the worker dies, so the link alone is not enough."""

IDLE_EVERY = 0.1
"""Seconds between two checks of the calls of a worker that gets no more calls."""

READ_TIMEOUT = 3.0
"""Seconds to read a dead worker's last messages; a child process may keep the link open."""


async def close(link: WorkerLink) -> None:
    """Close the link of a dead worker; usually its own end has closed already.

    Only after the worker's own end is it known which calls had not started and may run elsewhere.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READ_TIMEOUT):
            await link.closed.wait()
    link.close()


async def wait_lost(
    kernel: Kernel, link: WorkerLink, on_dead: Callable[[], None] = lambda: None
) -> None:
    """Wait until a worker's link or process has ended.

    ``on_dead`` is called before the link of a worker whose process has ended is closed.
    """
    while not link.lost:
        # Not ``wait_for``, which can lose a cancellation in Python 3.11.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ALIVE_EVERY):
                await link.closed.wait()
        if not await kernel.alive():
            on_dead()
            await close(link)


async def wait_idle(kernel: Kernel, link: WorkerLink, seconds: float) -> None:
    """Wait until a worker has no calls left or has ended, for at most ``seconds``."""
    until = time.monotonic() + seconds
    while len(link) and not link.lost and time.monotonic() < until:
        await asyncio.sleep(IDLE_EVERY)
        if not await kernel.alive():
            await close(link)


async def wait_connected(
    expected: asyncio.Future[RegisteredWorker], alive: Callable[[], Awaitable[bool]], seconds: float
) -> RegisteredWorker:
    """Wait for a worker to connect while it is ``alive``; raises ``DeploymentFailed``."""
    until = time.monotonic() + seconds
    while not (await asyncio.wait({expected}, timeout=ALIVE_EVERY))[0]:
        if not await alive():
            raise DeploymentFailed(
                "The kernel ended after the last cell, before its services were ready."
            )
        if time.monotonic() > until:
            raise DeploymentFailed(
                f"The worker did not connect to the server within {seconds:g} s after its last "
                "cell."
            )
    return expected.result()
