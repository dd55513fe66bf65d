"""What is published, of which this process serves the part that it holds."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from easymlnb_server import names as naming
from easymlnb_server.access import Access
from easymlnb_server.engine.absent import Absent
from easymlnb_server.engine.deployment import Deployment
from easymlnb_server.placement.base import Survivor
from easymlnb_server.publications import STOP_DRAIN, Publications
from easymlnb_server.serving import Deploy, Serving
from easymlnb_server.store.leases import Hold, View
from easymlnb_server.store.records import State, StoredBundle, Version
from easymlnb_server.store.store import Store

PREPARED = ("ready", "asleep", "failed")
"""States of workers that calls need not wait for any longer."""

NOWHERE = Absent("", "", "")
"""In place of a deployment that is still to be named."""

Published = Mapping[str, list[Version]]
"""Bundle -> its current versions."""


class LeasedPublications(Publications):
    """Serves what the last ``View`` says that it holds; the rest is ``Absent`` but known.

    ``join`` has the first view made, ``look`` one now. ``followed`` is told of each, ``left`` of
    services that other processes serve from now on. ``changes`` counts what was changed here: what
    was read before is out of date.
    """

    def __init__(self, deploy: Deploy, *, shared: bool = False) -> None:
        super().__init__(deploy, shared=shared)
        self.view: View | None = None
        self.changes = 0
        self.look: Callable[[], Awaitable[None]] = _nothing
        self.join: Callable[[Store, Iterable[Survivor]], Awaitable[None]] = _nothing
        self.followed: Callable[[View], None] = lambda view: None
        self.left: Callable[[Collection[str]], None] = lambda names: None
        self._prepared: dict[str, Deployment] = {}
        self._released: set[str] = set()

    async def restore(self, store: Store, survivors: Iterable[Survivor] = ()) -> None:
        await self.join(store, survivors)

    def begin(self, store: Store) -> None:
        """Serve from this store; what was there before comes with the first view."""
        self._store = store

    def follow(
        self,
        view: View,
        published: Published,
        unfinished: Iterable[StoredBundle],
        survivors: Iterable[Survivor] = (),
    ) -> None:
        """Serve what the view says, and nothing else."""
        self.view = view
        self._released &= {id for id, lease in view.leases.items() if lease.ready}
        there: dict[str, list[Survivor]] = {}
        for survivor in survivors:
            there.setdefault(survivor.bundle, []).append(survivor)
        for bundle, versions in published.items():
            if self._serves(bundle):
                self._take_up(bundle, versions, there.pop(bundle, []))
            else:
                self._leave_to(bundle, versions)
        names = {version.service for versions in published.values() for version in versions}
        for name in self.serving.keys() - names:
            del self.serving[name]
        for bundle in [one for one in self._starting if view.hold(one) is None]:
            self._starting.call_off(bundle)
        for stored in unfinished:
            if stored.state is State.STARTING and self._serves(stored.id):
                self._start(stored)
        self._retire()
        self._drop_prepared()
        self.followed(view)
        for survivor in (one for left in there.values() for one in left):
            self._later(survivor.kernel.stop())

    def prepared(self) -> list[str]:
        """Return the bundles that this process is the heir of and could serve from now on."""
        return [id for id, one in self._prepared.items() if one.state in PREPARED]

    @property
    def released(self) -> frozenset[str]:
        """The bundles that this process holds but leaves to their heirs."""
        return frozenset(self._released)

    def release(self, *, all: bool = False) -> bool:
        """Serve no more what its heir is ready for, or with ``all`` what has any heir.

        Says whether there is something of that kind.
        """
        if self.view is None:
            return False
        for id, lease in self.view.leases.items():
            if lease.holder == self.view.holder and lease.heir and (lease.ready or all):
                self._released.add(id)
        for serving in list(self.serving.values()):
            if serving.bundle in self._released and not isinstance(serving.deployment, Absent):
                self._absent(serving)
        return bool(self._released)

    def states(self) -> dict[str, str]:
        """Return the states of what runs here, by bundle."""
        return {id: one.state for id, one in self._running.items()}

    def holder(self, bundle: str) -> str:
        """Return who serves a bundle, or is about to; ``""`` if nobody does."""
        lease = self.view.leases.get(bundle) if self.view is not None else None
        if lease is None:
            return ""
        return lease.heir if bundle in self._released else lease.holder

    async def set_access(self, name: str, access: Access) -> None:
        self.changes += 1
        await super().set_access(name, access)
        self.changes += 1

    async def remove(self, name: str) -> None:
        self.changes += 1
        await super().remove(name)
        self.changes += 1

    async def remove_owner(self, owner: str) -> list[str]:
        self.changes += 1
        removed = await super().remove_owner(owner)
        self.changes += 1
        return removed

    async def transfer(self, owner: str, to: str, identity: str) -> dict[str, str]:
        self.changes += 1
        moved = await super().transfer(owner, to, identity)
        self.changes += 1
        return moved

    async def drained(self) -> None:
        """Wait until what was handed over has answered the calls it had, for a time."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_DRAIN)

    async def stop(self) -> None:
        prepared = (deployment.stop() for deployment in self._prepared.values())
        await asyncio.gather(*prepared, return_exceptions=True)
        await super().stop()

    async def _take_up_again(self, names: Collection[str]) -> None:
        self.changes += 1
        await self.look()

    async def _accepted(self, stored: StoredBundle) -> None:
        await self.look()

    def _hold(self, bundle: str) -> Hold | None:
        # A start of what it does not hold any more must not find that nobody needs to hold it.
        found = self.view.hold(bundle) if self.view is not None else None
        return found or Hold(bundle, "", -1)

    def _serve(self, deployment: Deployment, versions: Iterable[Version]) -> None:
        self.changes += 1
        super()._serve(deployment, versions)

    def _serves(self, bundle: str) -> bool:
        assert self.view is not None
        return self.view.hold(bundle) is not None and bundle not in self._released

    def _take_up(self, bundle: str, versions: list[Version], survivors: list[Survivor]) -> None:
        for version in versions:
            self.let_in(version.service, version.access)
        deployment = self._running.get(bundle)
        if deployment is None and bundle in self._starting:
            return  # its versions were just made: whoever started them serves them next
        here = (self.serving.get(version.service) for version in versions)
        same = all(
            one is not None and one.deployment is deployment and one.version == version.number
            for one, version in zip(here, versions, strict=True)
        )
        if deployment is not None and same:
            return
        prepared = self._prepared.pop(bundle, None)
        fresh = deployment is None and prepared is None
        found = deployment or prepared or self._deployment(bundle, versions[0].owner)
        self._serve(found, versions)
        if fresh:
            found.keep(self._specs(found), survivors=survivors)

    def _leave_to(self, bundle: str, versions: list[Version]) -> None:
        assert self.view is not None
        for version in versions:
            before = self.serving.get(version.service)
            same = before is not None and before.spec == version.spec
            found = Serving(
                version.number,
                bundle,
                before.spec if before is not None and same else version.spec,
                NOWHERE,
                version.created,
                version.owner,
                version.access,
            )
            self._absent(found)
        if self.view.hold(bundle) is None and (former := self._running.pop(bundle, None)):
            self._end(former)
        lease = self.view.leases.get(bundle)
        if lease is not None and lease.heir == self.view.holder and bundle not in self._prepared:
            made = self._prepared[bundle] = self._deployment(bundle, versions[0].owner)
            made.keep(naming.as_known_inside(version.spec for version in versions))

    def _absent(self, found: Serving) -> None:
        """Let a service be another process's from now on."""
        lease = self.view.leases.get(found.bundle) if self.view is not None else None
        state = lease.state if lease is not None and lease.holder else "starting"
        holder = self.holder(found.bundle)
        before = self.serving.get(found.name)
        there = before.deployment if before is not None else None
        if (
            isinstance(there, Absent)
            and (there.holder, there.state) == (holder, state)
            and before == replace(found, deployment=there)
        ):
            return
        self.serving[found.name] = replace(found, deployment=Absent(found.bundle, holder, state))
        if isinstance(there, Deployment):
            self.left({found.name})

    def _drop_prepared(self) -> None:
        """End what was prepared for nothing."""
        assert self.view is not None
        for bundle in list(self._prepared):
            lease = self.view.leases.get(bundle)
            if lease is None or self.view.holder not in (lease.heir, lease.holder):
                self._end(self._prepared.pop(bundle))

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _nothing(*given: object) -> None:
    """Nobody shares."""
