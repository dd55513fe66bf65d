"""Builds every object of a server once, in order. Settings come in, nothing is assigned later."""

import asyncio
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server.serverapp import ServerApp

from easymlnb_server.apps.service import app_pages
from easymlnb_server.batches.manager import Batches
from easymlnb_server.batches.sweeps import Sweeps
from easymlnb_server.calls.idempotency import IdempotencyCache
from easymlnb_server.calls.in_flight import InFlight
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.calls.key_revocation import KeyRevoker
from easymlnb_server.calls.log import CallLog
from easymlnb_server.calls.record import CallRecorder
from easymlnb_server.comparisons.calling import VersionCaller
from easymlnb_server.comparisons.manager import RUNNERS, Comparisons
from easymlnb_server.comparisons.shadow import ShadowComparisons
from easymlnb_server.context import ServerContext
from easymlnb_server.credentials.encryption import KeySource
from easymlnb_server.credentials.manager import CredentialStore
from easymlnb_server.http import pages
from easymlnb_server.identity.access import SingleUserDirectory
from easymlnb_server.identity.api_keys.keys import ApiKeys
from easymlnb_server.identity.audit.log import AuditLog
from easymlnb_server.identity.grants import CALLS_ONLY
from easymlnb_server.identity.quotas.quotas import Quotas
from easymlnb_server.identity.revocation import AccessRevoker
from easymlnb_server.identity.usage.meter import UsageMeter
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.lifecycle import ServingLifecycle
from easymlnb_server.model_registry.tokens import ModelTokens
from easymlnb_server.observability.activity import Activity
from easymlnb_server.observability.metrics import Metrics
from easymlnb_server.placement.address_file import write_address
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.shared_profiles import SharedProfiles
from easymlnb_server.placement.registry import PlacementProvider
from easymlnb_server.protocols.mcp.manager import McpServer
from easymlnb_server.protocols.oip.manager import ModelRepository
from easymlnb_server.publishing.ownership import Ownership
from easymlnb_server.publishing.preloading import PreloadedBundles
from easymlnb_server.publishing.promotions import Promotions
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.publishing.traffic import TrafficManager
from easymlnb_server.publishing.version_archive import VersionArchive
from easymlnb_server.recordings.keeper import Keeper
from easymlnb_server.recordings.manager import Recordings
from easymlnb_server.schedules.manager import Schedules
from easymlnb_server.services import catalog
from easymlnb_server.services.account import account
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.settings import Settings
from easymlnb_server.store.store import Store
from easymlnb_server.supervisor import Work
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.uploads.uploads import Uploads
from easymlnb_server.webhooks.manager import Webhooks
from easymlnb_server.webhooks.sending import HttpSender
from easymlnb_server.wiring import needed_files
from easymlnb_server.wiring.credentials import credential_parts
from easymlnb_server.wiring.events import event_parts
from easymlnb_server.wiring.models import ModelAccess, model_parts
from easymlnb_server.wiring.placements import (
    HubParts,
    hub_parts,
    kernelspecs,
    node_kernels,
    placement_views,
    shared_profiles,
)
from easymlnb_server.workers.accounts import WorkerAccounts
from easymlnb_server.workers.environments import LockedEnvironments
from easymlnb_server.workers.factory import DeploymentFactory
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.settings import DeploymentSettings
from easymlnb_server.workers.start_limiter import StartLimiter

if TYPE_CHECKING:
    from easymlnb_server.calls.tracing import Tracing

PLACED = "placed"
"""Folder, below the state folder, for records of what runs on nodes."""


TIDY_SECONDS = 60.0
TIDY_ROUNDS = 60
"""Deployments are checked each minute, old versions each hour."""


@dataclass(frozen=True, slots=True)
class Components:
    """The objects of a server that are not for handlers, and the context, which is."""

    context: ServerContext
    revoker: AccessRevoker
    key_revoker: KeyRevoker
    deployments: DeploymentFactory
    hub: HubParts | None
    profiles: SharedProfiles
    environments: LockedEnvironments | None


def build(settings: Settings, server: ServerApp) -> Components:
    """Return the objects of a server that has its settings, and no port yet."""
    folder = Path(settings.state_dir)
    directory = getattr(server.identity_provider, "people", SingleUserDirectory())
    credentials = HubCredentials.from_environment(os.environ, settings.hub_proxy)
    hub = hub_parts(settings, folder, directory)
    common = shared_profiles(settings, credentials)
    registration = WorkerRegistration()
    keys, stored_credentials = credential_parts(settings, folder)
    environments = _environments(settings, server, folder)
    deployments = _deployments(
        settings, registration, environments, stored_credentials, on_nodes=hub is not None
    )
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
    times: dict[str, datetime] = server.web_app.settings.setdefault("last_activity_times", {})
    activity = Activity(server.kernel_manager, times, live)
    in_flight, calls = InFlight(), CallLog()
    metrics = Metrics(live, published, in_flight.by_version)
    usage = UsageMeter(settings.usage_days)
    quotas = Quotas(settings.limit_defaults, usage)
    audit = AuditLog(Path(settings.audit_file) if settings.audit_file else None)
    keeper = Keeper()
    recorder = CallRecorder(
        calls, metrics, usage, _tracing(), keeper=keeper, shared=settings.shared
    )
    apps = app_pages(settings)
    spool = Spool(folder / "spool", settings.spool_limit, visitors=settings.visitor_share)
    invoker = Invoker(services, recorder, activity, in_flight, quotas)
    shadow_comparisons = ShadowComparisons()
    invoker.shadows.sinks.register(shadow_comparisons)
    secret = secrets.token_urlsafe(32)
    jobs = Jobs(
        invoker,
        published,
        publisher,
        deployments,
        spool,
        folder,
        settings.parsed_lanes,
        settings.job_limits,
    )
    webhooks = _webhooks(settings, server, published, keys)
    jobs.on_outcome.append(webhooks.outbox)
    access = ModelAccess(directory, ModelTokens(secret))
    idempotency = IdempotencyCache()
    events = event_parts(settings, directory, services, invoker, idempotency, jobs, metrics)
    models = model_parts(settings, services, publisher, traffic, invoker, jobs, spool, access)
    context = ServerContext(
        invoker=invoker,
        in_flight=in_flight,
        recorder=recorder,
        services=services,
        published=published,
        publisher=publisher,
        preloaded=PreloadedBundles(publisher, settings.bundles, services.user.name),
        ownership=Ownership(publisher),
        live=live,
        registration=registration,
        call_log=calls,
        metrics=metrics,
        activity=activity,
        secret=secret,
        spool=spool,
        uploads=Uploads(
            spool, settings.upload_seconds, settings.upload_quota, open_pages=apps.sessions.holders
        ),
        apps=apps,
        node_kernels=node_kernels(settings, server, folder),
        placement_views=placement_views(settings, hub, common, credentials),
        idempotency=idempotency,
        users=directory,
        jobs=jobs,
        batches=Batches(jobs, invoker),
        sweeps=Sweeps(jobs, services),
        audit=audit,
        keys=ApiKeys(directory, audit),
        quotas=quotas,
        usage=usage,
        traffic=traffic,
        promotions=Promotions(publisher, traffic, metrics.sample, audit),
        credentials=stored_credentials,
        version_archive=VersionArchive(published, lambda: publisher.store),
        recordings=Recordings(keeper, services, lambda: publisher.store),
        comparisons=Comparisons(
            VersionCaller(invoker), lambda: publisher.store, spool, publisher.versions
        ),
        shadow_comparisons=shadow_comparisons,
        mcp=McpServer(services, spool),
        oip=ModelRepository(services, published, metrics),
        schedules=Schedules(jobs, services, directory),
        webhooks=webhooks,
        models=models.registry,
        model_templates=models.templates,
        mlaas=models.mlaas,
        bridges=events.bridges,
        storage_events=events.storage_events,
        user_servers=hub.user_servers if hub is not None else None,
    )
    revoker = AccessRevoker(
        services,
        context.publisher.refresh_access,
        directory,
        (apps.sessions.opened, in_flight.opened),
    )
    key_revoker = KeyRevoker(context.keys, in_flight, services)
    return Components(context, revoker, key_revoker, deployments, hub, common, environments)


def build_lifecycle(
    settings: Settings,
    components: Components,
    server: ServerApp,
    link: str,
    placements: PlacementProvider,
) -> ServingLifecycle:
    """Return what opens the store and serves published services."""
    folder, hub, context = Path(settings.state_dir), components.hub, components.context

    async def prepare(store: Store) -> None:
        needed_files.register(store)
        context.audit.open(store.audit)
        await context.keys.open(store.api_keys)
        await context.usage.open(store.call_usage)
        await context.quotas.open(store.service_limits)
        context.schedules.prepare(store)
        context.storage_events.prepare(store)
        await context.webhooks.prepare(store)
        if hub is not None:
            await hub.users.open(store.people)

    def duties(store: Store) -> Iterator[tuple[str, Work]]:
        yield "audit", context.audit.run
        yield "keys", context.keys.run
        yield "usage", context.usage.run
        yield "versions", partial(_tend_versions, components.context, settings.keep_versions)
        yield "promotions", components.context.promotions.run
        if components.environments is not None:
            yield "environments", partial(components.environments.run, store.bundles.locks)
        if hub is not None:
            yield "owners", partial(hub.users.meet_owners, store.people)
            yield "meters", partial(hub.meters.run, store)
        yield "pages", partial(asyncio.to_thread, pages.prepare)
        yield "catalog", partial(catalog.prepare, context.services)
        yield "recordings", components.context.recordings.run
        yield "shadow comparisons", components.context.shadow_comparisons.run
        yield "schedules", components.context.schedules.run
        yield "bundles", partial(context.preloaded.run, server.stop)
        yield "webhooks", components.context.webhooks.run
        yield "bridges", context.bridges.run
        yield "storage events", context.storage_events.run
        for number in range(RUNNERS):
            yield f"comparisons {number}", components.context.comparisons.run

    return ServingLifecycle(
        folder,
        server.connection_url,
        context,
        announce=partial(write_address, folder / "server.json", link, server.certfile or ""),
        orphaned_workers=placements.orphaned_workers,
        prepare=prepare,
        duties=duties,
        drain=settings.drain_seconds,
    )


def _webhooks(
    settings: Settings, server: ServerApp, published: PublishedServices, keys: KeySource
) -> Webhooks:
    return Webhooks(
        published.check,
        keys,
        HttpSender(settings.allowed_hosts),
        settings.mail_server,
        lambda: _public_url(settings, server),
        settings.job_retention,
    )


def _public_url(settings: Settings, server: ServerApp) -> str:
    """Return the URL of all routes, as people outside see it."""
    hub = os.environ.get("JUPYTERHUB_PUBLIC_URL", "")
    if hub and not settings.shared:
        hub = f"{hub.rstrip('/')}/easymlnb"
    found = settings.public_url or hub or f"{server.connection_url.rstrip('/')}/easymlnb"
    return f"{found.rstrip('/')}/"


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


def _tracing() -> "Tracing | None":
    # A process that has configured OpenTelemetry has imported it; no other should pay for that.
    if "opentelemetry.trace" not in sys.modules:
        return None
    from easymlnb_server.calls import tracing

    return tracing.configured()


async def _tend_versions(context: ServerContext, keep: int) -> None:
    """Delete old versions, and stop deployments that nothing needs, from time to time."""
    while True:
        for record in await context.traffic.prune(keep):
            about = {"kept": list(record.numbers)}
            await context.audit.record(
                "version.delete", record.name, owner=record.owner, details=about
            )
        for _ in range(TIDY_ROUNDS):
            await context.traffic.tidy()
            await asyncio.sleep(TIDY_SECONDS)
