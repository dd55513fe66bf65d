"""All sources of files of a server; only the active process takes their files."""

import asyncio
import time
from collections.abc import Iterator, Mapping

from easymlnb.contract.errors import BadRequest, SourceNotFound
from easymlnb_server.identity.access import Caller
from easymlnb_server.identity.principals import Principals
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import Job
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.storage_events.bucket import BucketPlace
from easymlnb_server.storage_events.folder import FolderPlace
from easymlnb_server.storage_events.models import ItemState, Source, TakenFile
from easymlnb_server.storage_events.notifications import objects_of
from easymlnb_server.storage_events.place import Place
from easymlnb_server.storage_events.repository import StorageRepository
from easymlnb_server.storage_events.watcher import KEY, Watcher, WatcherParts
from easymlnb_server.store.store import Store
from easymlnb_server.supervisor import Supervisor

PURGE_EVERY = 3600.0


class StorageEvents:
    """The sources that the administrator has configured."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        jobs: Jobs,
        services: ServiceRegistry,
        principals: Principals,
        retention: float,
    ) -> None:
        self._jobs = jobs
        self._services = services
        self._retention = retention
        self._rows: StorageRepository | None = None
        parts = WatcherParts(jobs, services, principals, lambda: self.repository)
        self.watchers = {
            name: Watcher(name, source, _place(source), parts) for name, source in sources.items()
        }
        if sources:
            jobs.on_ended.append(self._job_ended)

    @property
    def repository(self) -> StorageRepository:
        """The rows of files; raises why this process does not serve them."""
        _ = self._jobs.repository
        assert self._rows is not None
        return self._rows

    def prepare(self, store: Store) -> None:
        """Use a store, before anything is served or removed."""
        self._rows = StorageRepository(store.database)

    async def run(self) -> None:
        """Follow all sources, until canceled."""
        supervisor = Supervisor()
        for name, watcher in self.watchers.items():
            supervisor.run(f"source {name}", watcher.run)
        supervisor.every("old files of sources", PURGE_EVERY, self._purge)
        try:
            await asyncio.Event().wait()
        finally:
            await supervisor.close()

    def visible(self, caller: Caller | None) -> Iterator[Watcher]:
        """Yield the sources that a caller may see: the own ones, and all for administrators."""
        for _, watcher in sorted(self.watchers.items()):
            own = caller is not None and (
                not self._services.shared or caller.admin or caller.owns(watcher.source.user)
            )
            if own:
                yield watcher

    def get(self, name: str, caller: Caller | None) -> Watcher:
        """Return a source that a caller may see; raises ``SourceNotFound``."""
        for watcher in self.visible(caller):
            if watcher.name == name:
                return watcher
        raise SourceNotFound(name)

    async def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of files by source and state."""
        found = await asyncio.to_thread(self.repository.counts)
        return {
            name: {str(state): found.get(name, {}).get(state, 0) for state in ItemState}
            for name in self.watchers
        }

    async def latest(self, name: str, limit: int) -> list[TakenFile]:
        """Return the latest files of a source."""
        return await asyncio.to_thread(self.repository.latest, name, limit)

    async def notify(self, service: str, body: bytes, caller: Caller | None) -> int:
        """Take the new objects that a notification names; return how many were new.

        Raises ``BadRequest`` for what is no notification, or names a bucket of no source.
        """
        taken = 0
        for bucket, objects in objects_of(body).items():
            sources = [one for one in self.visible(caller) if one.source.service == service]
            found = [one for one in sources if bucket and one.source.bucket == bucket]
            if not found:
                raise BadRequest(
                    f"You have no source of {service!r} with the bucket {bucket[:80]!r}. An "
                    "administrator adds one to EasyMLNB.storage_events."
                )
            for watcher in found:
                assert isinstance(watcher.place, BucketPlace)
                taken += await watcher.take(watcher.place.wanted(objects))
        return taken

    async def _job_ended(self, job: Job) -> None:
        if job.key is not None and job.key.startswith(KEY):
            for watcher in self.watchers.values():
                if watcher.source.service == job.service:
                    watcher.wake()

    async def _purge(self) -> None:
        before = time.time() - self._retention
        await asyncio.to_thread(self.repository.purge, before)


def _place(source: Source) -> Place:
    return FolderPlace(source) if source.folder else BucketPlace(source)
