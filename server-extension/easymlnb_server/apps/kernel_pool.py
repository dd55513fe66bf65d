"""The warm pool of form kernels. All are alike, so each can run the page of any service."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

from easymlnb_server.apps.form_kernel import FormKernel

AUDIENCES = ("user", "public")

RECENT = 5.0
"""Seconds of arrivals for which the pool has free sessions in advance."""

IDLE = 30.0
"""Seconds after which a surplus kernel without pages stops."""

MAX_PAGES = 1000
"""Pages after which a kernel is replaced."""

MAX_MEMORY = 0.8
"""Share of the memory limit above which a kernel gets no more pages."""

TICK = 1.0

BACKOFF = 10.0
"""Seconds until the next attempt after a kernel did not start."""

log = logging.getLogger("easymlnb.apps")


class KernelPool:
    """Keeps kernels ready, and starts more while visitors need them.

    start: starts a kernel.
    on_lost: called with a kernel that ended.
    warm: kernels that are always there.
    per_kernel: maximum number of pages in one kernel.
    pages: maximum number of pages in total.
    memory: memory limit of each kernel in bytes.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[FormKernel]],
        on_lost: Callable[[FormKernel], None],
        *,
        warm: int,
        per_kernel: int,
        pages: int,
        memory: int,
    ) -> None:
        self.kernels: list[FormKernel] = []
        self._start = start
        self._on_lost = on_lost
        self._warm = warm
        self._per_kernel = per_kernel
        self._max_kernels = -(-pages // per_kernel) + warm + len(AUDIENCES)
        self._memory = memory
        self._arrivals: dict[str, deque[float]] = {audience: deque() for audience in AUDIENCES}
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._retry_at = 0.0

    async def acquire(self, session: str, audience: str, max_wait: float) -> FormKernel | None:
        """Assign a kernel to a session; None if none is free within ``max_wait`` seconds."""
        now = time.monotonic()
        self._arrivals[audience].append(now)
        while (kernel := self._find(audience)) is None:
            self._wake.set()
            self._changed.clear()
            left = now + max_wait - time.monotonic()
            if left <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
        kernel.audience = audience
        kernel.sessions.add(session)
        kernel.served += 1
        self._wake.set()
        return kernel

    def release(self, kernel: FormKernel, session: str) -> None:
        """End the assignment of a session."""
        kernel.sessions.discard(session)
        if not kernel.sessions:
            kernel.audience = ""
            kernel.empty_since = time.monotonic()
        self._changed.set()

    async def run(self) -> None:
        """Adjust the pool every second and when visitors arrive, until canceled."""
        while True:
            await self._adjust()
            self._wake.clear()
            # Not `wait_for`: in Python 3.11 it may lose a cancellation to what it waits for.
            try:
                async with asyncio.timeout(TICK):
                    await self._wake.wait()
            except TimeoutError:
                limit = self._memory * MAX_MEMORY
                for kernel in self.kernels:
                    kernel.is_large = 0 < limit < kernel.memory()

    async def close(self) -> None:
        """Stop all kernels."""
        await asyncio.gather(*(kernel.stop() for kernel in self.kernels))

    def _find(self, audience: str) -> FormKernel | None:
        """Return a ready kernel with a free session: one in use first, then the least busy.

        An empty one is what the next visitor of the other audience needs.
        """
        ready = [one for one in self.kernels if one.ready and self._free(one, audience) > 0]
        return min(ready, key=lambda one: (not one.audience, len(one.sessions)), default=None)

    def _free(self, kernel: FormKernel, audience: str) -> int:
        if not kernel.alive or kernel.audience not in ("", audience) or _is_worn(kernel):
            return 0
        return self._per_kernel - len(kernel.sessions)

    async def _adjust(self) -> None:
        for kernel in [one for one in self.kernels if not one.alive]:
            self.kernels.remove(kernel)
            self._on_lost(kernel)
            await kernel.stop()
            log.error("Form kernel %s ended; its pages move to another kernel.", kernel.pid)
        for kernel in self._surplus():
            self.kernels.remove(kernel)
            await kernel.stop()
        if self._needs_more() and time.monotonic() > self._retry_at:
            await self._start_one()

    async def _start_one(self) -> None:
        try:
            kernel = await self._start()
        except OSError as error:
            self._retry_at = time.monotonic() + BACKOFF
            log.error("Could not start a form kernel: %s", error)
            return
        self.kernels.append(kernel)
        await kernel.wait_ready()
        if not kernel.ready:
            self._retry_at = time.monotonic() + BACKOFF
            self.kernels.remove(kernel)
            await kernel.stop()
            log.error("A form kernel did not start.")
        self._changed.set()

    def _needs_more(self) -> bool:
        if len(self.kernels) >= self._max_kernels:
            return False
        return len(self.kernels) < self._warm or not all(map(self._has_enough, AUDIENCES))

    def _has_enough(self, audience: str, without: FormKernel | None = None) -> bool:
        arrivals = self._arrivals[audience]
        while arrivals and arrivals[0] < time.monotonic() - RECENT:
            arrivals.popleft()
        free = sum(self._free(one, audience) for one in self.kernels if one is not without)
        return free >= max(1, len(arrivals))

    def _surplus(self) -> list[FormKernel]:
        empty = [one for one in self.kernels if not one.sessions and one.ready]
        worn = [one for one in empty if _is_worn(one)]
        if worn or len(self.kernels) <= self._warm:
            return worn
        for kernel in empty:
            idle = kernel.empty_since < time.monotonic() - IDLE
            if idle and all(self._has_enough(audience, kernel) for audience in AUDIENCES):
                return [kernel]
        return []


def _is_worn(kernel: FormKernel) -> bool:
    return kernel.served >= MAX_PAGES or kernel.is_large
