"""Make the deployments of one server."""

import asyncio
from collections.abc import Awaitable, Callable

from easymlnb.contract.bundle import Bundle
from easymlnb_server.placement.registry import PlacementProvider
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.settings import DeploymentSettings
from easymlnb_server.workers.start_limiter import StartLimiter


class DeploymentFactory:
    """Makes deployments with the settings of this server.

    Parameters
    ----------
    registration
        Where workers register.
    limiter
        Limits concurrent starts.
    settings
        Returns the settings of a deployment from its start gate.
    """

    def __init__(
        self,
        registration: WorkerRegistration,
        limiter: StartLimiter,
        settings: Callable[[asyncio.Semaphore], DeploymentSettings],
    ) -> None:
        self._registration = registration
        self._limiter = limiter
        self._settings = settings
        self._placements: PlacementProvider | None = None

    def open(self, placements: PlacementProvider) -> None:
        """Start workers in these placements, which are known once the server has its port."""
        self._placements = placements

    def __call__(
        self, bundle: str, owner: str, load: Callable[[], Awaitable[Bundle]]
    ) -> Deployment:
        """Return the deployment of a bundle, which ``load`` reads."""
        assert self._placements is not None
        return Deployment(
            bundle,
            load,
            self._placements.for_owner(owner),
            self._registration.for_owner(owner),
            self._settings(self._limiter.for_owner(owner)),
        )
