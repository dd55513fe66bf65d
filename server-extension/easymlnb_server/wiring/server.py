"""Builds every object of a server once, in order. Settings come in, nothing is assigned later."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from jupyter_server.serverapp import ServerApp

from easymlnb_server.apps.service import AppPages, app_pages
from easymlnb_server.batches.manager import Batches
from easymlnb_server.batches.sweeps import Sweeps
from easymlnb_server.calls.idempotency import IdempotencyCache
from easymlnb_server.calls.key_revocation import KeyRevoker
from easymlnb_server.comparisons.calling import VersionCaller
from easymlnb_server.comparisons.manager import Comparisons
from easymlnb_server.context import ServerContext
from easymlnb_server.credentials.manager import CredentialStore
from easymlnb_server.identity.access import SingleUserDirectory, UserDirectory
from easymlnb_server.identity.api_keys.keys import ApiKeys
from easymlnb_server.identity.audit.log import AuditLog
from easymlnb_server.identity.revocation import AccessRevoker
from easymlnb_server.model_registry.tokens import ModelTokens
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.shared_profiles import SharedProfiles
from easymlnb_server.placement.hub.status import Views
from easymlnb_server.protocols.mcp.manager import McpServer
from easymlnb_server.protocols.oip.manager import ModelRepository
from easymlnb_server.publishing.ownership import Ownership
from easymlnb_server.publishing.preloading import PreloadedBundles
from easymlnb_server.publishing.promotions import Promotions
from easymlnb_server.publishing.version_archive import VersionArchive
from easymlnb_server.recordings.manager import Recordings
from easymlnb_server.schedules.manager import Schedules
from easymlnb_server.settings import Settings
from easymlnb_server.store.store import Store
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.uploads.uploads import Uploads
from easymlnb_server.wiring.calls import CallParts, call_parts
from easymlnb_server.wiring.credentials import credential_parts
from easymlnb_server.wiring.events import EventParts, event_parts
from easymlnb_server.wiring.jobs import JobParts, job_parts
from easymlnb_server.wiring.models import ModelAccess, ModelParts, model_parts
from easymlnb_server.wiring.placements import (
    HubParts,
    hub_parts,
    node_kernels,
    placement_views,
    shared_profiles,
)
from easymlnb_server.wiring.serving import ServingParts, serving_parts
from easymlnb_server.workers.environments import LockedEnvironments
from easymlnb_server.workers.factory import DeploymentFactory


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


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the objects of the context are made of."""

    users: UserDirectory
    hub: HubParts | None
    views: Views
    credentials: CredentialStore
    serving: ServingParts
    calls: CallParts
    jobs: JobParts
    events: EventParts
    models: ModelParts
    apps: AppPages
    spool: Spool
    audit: AuditLog
    idempotency: IdempotencyCache
    secret: str


def build(settings: Settings, server: ServerApp) -> Components:
    """Return the objects of a server that has its settings, and no port yet."""
    folder = Path(settings.state_dir)
    users = getattr(server.identity_provider, "people", SingleUserDirectory())
    hub_credentials = HubCredentials.from_environment(os.environ, settings.hub_proxy)
    hub = hub_parts(settings, folder, users)
    profiles = shared_profiles(settings, hub_credentials)
    keys, credentials = credential_parts(settings, folder)
    serving = serving_parts(settings, server, credentials, on_nodes=hub is not None)
    calls = call_parts(settings, server, serving)
    spool = Spool(folder / "spool", settings.spool_limit, visitors=settings.visitor_share)
    jobs = job_parts(settings, server, serving, calls.invoker, spool, keys)
    idempotency, secret = IdempotencyCache(), secrets.token_urlsafe(32)
    access = ModelAccess(users, ModelTokens(secret))
    parts = _Parts(
        users=users,
        hub=hub,
        views=placement_views(settings, hub, profiles, hub_credentials),
        credentials=credentials,
        serving=serving,
        calls=calls,
        jobs=jobs,
        events=event_parts(settings, users, serving, calls, idempotency, jobs.jobs),
        models=model_parts(settings, serving, calls.invoker, jobs.jobs, spool, access),
        apps=app_pages(settings),
        spool=spool,
        audit=AuditLog(Path(settings.audit_file) if settings.audit_file else None),
        idempotency=idempotency,
        secret=secret,
    )
    context = _context(settings, server, parts)
    opened = (parts.apps.sessions.opened, calls.in_flight.opened)
    revoker = AccessRevoker(serving.services, serving.publisher.refresh_access, users, opened)
    key_revoker = KeyRevoker(context.keys, calls.in_flight, serving.services)
    return Components(
        context, revoker, key_revoker, serving.deployments, hub, profiles, serving.environments
    )


def _context(settings: Settings, server: ServerApp, parts: _Parts) -> ServerContext:
    """Return what handlers use: a table of all its objects."""
    serving, calls, jobs = parts.serving, parts.calls, parts.jobs.jobs
    services, published, publisher = serving.services, serving.published, serving.publisher
    sessions, spool = parts.apps.sessions, parts.spool
    upload_limits = (settings.upload_seconds, settings.upload_quota)

    def store() -> Store:
        return publisher.store

    return ServerContext(
        invoker=calls.invoker,
        in_flight=calls.in_flight,
        recorder=calls.recorder,
        services=services,
        published=published,
        publisher=publisher,
        preloaded=PreloadedBundles(publisher, settings.bundles, services.user.name),
        ownership=Ownership(publisher),
        live=serving.live,
        registration=serving.registration,
        call_log=calls.log,
        metrics=calls.metrics,
        activity=calls.activity,
        secret=parts.secret,
        spool=spool,
        uploads=Uploads(spool, *upload_limits, open_pages=sessions.holders),
        apps=parts.apps,
        node_kernels=node_kernels(settings, server, Path(settings.state_dir)),
        placement_views=parts.views,
        idempotency=parts.idempotency,
        users=parts.users,
        jobs=jobs,
        batches=Batches(jobs, calls.invoker),
        sweeps=Sweeps(jobs, services),
        audit=parts.audit,
        keys=ApiKeys(parts.users, parts.audit),
        quotas=calls.quotas,
        usage=calls.usage,
        traffic=serving.traffic,
        promotions=Promotions(publisher, serving.traffic, calls.metrics.sample, parts.audit),
        credentials=parts.credentials,
        version_archive=VersionArchive(published, store),
        recordings=Recordings(calls.keeper, services, store),
        comparisons=Comparisons(VersionCaller(calls.invoker), store, spool, publisher.versions),
        shadow_comparisons=calls.shadow_comparisons,
        mcp=McpServer(services, spool),
        oip=ModelRepository(services, published, calls.metrics),
        schedules=Schedules(jobs, services, parts.users),
        webhooks=parts.jobs.webhooks,
        models=parts.models.registry,
        model_templates=parts.models.templates,
        mlaas=parts.models.mlaas,
        bridges=parts.events.bridges,
        storage_events=parts.events.storage_events,
        user_servers=parts.hub.user_servers if parts.hub is not None else None,
    )
