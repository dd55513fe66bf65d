"""Make the deployments of one server."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

from easymlnb_server.credentials.manager import CredentialStore
from easymlnb_server.placement.registry import PlacementProvider
from easymlnb_server.workers.accounts import WorkerAccounts
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.settings import DeploymentSettings
from easymlnb_server.workers.start_limiter import StartLimiter
from easymlnb_server.workers.starter import JobLane, LoadBundle, Starter
from easymlnb_server.workers.worker_set import WorkerSet

MANY = 1_000_000
"""Starts that nothing limits."""


@dataclass(slots=True)
class DeploymentFactory:
    """Makes deployments with the settings of this server."""

    settings: DeploymentSettings
    registration: WorkerRegistration
    limiter: StartLimiter
    credentials: CredentialStore
    accounts: WorkerAccounts
    _placements: PlacementProvider | None = None
    _no_gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MANY))

    def open(self, placements: PlacementProvider) -> None:
        """Start workers in these placements, which are known once the server has its port."""
        self._placements = placements

    def __call__(self, bundle: str, owner: str, load: LoadBundle) -> Deployment:
        """Return the deployment of a bundle, which ``load`` reads."""
        assert self._placements is not None
        account = self.accounts.of(bundle, owner)
        return Deployment(
            bundle,
            load,
            self._placements.for_owner(account),
            self.registration.for_owner(owner, account, bundle),
            self.limiter.for_owner(account),
            self.settings,
            self.credentials.for_owner(owner),
        )

    def job_starter(
        self,
        bundle: str,
        owner: str,
        load: LoadBundle,
        workers: WorkerSet,
        folder: Path,
        lane: JobLane,
    ) -> Starter:
        """Return what starts the kernel of a job, whose folder is in ``folder``."""
        assert self._placements is not None
        account = self.accounts.of(bundle, owner)
        return Starter(
            load,
            self._placements.for_owner(account),
            self.registration.for_owner(owner, account, bundle),
            # Kernels on nodes, which may wait in a queue for hours, delay no other start.
            self._no_gate if lane.is_on_nodes else self.limiter.for_owner(account),
            workers,
            replace(self.settings, folder=folder),
            self.credentials.for_owner(owner),
            lane,
        )

    def require_placement(self, bundle: str, owner: str, placement: str) -> None:
        """Raise ``DeploymentFailed`` if there is no such placement for a bundle's workers."""
        if self._placements is not None:
            self._placements.for_owner(self.accounts.of(bundle, owner)).get(placement)
