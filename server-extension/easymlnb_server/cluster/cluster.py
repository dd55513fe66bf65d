"""Where requests go when several processes share the services."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from easymlnb_server.cluster.keeper import BEAT, Keeper
from easymlnb_server.cluster.publications import LeasedPublications
from easymlnb_server.cluster.routing import Subject
from easymlnb_server.engine.absent import Absent, away
from easymlnb_server.store.leases import Process, View
from easymlnb_server.store.sharing import mark_of

LOOK = 2.0
"""Seconds a request waits for a look at the database before it is answered without."""

HEIR = 5.0
"""Seconds a request waits here that came because this process is about to hold its service."""

NOTICED = 1.5 * BEAT
"""Seconds in which the others see what was handed over, and ask here no more."""

RARELY = 0.5
"""Seconds between two looks for the sake of names that nobody knows."""


@dataclass(frozen=True, slots=True)
class Question:
    """A call that a service makes of another's: ``asker`` owns the one that asks.

    ``chain`` are the services whose calls wait for it; ``seconds`` how long they do.
    """

    service: str
    asker: str
    body: bytes
    content_type: str
    accept: str
    seconds: float
    request_id: str
    patient: bool
    chain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a question."""

    content_type: str
    filename: str
    body: bytes


class Cluster:
    """What this process knows of itself and the others."""

    def __init__(self, publications: LeasedPublications, keeper: Keeper) -> None:
        self.keeper = keeper
        self._publications = publications
        self._looked = 0.0
        self._ask: Callable[[Process, Question], Awaitable[Answered]] | None = None

    def tell(
        self,
        followed: Callable[[View], None],
        left: Callable[[Collection[str]], None],
        ask: Callable[[Process, Question], Awaitable[Answered]],
    ) -> None:
        """Have others told of each look, and of services that other processes serve now.

        ``ask`` is how another process is asked.
        """
        self._ask = ask
        self._publications.followed = followed
        self._publications.left = left

    def serves(self, name: str) -> bool:
        """Say whether this process may answer for a service now."""
        found = self._publications.serving.get(name)
        if found is None or isinstance(found.deployment, Absent):
            return False
        return not self.keeper.passed

    def check(self, name: str) -> None:
        """Raise ``NotReady`` for a service that others may serve by now, though it runs here."""
        if name in self._publications.serving and not self.serves(name):
            raise away()

    def here(self, subject: Subject) -> bool:
        """Say whether a request is for this process, as far as is known without a look."""
        if subject.service:
            return self.serves(subject.service)
        return not subject.call and self._elsewhere(subject) is None

    async def where(self, subject: Subject) -> list[Process]:
        """Return the other processes that a request may be for, the likeliest first; none: here."""
        if subject.call:
            return self.others
        if not subject.service:
            found = self._elsewhere(subject)
            return [found] if found is not None else []
        if not self.serves(subject.service) and self._elsewhere(subject) is None:
            await self._look_for(subject.service)
        found = None if self.serves(subject.service) else self._elsewhere(subject)
        return [found] if found is not None else []

    async def ask(self, question: Question) -> Answered | None:
        """Ask the process that serves it; ``None`` if that is this one by now.

        Raises what the call ended with.
        """
        subject = Subject(service=question.service)
        there = await self.where(subject)
        if not there or self._ask is None:
            if self.serves(question.service):
                return None
            raise away()
        return await self._ask(there[0], question)

    async def arrives(self, subject: Subject) -> bool:
        """Say whether a request that another process sent on may be answered here.

        When this process is about to hold what it is for, that is waited for.
        """
        until = time.monotonic() + HEIR
        while not self.here(subject):
            await self.look()
            if self.here(subject):
                return True
            if not self._inherits(subject) or time.monotonic() > until:
                return False
            await asyncio.sleep(0.05)
        return True

    async def look(self) -> None:
        """Look at the database now; waits for that only for a moment, and not while it is away."""
        if self.keeper.away:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await asyncio.shield(asyncio.ensure_future(self.keeper.look()))

    async def leave(self) -> None:
        """Hand everything over, then be gone; no call fails for it.

        In between what came here before is answered: of who is gone nobody waits for an answer.
        """
        try:
            await self.keeper.hand_over()
            noticed = asyncio.sleep(NOTICED if self.others else 0)
            await asyncio.gather(noticed, self._publications.drained())
        finally:
            await self.keeper.leave()

    def forgets(self, mark: str) -> bool:
        """Say whether the process of a mark is gone, and others serve what it served."""
        keeper = self.keeper
        current = keeper.settled and not keeper.passed and not keeper.away
        return current and mark not in {keeper.mark, *(mark_of(one.holder) for one in self.others)}

    @property
    def others(self) -> list[Process]:
        """All other processes that are alive."""
        view = self.keeper.view
        there = view.processes.values() if view is not None else ()
        return [one for one in there if mark_of(one.holder) != self.keeper.mark]

    async def _look_for(self, name: str) -> None:
        """Look for who serves it; for a name that is not known only now and then."""
        now = time.monotonic()
        if name not in self._publications.serving:
            if now - self._looked < RARELY:
                return
            self._looked = now
        await self.look()

    def _elsewhere(self, subject: Subject) -> Process | None:
        """Return the other process that a request is for, if one is known and alive."""
        if subject.mark:
            return next((one for one in self.others if mark_of(one.holder) == subject.mark), None)
        bundle = subject.bundle
        if subject.service:
            found = self._publications.serving.get(subject.service)
            bundle = found.bundle if found is not None else ""
        holder = self._publications.holder(bundle)
        return next((one for one in self.others if one.holder == holder), None)

    def _inherits(self, subject: Subject) -> bool:
        view = self.keeper.view
        found = self._publications.serving.get(subject.service)
        lease = view.leases.get(found.bundle) if view is not None and found is not None else None
        return lease is not None and view is not None and lease.heir == view.holder
