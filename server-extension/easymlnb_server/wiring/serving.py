"""Builds what publishes services, runs their workers, and finds them."""

from dataclasses import dataclass
from pathlib import Path

from jupyter_server.serverapp import ServerApp

from easymlnb_server.credentials.manager import CredentialStore
from easymlnb_server.identity.grants import CALLS_ONLY
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.publishing.traffic import TrafficManager
from easymlnb_server.services.account import account
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.settings import Settings
from easymlnb_server.wiring.placements import kernelspecs
from easymlnb_server.workers.accounts import WorkerAccounts
from easymlnb_server.workers.environments import LockedEnvironments
from easymlnb_server.workers.factory import DeploymentFactory
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.settings import DeploymentSettings
from easymlnb_server.workers.start_limiter import StartLimiter


@dataclass(frozen=True, slots=True)
class ServingParts:
    """Live and published services, and what runs the published ones."""

    registration: WorkerRegistration
    environments: LockedEnvironments | None
    deployments: DeploymentFactory
    live: LiveServices
    published: PublishedServices
    publisher: Publisher
    traffic: TrafficManager
    services: ServiceRegistry


def serving_parts(
    settings: Settings, server: ServerApp, credentials: CredentialStore, *, on_nodes: bool
) -> ServingParts:
    """Return the services of a server; ``on_nodes`` if workers start on the nodes of a Hub."""
    registration = WorkerRegistration()
    environments = _environments(settings, server, Path(settings.state_dir))
    deployments = _deployments(settings, registration, environments, credentials, on_nodes=on_nodes)
    live, published = LiveServices(settings.queue_limit), PublishedServices()
    publisher = Publisher(
        published,
        deployments,
        shared=settings.shared,
        require_locked=settings.require_locked_environments,
        accounts=deployments.accounts,
        gate=settings.gate_settings,
    )
    traffic = TrafficManager(publisher)
    services = ServiceRegistry(
        live,
        published,
        shared=settings.shared,
        account=account(),
        grant=CALLS_ONLY if settings.bundles else None,
        everyone=settings.trust_cluster,
        wake_version=traffic.wake_version,
    )
    return ServingParts(
        registration, environments, deployments, live, published, publisher, traffic, services
    )


def _environments(settings: Settings, server: ServerApp, folder: Path) -> LockedEnvironments | None:
    if settings.shared and not settings.environment_folder:
        return None  # other accounts cannot read the data folder
    own = settings.environment_folder
    return LockedEnvironments(
        Path(own) if own else folder / "environments",
        kernelspecs(server),
        index_url=settings.environment_index_url,
        wheelhouse=settings.environment_wheelhouse,
        shared=settings.shared,
    )


def _deployments(
    settings: Settings,
    registration: WorkerRegistration,
    environments: LockedEnvironments | None,
    stored_credentials: CredentialStore,
    *,
    on_nodes: bool,
) -> DeploymentFactory:
    # On nodes of their own, users do not get in each other's way.
    limiter = StartLimiter(settings.max_concurrent_starts, shared=not on_nodes)
    deployment_settings = DeploymentSettings(
        folder=Path(settings.state_dir) / "work",
        start_timeout=settings.start_timeout,
        queue_limit=settings.queue_limit,
        memory_limit=settings.worker_memory_bytes,
        orphan_timeout=settings.orphan_timeout,
        environments=environments,
    )
    accounts = WorkerAccounts(settings.group_accounts)
    return DeploymentFactory(
        deployment_settings, registration, limiter, stored_credentials, accounts
    )
