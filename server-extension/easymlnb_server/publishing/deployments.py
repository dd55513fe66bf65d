"""The deployments behind the published services of this process."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import replace

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity import names as naming
from easymlnb_server.publishing.replacement import holders
from easymlnb_server.services.models import Deploy, PublishedService, VersionEntry
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.store.records import Version
from easymlnb_server.workers.deployment import Deployment

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

    def serve(self, deployment: Deployment, versions: Iterable[Version]) -> None:
        """Have a deployment answer for versions, in place of what answered before."""
        for version in versions:
            former = self.running.get(version.bundle)
            self.running[version.bundle] = deployment
            before = self._published.get(version.service)
            entry = VersionEntry(
                version.number, version.bundle, version.spec, deployment, version.created
            )
            # Rules that were set while this version started are newer than what it read.
            access = before.access if before is not None else version.access
            service = PublishedService.of_version(entry, version.owner, access)
            self._published.set(version.service, service)
            if former is not None and former is not deployment:
                self._take_over(deployment, former)

    def specs(self, deployment: Deployment) -> list[ServiceSpec]:
        """Return the services that a deployment answers for."""
        versions = self._published.versions()
        return naming.with_short_names(
            version.spec for version in versions if version.deployment is deployment
        )

    def retire(self) -> None:
        """Stop the deployments that no longer serve anything, once their calls are done."""
        serving = {version.bundle for version in self._published.versions()}
        for bundle in self.running.keys() - serving:
            self._end(self.running.pop(bundle))

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
