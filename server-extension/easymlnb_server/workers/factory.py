"""Make the deployments of one server."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from easymlnb.contract.bundle import Bundle
from easymlnb_server.placement.registry import PlacementProvider
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.settings import Settings
from easymlnb_server.workers.start_limiter import StartLimiter


class DeploymentFactory:
    """Makes deployments with the settings of this server.

    Parameters
    ----------
    folder
        Where workers get their working folders.
    registration
        Where workers register.
    limiter
        Limits concurrent starts.
    start_timeout
        Seconds that a worker may take to get ready.
    queue_limit
        Calls that may wait.
    memory
        Bytes that a worker may take whose service sets no limit; 0: no limit.
    orphan_timeout
        Seconds that workers wait for the next server after this one was killed.
    """

    def __init__(
        self,
        folder: Path,
        registration: WorkerRegistration,
        limiter: StartLimiter,
        *,
        start_timeout: float,
        queue_limit: int,
        memory: int,
        orphan_timeout: float,
    ) -> None:
        self._folder = folder
        self._registration = registration
        self._limiter = limiter
        self._start_timeout = start_timeout
        self._queue_limit = queue_limit
        self._memory = memory
        self._orphan_timeout = orphan_timeout
        self._placements: PlacementProvider | None = None

    def open(self, placements: PlacementProvider) -> None:
        """Start workers in these placements, which are known once the server has its port."""
        self._placements = placements

    def __call__(
        self, bundle: str, owner: str, load: Callable[[], Awaitable[Bundle]]
    ) -> Deployment:
        """Return the deployment of a bundle, which ``load`` reads."""
        assert self._placements is not None
        settings = Settings(
            folder=self._folder,
            gate=self._limiter.of(owner),
            start_timeout=self._start_timeout,
            queue_limit=self._queue_limit,
            memory=self._memory,
            stay=self._orphan_timeout,
        )
        registration = self._registration.of(owner)
        return Deployment(bundle, load, self._placements.of(owner), registration, settings)
