"""The active and standby states of a server process."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from easymlnb.contract.errors import EasyMLNBError, NotReady
from easymlnb_server.store.lease import Lease, LeaseLost

POLL = 0.25
"""Seconds between two attempts of a standby to become the active process."""

log = logging.getLogger("easymlnb.cluster")


class Membership:
    """One process among those that share a database: active, or on standby.

    A process that cannot renew its lease, because it is paused or disconnected, notices by its own
    clock before another one may take over: requests that depend on the lease call ``check``.

    Parameters
    ----------
    lease
        The lease in the database.
    activate
        Starts to serve the published services.
    deactivate
        Stops serving and leaves the workers to the next active process.
    clock
        Returns monotonic seconds.
    """

    def __init__(
        self,
        lease: Lease,
        activate: Callable[[], Awaitable[None]],
        deactivate: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.active = False
        self._lease = lease
        self._activate = activate
        self._deactivate = deactivate
        self._clock = clock
        self._until = 0.0
        self._renewing = False
        self._announced = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raise ``NotReady`` while another process may be the active one.

        Without standbys none can take over: while the database is away, this process answers from
        memory for as long as it takes. Writes need the database, which checks the lease.
        """
        alone = self._renewing and not self._lease.has_standbys
        if not self.active or (self._clock() >= self._until and not alone):
            raise NotReady(
                "This server process has lost its connection to the database. Try again in a "
                "moment.",
                details={"retry_after": 1},
            )

    async def start(self) -> None:
        """Become the active process if there is none, and keep trying otherwise."""
        await self._step()
        if not self.active:
            await self._deactivate()
            with contextlib.suppress(EasyMLNBError):
                holder = await asyncio.to_thread(self._lease.holder)
                log.info("This server process is on standby for %s.", holder or "another one")
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Release the lease; a standby takes over within a second."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.active:
            self.active = False
            with contextlib.suppress(EasyMLNBError):
                await asyncio.to_thread(self._lease.release)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._lease.seconds / 5 if self.active else POLL)
            try:
                await self._step()
            except Exception:
                # If this loop ended, the process could neither serve nor take over again.
                log.exception("The lease could not be checked; this is tried again.")

    async def _step(self) -> None:
        """Renew the lease, or try to acquire it."""
        began = self._clock()
        try:
            if self.active:
                self._renewing = True
                await asyncio.to_thread(self._lease.renew)
            elif not await asyncio.to_thread(self._lease.acquire):
                await self._announce()
                return
        except LeaseLost:
            log.warning("Another server process has taken over; this one is on standby now.")
            self.active = self._renewing = False
            await self._deactivate()
            return
        except EasyMLNBError as error:
            log.warning("The lease of the active server process was not renewed: %s", error)
            return
        self._renewing = False
        # A little early, because clocks do not run equally fast.
        self._until = began + 0.9 * self._lease.seconds - 0.5
        if not self.active:
            await self._become_active()

    async def _announce(self) -> None:
        """Tell the active process that there is a standby."""
        if self._clock() - self._announced >= self._lease.seconds / 3:
            await asyncio.to_thread(self._lease.announce)
            self._announced = self._clock()

    async def _become_active(self) -> None:
        log.info("This server process is the active one now.")
        self.active = True
        try:
            await self._activate()
        except Exception:
            log.exception("This server process could not become the active one; it tries again.")
            self.active = False
            await self._deactivate()
            with contextlib.suppress(EasyMLNBError):
                await asyncio.to_thread(self._lease.release)
