"""The deployments behind the published services of this process."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity import names as naming
from easymlnb_server.placement.base import OrphanedWorker
from easymlnb_server.publishing.replacement import holders
from easymlnb_server.services.models import (
    Deploy,
    PublishedService,
    SleepingVersion,
    VersionEntry,
)
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.store.records import ServiceRecord, Version
from easymlnb_server.traffic.policy import TrafficPolicy
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.worker_set import Worker

DRAIN = 30.0
"""Seconds that calls have to finish on a replaced version."""


class DeploymentSet:
    """Deployments by their bundles, and those whose first worker is starting.

    Attributes
    ----------
    running
        Deployments that serve, by bundle.
    starting
        Deployments that may serve soon, by bundle.
    """

    def __init__(self, published: PublishedServices, deploy: Deploy) -> None:
        self.running: dict[str, Deployment] = {}
        self.starting: dict[str, Deployment] = {}
        self._published = published
        self._deploy = deploy
        self._ending: set[asyncio.Task[None]] = set()

    def __contains__(self, bundle: str) -> bool:
        return bundle in self.running

    def make(self, bundle: str, owner: str, load: Callable[[], Awaitable[Bundle]]) -> Deployment:
        """Return a new deployment of a bundle that ``load`` reads; it has no workers yet."""
        made = self._deploy(bundle, owner, load)
        made.starter.holders = lambda placement: holders(
            placement, self._published.services, self.starting_next_to(made)
        )
        return made

    def starting_next_to(self, deployment: Deployment) -> list[Deployment]:
        """Return the other deployments whose first worker is starting."""
        return [one for one in self.starting.values() if one is not deployment]

    def competitors(
        self, deployment: Deployment, formers: Collection[Deployment]
    ) -> Iterator[Deployment]:
        """Yield the deployments that may wait for the same capacity as this one."""
        for other in (*self.running.values(), *self.starting_next_to(deployment)):
            if other not in formers:
                yield other

    def adopt(self, bundle: str, deployment: Deployment) -> None:
        """Have a deployment answer for a bundle, in place of the one that did before."""
        former = self.running.get(bundle)
        self.running[bundle] = deployment
        if former is not None and former is not deployment:
            self._take_over(deployment, former)

    def update(self, record: ServiceRecord, specs: Mapping[int, ServiceSpec]) -> None:
        """Route the calls of a service as it is stored.

        ``specs`` are those of versions that have a running deployment from now on.
        """
        before = self._published.get(record.name)
        known = before.versions if before is not None else {}
        versions: dict[int, VersionEntry] = {}
        sleeping: dict[int, SleepingVersion] = {}
        for row in record.versions:
            if row.number in known:
                versions[row.number] = known[row.number]
            elif row.number in specs:
                versions[row.number] = VersionEntry(
                    row.number,
                    row.bundle,
                    specs[row.number],
                    self.running[row.bundle],
                    row.created,
                )
            else:
                sleeping[row.number] = SleepingVersion(row.bundle)
        policy = TrafficPolicy.of(record.traffic, record.revision)
        # Rules that were set meanwhile are newer than what was read.
        access = before.access if before is not None else record.access
        service = PublishedService(versions, policy, record.owner, access, sleeping)
        self._published.set(record.name, service)

    def go_live(
        self,
        bundle: str,
        deployment: Deployment,
        worker: Worker,
        records: list[ServiceRecord],
        versions: list[Version],
    ) -> None:
        """Let a deployment answer for the versions that its bundle made."""
        self.adopt(bundle, deployment)
        specs = {(version.service, version.number): version.spec for version in versions}
        for record in records:
            made = {number: spec for (name, number), spec in specs.items() if name == record.name}
            self.update(record, made)
        serving = deployment in self.serving()
        deployment.run(self.specs(deployment), worker, serving=serving)

    def serve_all(
        self,
        records: Iterable[ServiceRecord],
        serving: Mapping[str, list[Version]],
        make: Callable[[str, str], Deployment],
        orphans: dict[str, list[OrphanedWorker]],
    ) -> None:
        """Route calls as stored, with new deployments for the versions that have traffic.

        ``make`` makes the deployment of a bundle of an owner. ``orphans`` are workers of a former
        server by bundle; those that are used are removed.
        """
        specs: dict[str, dict[int, ServiceSpec]] = {}
        started: list[tuple[str, Deployment]] = []
        for bundle, versions in serving.items():
            if bundle not in self.running:
                deployment = make(bundle, versions[0].owner)
                self.adopt(bundle, deployment)
                started.append((bundle, deployment))
            for version in versions:
                specs.setdefault(version.service, {})[version.number] = version.spec
        for record in records:
            if record.traffic.weights.keys() <= specs.get(record.name, {}).keys():
                self.update(record, specs[record.name])
        for bundle, deployment in started:
            served = self.specs(deployment)
            if served:
                deployment.run(served, orphans=orphans.pop(bundle, ()))
        self.settle()

    def specs(self, deployment: Deployment) -> list[ServiceSpec]:
        """Return the services that a deployment answers for."""
        versions = self._published.versions()
        found = {
            version.spec.name: version.spec
            for version in versions
            if version.deployment is deployment
        }
        return naming.with_short_names(found.values())

    def serving(self) -> set[Deployment]:
        """Return the deployments of versions with traffic."""
        return {
            service.versions[number].deployment
            for service in self._published.services.values()
            for number in service.traffic.traffic.needed
            if number in service.versions
        }

    def settle(self) -> None:
        """Scale all deployments by their traffic; stop those that nothing refers to."""
        serving = self.serving()
        needed = {version.bundle for version in self._published.versions()}
        for bundle, deployment in [*self.running.items()]:
            if bundle not in needed:
                self._end(self.running.pop(bundle))
            else:
                deployment.set_traffic(deployment in serving)

    def put_to_sleep(self) -> None:
        """Stop the deployments without traffic that have neither workers nor calls."""
        serving = self.serving()
        idle = {
            deployment
            for deployment in self.running.values()
            if deployment not in serving and deployment.idle
        }
        if not idle:
            return
        for name, service in [*self._published.services.items()]:
            ends = [one for one in service.versions.values() if one.deployment in idle]
            if ends:
                slept = {one.number: SleepingVersion(one.bundle) for one in ends}
                awake = {n: one for n, one in service.versions.items() if n not in slept}
                sleeping = {**service.sleeping, **slept}
                self._published.set(name, replace(service, versions=awake, sleeping=sleeping))
        self.settle()

    async def stop(self, *, drain: float, hand_over: bool) -> None:
        """Stop all deployments; ``hand_over`` leaves their workers to the next server process."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        end = Deployment.detach if hand_over else Deployment.stop
        ends = (end(deployment, drain) for deployment in self.running.values())
        await asyncio.gather(*ends, return_exceptions=True)
        self.running.clear()

    def _take_over(self, deployment: Deployment, former: Deployment) -> None:
        """Let a bundle's new workers, started for more of its services, answer for all of them."""
        for name, service in [*self._published.services.items()]:
            versions = {
                number: replace(one, deployment=deployment) if one.deployment is former else one
                for number, one in service.versions.items()
            }
            self._published.set(name, replace(service, versions=versions))
        self._end(former)

    def _end(self, deployment: Deployment) -> None:
        task = asyncio.create_task(deployment.stop(DRAIN))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
