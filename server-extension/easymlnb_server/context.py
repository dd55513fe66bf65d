"""The objects of a running server, built once and passed to every handler."""

from dataclasses import dataclass

from easymlnb_server.apps.service import AppPages
from easymlnb_server.batches.manager import Batches
from easymlnb_server.batches.sweeps import Sweeps
from easymlnb_server.calls.idempotency import IdempotencyCache
from easymlnb_server.calls.in_flight import InFlight
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.calls.log import CallLog
from easymlnb_server.calls.record import CallRecorder
from easymlnb_server.comparisons.manager import Comparisons
from easymlnb_server.comparisons.shadow import ShadowComparisons
from easymlnb_server.credentials.manager import CredentialStore
from easymlnb_server.identity.access import UserDirectory
from easymlnb_server.identity.api_keys.keys import ApiKeys
from easymlnb_server.identity.audit.log import AuditLog
from easymlnb_server.identity.quotas.quotas import Quotas
from easymlnb_server.identity.usage.meter import UsageMeter
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.messaging.manager import Bridges
from easymlnb_server.model_registry.manager import ModelRegistry
from easymlnb_server.model_templates.manager import ModelTemplates
from easymlnb_server.model_templates.mlaas.training import MlaasTraining
from easymlnb_server.observability.activity import Activity
from easymlnb_server.observability.metrics import Metrics
from easymlnb_server.placement.hub.status import Views
from easymlnb_server.placement.hub.user_servers import UserServers
from easymlnb_server.placement.node.manager import NodeKernelManager
from easymlnb_server.protocols.mcp.manager import McpServer
from easymlnb_server.protocols.oip.manager import ModelRepository
from easymlnb_server.publishing.ownership import Ownership
from easymlnb_server.publishing.preloading import PreloadedBundles
from easymlnb_server.publishing.promotions import Promotions
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.publishing.traffic import TrafficManager
from easymlnb_server.publishing.version_archive import VersionArchive
from easymlnb_server.recordings.manager import Recordings
from easymlnb_server.schedules.manager import Schedules
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.storage_events.manager import StorageEvents
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.uploads.uploads import Uploads
from easymlnb_server.webhooks.manager import Webhooks
from easymlnb_server.workers.registration import WorkerRegistration

STATE = "easymlnb_state"
"""Key of the ``ServerContext`` in the web application's settings."""


@dataclass(frozen=True, slots=True)
class ServerContext:
    """The parts of the server that handlers use."""

    invoker: Invoker
    in_flight: InFlight
    recorder: CallRecorder
    services: ServiceRegistry
    published: PublishedServices
    publisher: Publisher
    preloaded: PreloadedBundles
    ownership: Ownership
    live: LiveServices
    registration: WorkerRegistration
    call_log: CallLog
    metrics: Metrics
    activity: Activity
    secret: str
    spool: Spool
    uploads: Uploads
    apps: AppPages
    node_kernels: NodeKernelManager
    placement_views: Views
    idempotency: IdempotencyCache
    users: UserDirectory
    jobs: Jobs
    batches: Batches
    sweeps: Sweeps
    audit: AuditLog
    keys: ApiKeys
    quotas: Quotas
    usage: UsageMeter
    traffic: TrafficManager
    promotions: Promotions
    credentials: CredentialStore
    version_archive: VersionArchive
    recordings: Recordings
    comparisons: Comparisons
    shadow_comparisons: ShadowComparisons
    mcp: McpServer
    oip: ModelRepository
    models: ModelRegistry
    model_templates: ModelTemplates
    mlaas: MlaasTraining
    schedules: Schedules
    webhooks: Webhooks
    bridges: Bridges
    storage_events: StorageEvents
    user_servers: UserServers | None = None
    """The users' own servers, on a shared service; ``None`` on a personal server."""

    @property
    def ready(self) -> bool:
        """Whether this process answers calls of published services."""
        return self.published.ready and self.preloaded.ready and not self.services.draining
