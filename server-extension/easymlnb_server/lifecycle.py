"""Open the store, and serve published services while this process is active."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

from easymlnb.contract.errors import EasyMLNBError, NotReady
from easymlnb_server.cluster.membership import Membership
from easymlnb_server.context import ServerContext
from easymlnb_server.jobs.kernels import is_job_kernel
from easymlnb_server.jobs.manager import PURGE_EVERY
from easymlnb_server.placement.base import OrphanedWorker
from easymlnb_server.recordings.manager import SWEEP_SECONDS
from easymlnb_server.store.folder_lock import FolderLock
from easymlnb_server.store.lease import Lease, LeaseLost
from easymlnb_server.store.store import DAY, Store
from easymlnb_server.supervisor import Supervisor, Work

ON_STANDBY = NotReady(
    "This server process is on standby: another one serves what is published. Send requests to the "
    "process whose 'health/ready' answers 200.",
    details={"retry_after": 1},
)


log = logging.getLogger("easymlnb.store")


class ServingLifecycle:
    """Serves the published services while this process is active on its database.

    Parameters
    ----------
    folder
        The state folder.
    url
        The URL of this process for users.
    state
        The objects of the server.
    announce
        Writes the address file that workers read.
    orphaned_workers
        Returns the workers of a former server process.
    prepare
        Runs with the store before anything is served.
    duties
        Returns the background work of an active process, by name.
    drain
        Seconds that running calls have to finish when the process stops.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        state: ServerContext,
        *,
        announce: Callable[[], None],
        orphaned_workers: Callable[[], list[OrphanedWorker]],
        prepare: Callable[[Store], Awaitable[None]],
        duties: Callable[[Store], Iterable[tuple[str, Work]]],
        drain: float,
    ) -> None:
        self._folder = folder
        self._url = url
        self._state = state
        self._announce = announce
        self._orphaned_workers = orphaned_workers
        self._prepare = prepare
        self._duties = duties
        self._drain = drain
        self._lock = FolderLock(folder)
        self._supervisor = Supervisor()
        self._membership: Membership | None = None
        self._store: Store | None = None

    async def open(self, open_store: Callable[[], Store], lease_seconds: float) -> None:
        """Serve, or wait on standby if ``lease_seconds`` is not 0 and another process is active.

        Raises ``NotReady`` or ``StorageUnusable`` if neither is possible.
        """
        await asyncio.to_thread(self._make_folders)
        holder = self._lock.acquire(self._url, shared=lease_seconds > 0)
        if holder is not None:
            raise NotReady(
                f"Another Jupyter server of this account ({holder}) runs the published services. "
                "Publish and call there, or set a different EasyMLNB.state_dir for this server."
            )
        store = self._store = await asyncio.to_thread(open_store)
        if not lease_seconds:
            await self._activate(store)
            return
        lease = Lease(store.database, lease_seconds, self._url)
        store.database.fence = lease.fence
        self._membership = Membership(lease, partial(self._activate, store), self._deactivate)
        await self._membership.start()

    async def close(self) -> None:
        """Stop serving; a standby on the same folder takes over the workers."""
        if self._membership is not None and not self._membership.active:
            await self._membership.close()  # it must not become active while it stops
        await self._supervisor.close()
        await self._state.models.close()
        await self._state.jobs.close()
        alone = self._membership is None or await asyncio.to_thread(self._lock.is_exclusive)
        await self._state.publisher.stop(drain=self._drain, hand_over=not alone)
        await self._store_counts()
        if self._membership is not None:
            await self._membership.close()
        self._state.credentials.close()
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    def release(self) -> None:
        """Release the state folder."""
        self._lock.release()

    async def _activate(self, store: Store) -> None:
        await asyncio.to_thread(self._announce)
        orphans = await asyncio.to_thread(self._orphaned_workers)
        await asyncio.to_thread(self._clear_work, {orphan.worker for orphan in orphans})
        await self._prepare(store)
        await self._state.credentials.open(store)
        jobs = self._state.jobs
        await jobs.prepare(store)
        job_kernels = [orphan for orphan in orphans if is_job_kernel(orphan)]
        orphans = [orphan for orphan in orphans if not is_job_kernel(orphan)]
        guard = [self._membership.check] if self._membership is not None else []
        await self._state.publisher.restore(store, orphans, *guard)
        await jobs.open(job_kernels)
        self._supervisor.every("expired jobs", PURGE_EVERY, jobs.purge)
        self._supervisor.every("old deliveries", PURGE_EVERY, self._state.webhooks.purge)
        self._supervisor.every("activity of jobs", self._state.activity.interval, jobs.keep_active)
        self._supervisor.every("sweep", DAY, lambda: _sweep(store))
        self._supervisor.every("records", SWEEP_SECONDS, self._state.recordings.run_sweep)
        for name, work in self._duties(store):
            self._supervisor.run(name, work)

    async def _deactivate(self) -> None:
        """Change to standby, and hand the workers over to the active process."""
        self._state.published.close(ON_STANDBY)
        self._state.credentials.close()
        await self._supervisor.close()
        await self._state.models.close()
        await self._state.jobs.close()
        await self._state.publisher.stop(reason=ON_STANDBY, drain=0, hand_over=True)
        self._state.apps.sessions.close_all()
        self._state.keys.close()
        self._state.usage.close()
        self._state.audit.close()

    async def _store_counts(self) -> None:
        """Store what was counted since the last write."""
        for store in (self._state.usage.flush, self._state.keys.refresh):
            try:
                await store()
            except (EasyMLNBError, LeaseLost) as error:
                log.warning("The last counts of calls were not stored: %s", error)

    def _make_folders(self) -> None:
        for folder in (self._folder, self._folder / "workers", self._folder / "work"):
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)

    def _clear_work(self, used: set[str]) -> None:
        """Remove the work folders that a killed server left behind."""
        for folder in (self._folder / "work").iterdir():
            if folder.name not in used:
                shutil.rmtree(folder, ignore_errors=True)


async def _sweep(store: Store) -> None:
    await asyncio.to_thread(store.sweep)
