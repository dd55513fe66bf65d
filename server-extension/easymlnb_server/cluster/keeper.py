"""Keeps what a process holds: has its turn at the database every second, and tells what came of it.

Whoever could not have its turn in time, stopped or cut off, knows by its own clock, before anybody
else may take over: ``passed`` is asked before every request that depends on it.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.cluster.publications import LeasedPublications, Published
from easymlnb_server.placement.base import Survivor
from easymlnb_server.store.leases import LeaseLost, View
from easymlnb_server.store.records import StoredBundle
from easymlnb_server.store.store import Store

BEAT = 1.0
"""Seconds between two turns, when nothing asks for one."""

HANDOVER = 15.0
"""Seconds that the heirs of a process which stops have to get their workers ready."""

SETTLED = 5.0
"""Seconds after which one that joined takes over what others left: they may be coming back."""

PATIENCE = 1.0
"""Seconds a turn is tried again within; then the next one has its chance."""

log = logging.getLogger("easymlnb.cluster")


def mark_in(folder: Path) -> str:
    """Return what names the process that owns a data folder, the same at every start."""
    file = folder / "process"
    with contextlib.suppress(OSError):
        if len(found := file.read_text().strip()) == MARK:
            return found
    made = secrets.token_hex(MARK // 2)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(made)
    return made


MARK = 8
"""Characters of a mark."""


class Keeper:
    """The leases of one process, which others reach by ``address``.

    ``seconds`` is how long one lasts after a turn. ``clock`` never goes back.
    """

    def __init__(
        self,
        publications: LeasedPublications,
        *,
        folder: Path,
        address: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mark = ""
        self.address = address
        self.secret = secrets.token_urlsafe(32)
        """What the others sign with when they ask this process in a service's name."""
        self.on_open: Callable[[str], None] = lambda mark: None
        self._folder = folder
        self._publications = publications
        self._seconds = seconds
        self._clock = clock
        self._store: Store | None = None
        self._holder = ""
        self._until = 0.0
        self._joined = self._had = 0.0
        self._leaving = self._left = False
        self._away = False
        self._published: Published = {}
        self._read: tuple[object, int] = (None, 0)
        self._turns = 0
        self._lock = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        publications.look = self.look
        publications.join = self.open

    @property
    def passed(self) -> bool:
        """Say whether others may hold by now what this process held."""
        return self._clock() >= self._until

    @property
    def away(self) -> bool:
        """Say whether the database gave no turn the last time."""
        return self._away

    @property
    def leaving(self) -> bool:
        """Say whether this process gives up what it holds, for it is told to stop."""
        return self._leaving

    @property
    def settled(self) -> bool:
        """Say whether this process takes over what others left."""
        return self._clock() - self._joined > SETTLED

    @property
    def view(self) -> View | None:
        """How things stood at the last turn."""
        return self._publications.view

    async def open(self, store: Store, survivors: Iterable[Survivor] = ()) -> None:
        """Join the others on this store, and serve what they leave, until closed.

        ``survivors`` are workers of this process before it was killed.
        """
        self.mark = await asyncio.to_thread(mark_in, self._folder)
        self.on_open(self.mark)
        await self._join(store)
        self._publications.begin(store)
        await self._turn(store, tuple(survivors))
        self._store = store
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Have one turn after the other, until cancelled."""
        while True:
            await asyncio.sleep(BEAT)
            await self.look()

    async def look(self) -> None:
        """Have a turn that begins after now; a database that is away is waited for next time."""
        if self._store is None:
            return
        seen = self._turns
        async with self._lock:
            if self._turns > seen or self._left:
                return  # one began while this one waited
            try:
                await self._turn(self._store)
                self._away = False
            except LeaseLost:
                log.warning("What this process held is free: it had no turn for too long.")
                with contextlib.suppress(EasyMLNBError):
                    await self._join(self._store)
                    await self._turn(self._store)
            except EasyMLNBError as error:
                if not self._away:
                    log.warning("The database gives no turn: %s", error)
                self._away = True
            except Exception:
                log.exception("A turn failed.")

    @property
    def left(self) -> bool:
        """Say whether this process has given up what it held."""
        return self._left

    async def hand_over(self) -> None:
        """Give all to heirs, ready or not when the time for that is over."""
        self._leaving = True
        if self._store is None:
            return
        until = self._clock() + HANDOVER
        while self._held() and self._clock() < until:
            await self.look()
            if not self._heirs() or self._away:
                break
            await asyncio.sleep(0.2)
        self._publications.release(all=True)
        await self.look()

    async def leave(self) -> None:
        """Be gone for the others; what this process still holds is free."""
        self._leaving = self._left = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        self._until = 0.0
        if self._store is None:
            return
        store = self._store
        async with self._lock:  # a turn after it would join anew
            with contextlib.suppress(EasyMLNBError):
                await asyncio.to_thread(store.leases.leave, self._holder)

    def _held(self) -> bool:
        view = self.view
        return view is not None and any(view.hold(bundle) for bundle in view.leases)

    def _heirs(self) -> bool:
        view = self.view
        return view is not None and any(one.heir for one in view.leases.values())

    async def _join(self, store: Store) -> None:
        mark, address, secret, seconds = self.mark, self.address, self.secret, self._seconds
        self._until, self._joined = 0.0, self._clock()
        self._holder = await asyncio.to_thread(
            lambda: store.leases.join(mark, address, seconds, secret=secret)
        )

    async def _turn(self, store: Store, survivors: tuple[Survivor, ...] = ()) -> None:
        await self._once(store, survivors)
        if self._publications.release():
            # Their heirs are ready, and nobody serves them at this moment.
            await self._once(store)

    async def _once(self, store: Store, survivors: tuple[Survivor, ...] = ()) -> None:
        publications, holder = self._publications, self._holder
        ready, states = publications.prepared(), publications.states()
        release = publications.released
        if self._clock() - self._had > self._seconds / 2:
            self._joined = self._clock()  # the others may have had no turn either
        settled = self.settled
        self._turns += 1
        view = await asyncio.to_thread(
            lambda: store.leases.turn(
                holder,
                self._seconds,
                ready=ready,
                release=release,
                states=states,
                leaving=self._leaving,
                settled=settled,
                patience=PATIENCE,
            )
        )
        unfinished = await self._unfinished(store, view)
        while self._read != (view.stamp, publications.changes):
            changes = publications.changes
            self._published = await asyncio.to_thread(store.services.serving)
            self._read = (view.stamp, changes)
        publications.follow(view, self._published, unfinished, survivors)
        self._read = (view.stamp, publications.changes)
        self._had = view.since
        # A little early: clocks do not go equally fast.
        self._until = view.since + 0.9 * self._seconds - 0.5

    async def _unfinished(self, store: Store, view: View) -> list[StoredBundle]:
        if not any(view.hold(bundle) for bundle in view.starting):
            return []
        return await asyncio.to_thread(store.bundles.unfinished)
