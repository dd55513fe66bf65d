"""Changes of traffic: check, start the workers that are needed, store, and route calls."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import msgspec

from easymlnb.contract.errors import (
    BreakingVersion,
    DeploymentFailed,
    EasyMLNBError,
    NoRollback,
    NotReady,
    ServiceNotFound,
    TrafficChanged,
)
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.services.models import PublishedService
from easymlnb_server.store.records import ServiceRecord, Version
from easymlnb_server.traffic import rules
from easymlnb_server.traffic.compatibility import differences
from easymlnb_server.traffic.models import Shadow, Traffic, TrafficChange, TrafficView
from easymlnb_server.traffic.promotions import Promotion
from easymlnb_server.workers.deployment import Deployment

CAPACITY_CHECK = 0.2
"""Seconds between two checks of whether a start waits for capacity."""

PREPARE = 600.0
"""Seconds that the workers of a version may take to start before it gets traffic."""

Change = Callable[[ServiceRecord], Traffic]


class TrafficManager:
    """Changes which versions answer calls, and which of them have workers.

    A version gets traffic once a worker of it is ready, so no call waits or fails because of the
    change. Where a worker has no capacity until another version ends, calls wait for it.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._deployments = publisher.deployments
        self._published = publisher.published

    def find(self, name: str) -> PublishedService:
        """Return a published service; raises ``ServiceNotFound`` or ``NotReady``."""
        service = self._published.get(name)
        self._published.check()
        if service is None:
            raise ServiceNotFound(name)
        return service

    async def put(
        self,
        name: str,
        change: TrafficChange,
        *,
        revision: int | None = None,
        force: bool = False,
    ) -> PublishedService:
        """Change the traffic of a service; return the service.

        Parameters
        ----------
        name, change
            The service, and its new traffic.
        revision
            What the traffic must be before, else ``TrafficChanged`` is raised.
        force
            Give traffic to versions that would break callers.

        Raises
        ------
        BadRequest, VersionNotFound
            The change is invalid.
        BreakingVersion
            A version would break callers.
        DeploymentFailed
            A version did not start.
        """
        return await self.change(
            name,
            lambda record: rules.apply(change, record.traffic, record.numbers),
            revision=revision,
            force=force,
        )

    async def rollback(self, name: str, *, revision: int | None = None) -> PublishedService:
        """Give all calls to the version that had them before; raises ``NoRollback``."""

        def back(record: ServiceRecord) -> Traffic:
            target = rules.rollback_target(record.traffic, record.numbers)
            if target is None:
                raise NoRollback
            return rules.switched(record.traffic, target)

        return await self.change(name, back, revision=revision, force=True)

    async def change(
        self,
        name: str,
        change: Change,
        *,
        revision: int | None = None,
        force: bool = False,
        promotion: Promotion | None = None,
    ) -> PublishedService:
        """Change the traffic to what ``change`` returns for the stored service; see ``put``.

        The ``promotion`` that makes the change is stored in the same transaction.
        """
        while True:
            record = await self._read(name)
            if revision is not None and record.revision != revision:
                raise TrafficChanged(details={"current": traffic_details(self.find(name))})
            traffic = change(record)
            if traffic == record.traffic and promotion is None:
                return self.find(name)
            if not force:
                await self._check_compatible(record, traffic)
            async with contextlib.AsyncExitStack() as warm:
                await self._warm_up(warm, record, traffic)
                if await self._store(record, traffic, promotion):
                    return self.find(name)

    async def wake_version(self, name: str, number: int) -> None:
        """Give a version a deployment, without workers until a call comes."""
        async with self._publisher.routing:
            await self._wake(await self._read(name), [number])

    async def delete_version(self, name: str, number: int) -> None:
        """Delete a version that nothing refers to; raises ``VersionInUse``."""
        async with self._publisher.routing:
            rows = self._publisher.store.traffic
            record = await asyncio.to_thread(rows.delete_version, name, number)
            self._deployments.update(record, {})
            self._deployments.settle()

    async def prune(self, keep: int) -> list[ServiceRecord]:
        """Delete all but the latest ``keep`` versions of each service; 0 keeps all.

        Return the services that had more.
        """
        if not keep:
            return []
        async with self._publisher.routing:
            pruned = await asyncio.to_thread(self._publisher.store.traffic.prune, keep)
            for record in pruned:
                self._deployments.update(record, {})
            self._deployments.settle()
        return pruned

    async def tidy(self) -> None:
        """Stop the deployments that nothing needs at present."""
        async with self._publisher.routing:
            self._deployments.put_to_sleep()

    async def _store(
        self, record: ServiceRecord, traffic: Traffic, promotion: Promotion | None
    ) -> bool:
        """Store and apply traffic; return ``False`` if it was changed in the meantime."""
        async with self._publisher.routing:
            rows = self._publisher.store.traffic
            stored = await asyncio.to_thread(
                rows.set, record.name, traffic, record.revision, promotion
            )
            if stored is None:
                return False
            await self._wake(stored, traffic.needed)
            self._deployments.settle()
            return True

    async def _read(self, name: str) -> ServiceRecord:
        records = await asyncio.to_thread(self._publisher.store.services.records, [name])
        if not records:
            raise ServiceNotFound(name)
        return records[0]

    async def _versions(self, name: str, numbers: Iterable[int]) -> dict[int, Version]:
        pairs = [(name, number) for number in numbers]
        if not pairs:
            return {}
        rows = self._publisher.store.services
        found = await asyncio.to_thread(rows.find_versions, pairs)
        return {version.number: version for version in found}

    async def _wake(self, record: ServiceRecord, numbers: Iterable[int]) -> None:
        """Apply the stored routing; give these versions deployments. Needs the routing lock."""
        service = self._published.get(record.name)
        awake = service.versions if service is not None else {}
        versions = await self._versions(record.name, [n for n in numbers if n not in awake])
        deployments = self._deployments
        is_new = {}
        for version in versions.values():
            if version.bundle not in deployments:
                made = self._publisher.deployment(version.bundle, version.owner)
                deployments.adopt(version.bundle, made)
                is_new[version.bundle] = made
        deployments.update(record, {number: one.spec for number, one in versions.items()})
        for bundle in {version.bundle for version in versions.values()}:
            deployment = deployments.running[bundle]
            specs = deployments.specs(deployment)
            if bundle in is_new:
                deployment.run(specs, serving=deployment in deployments.serving())
            else:
                deployment.include(specs)

    async def _warm_up(
        self, stack: contextlib.AsyncExitStack, record: ServiceRecord, traffic: Traffic
    ) -> None:
        """Start a worker of each version that is to get traffic and has none yet."""
        wanted = sorted(traffic.needed - record.traffic.needed)
        if not wanted:
            return
        async with self._publisher.routing:
            await self._wake(await self._read(record.name), wanted)
        for number in wanted:
            deployment = self.find(record.name).versions[number].deployment
            await stack.enter_async_context(deployment.demand.kept_warm())
            try:
                async with asyncio.timeout(PREPARE):
                    await _ready_or_waiting(deployment)
            except TimeoutError as error:
                raise NotReady(f"Version {number} was not ready within {PREPARE:g} s.") from error
            except EasyMLNBError as error:
                raise DeploymentFailed(
                    f"Version {number} did not start, so the traffic is unchanged: {error.message}",
                    details=error.details,
                ) from error

    async def _has_other_callers(self, record: ServiceRecord) -> bool:
        usage = self._publisher.store.call_usage
        return await asyncio.to_thread(usage.has_other_callers, record.name, record.owner)

    async def _check_compatible(self, record: ServiceRecord, traffic: Traffic) -> None:
        """Raise ``BreakingVersion`` if a version that gets traffic would break callers.

        The owner, who makes the change, is not among them.
        """
        added = sorted(traffic.weights.keys() - record.traffic.weights.keys())
        if not added or not await self._has_other_callers(record):
            return
        serving = record.traffic.primary
        versions = await self._versions(record.name, [serving, *added])
        if serving not in versions:
            return
        for number in added:
            found = differences(versions[serving].spec, versions[number].spec)
            if found:
                raise BreakingVersion(number, serving, found)


async def _ready_or_waiting(deployment: Deployment) -> None:
    """Return when a worker is ready, or when it waits for capacity; raises why it cannot start."""
    ready = asyncio.ensure_future(deployment.demand.wait_ready())
    try:
        while not ready.done() and not deployment.starter.waiting_for_capacity:
            await asyncio.wait({ready}, timeout=CAPACITY_CHECK)
        if ready.done():
            ready.result()
    finally:
        ready.cancel()


def view_of(service: PublishedService, promotion: str | None = None) -> TrafficView:
    """Return the traffic of a service for a response."""
    traffic = service.traffic.traffic
    shadow = traffic.shadow
    return TrafficView(
        weights={str(number): weight for number, weight in traffic.weights.items()},
        aliases=dict(traffic.aliases),
        sticky=traffic.sticky,
        shadow=Shadow(int(shadow.version), shadow.share) if shadow is not None else None,
        rollback=rules.rollback_target(traffic, service.numbers),
        promotion=promotion,
    )


def traffic_details(service: PublishedService) -> dict[str, object]:
    """Return the traffic of a service, and its ETag, for the details of an error."""
    traffic: dict[str, object] = msgspec.to_builtins(view_of(service))
    return {**traffic, "etag": etag(service)}


def etag(service: PublishedService) -> str:
    """Return the ETag of a service's traffic."""
    return f'"{service.traffic.revision}"'
