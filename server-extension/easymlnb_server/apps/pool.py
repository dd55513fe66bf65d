"""The warm pool of form kernels. All are alike, so any of them takes any service's page."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

from easymlnb_server.apps.kernels import FormKernel

AUDIENCES = ("user", "public")

RECENT = 10.0
"""Seconds of arrivals that the pool has room for ahead."""

IDLE = 30.0
"""Seconds for which a kernel too many stays, in case that they come back."""

WORN = 1000
"""Pages after which a kernel takes no more and makes way for a fresh one."""

TICK = 1.0

BACKOFF = 10.0
"""Seconds until the next try after kernels did not start."""

log = logging.getLogger("easymlnb.apps")


class KernelPool:
    """Keeps ``warm`` kernels, and more while visitors need them; ``carry`` pages fit into one.

    ``memory`` is the cap of each in bytes: one that is nearly there takes no more pages.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[FormKernel]],
        lost: Callable[[FormKernel], None],
        *,
        warm: int,
        carry: int,
        most: int,
        memory: int,
    ) -> None:
        self.kernels: list[FormKernel] = []
        self._start = start
        self._lost = lost
        self._warm = warm
        self._carry = carry
        self._most = -(-most // carry) + warm + len(AUDIENCES)
        self._memory = memory
        self._arrivals: dict[str, deque[float]] = {one: deque() for one in AUDIENCES}
        self._carried: dict[FormKernel, int] = {}
        self._heavy: set[FormKernel] = set()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._failed = 0.0

    def _room(self, kernel: FormKernel, audience: str) -> int:
        if not kernel.alive or kernel.audience not in ("", audience) or self._worn(kernel):
            return 0
        return self._carry - len(kernel.places)

    def _worn(self, kernel: FormKernel) -> bool:
        return self._carried.get(kernel, 0) >= WORN or kernel in self._heavy

    def find(self, audience: str) -> FormKernel | None:
        """Return a warm kernel that has room: one in use before an empty one, the least busy first.

        An empty one is what the next visitor of the other kind needs.
        """
        fits = [one for one in self.kernels if one.ready and self._room(one, audience) > 0]
        return min(fits, key=lambda one: (not one.audience, len(one.places)), default=None)

    async def take(self, place: str, audience: str, seconds: float) -> FormKernel | None:
        """Give a place a kernel, and wait for one for some seconds."""
        self._arrivals[audience].append(time.monotonic())
        until = time.monotonic() + seconds
        while (found := self.find(audience)) is None:
            self._wake.set()
            self._changed.clear()
            left = until - time.monotonic()
            if left <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
        found.audience = audience
        found.places.add(place)
        self._carried[found] = self._carried.get(found, 0) + 1
        self._wake.set()
        return found

    def give_back(self, kernel: FormKernel, place: str) -> None:
        """A place has left."""
        kernel.places.discard(place)
        if not kernel.places:
            kernel.audience = ""
            kernel.emptied = time.monotonic()
        self._changed.set()

    def forget_arrivals(self) -> None:
        """Expect no more visitors than there are."""
        for arrivals in self._arrivals.values():
            arrivals.clear()

    async def keep(self) -> None:
        """Keep the pool at its size until cancelled."""
        try:
            while True:
                try:
                    await self._step()
                except Exception:
                    # Without this loop no page would open any more.
                    log.exception("The form kernel pool continues after an error.")
                    await asyncio.sleep(TICK)
                self._wake.clear()
                # Not `wait_for`: in Python 3.11 it may lose a cancellation to what it waits for.
                try:
                    async with asyncio.timeout(TICK):
                        await self._wake.wait()
                except TimeoutError:
                    self._weigh()
        finally:
            await asyncio.gather(*(one.stop() for one in self.kernels))

    def _weigh(self) -> None:
        near = self._memory * 0.8
        self._heavy = {one for one in self.kernels if near and one.memory() > near}

    async def _step(self) -> None:
        for kernel in [one for one in self.kernels if not one.alive]:
            self.kernels.remove(kernel)
            self._carried.pop(kernel, None)
            self._lost(kernel)
            await kernel.stop()
            log.error("Form kernel %s ended; its pages move to another kernel.", kernel.pid)
        for kernel in self._too_many():
            self.kernels.remove(kernel)
            self._carried.pop(kernel, None)
            await kernel.stop()
        if self._too_few() and time.monotonic() > self._failed + BACKOFF:
            await self._more()

    async def _more(self) -> None:
        try:
            kernel = await self._start()
        except OSError as error:
            self._failed = time.monotonic()
            log.error("Could not start a form kernel: %s", error)
            return
        self.kernels.append(kernel)
        await kernel.wait()
        if not kernel.ready:
            self._failed = time.monotonic()
            self.kernels.remove(kernel)
            await kernel.stop()
            log.error("A form kernel did not start.")
        self._changed.set()

    def _too_few(self) -> bool:
        if len(self.kernels) >= self._most:
            return False
        return len(self.kernels) < self._warm or any(
            self._spare(audience) < self._wanted(audience) for audience in AUDIENCES
        )

    def _spare(self, audience: str, without: FormKernel | None = None) -> int:
        return sum(self._room(one, audience) for one in self.kernels if one is not without)

    def _wanted(self, audience: str) -> int:
        arrivals = self._arrivals[audience]
        while arrivals and arrivals[0] < time.monotonic() - RECENT:
            arrivals.popleft()
        return max(1, len(arrivals))

    def _too_many(self) -> list[FormKernel]:
        empty = [one for one in self.kernels if not one.places and one.ready]
        worn = [one for one in empty if self._worn(one)]
        if worn or len(self.kernels) <= self._warm:
            return worn
        rested = (one for one in empty if one.emptied < time.monotonic() - IDLE)
        for kernel in rested:
            if all(self._spare(one, kernel) >= self._wanted(one) for one in AUDIENCES):
                return [kernel]
        return []
