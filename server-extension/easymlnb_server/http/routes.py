"""The URLs below ``{base_url}easymlnb/``, of a personal server and of a shared service."""

from typing import Any

from easymlnb_server.apps.channel_handlers import ChannelsHandler, KernelHandler, LeaveHandler
from easymlnb_server.apps.handlers import OPERATIONS as APPS
from easymlnb_server.apps.handlers import AppAssetHandler, AppHandler
from easymlnb_server.batches.handlers import OPERATIONS as BATCHES
from easymlnb_server.batches.handlers import BatchesHandler, BatchPageHandler
from easymlnb_server.batches.sweep_handlers import SweepsHandler, TrialsHandler
from easymlnb_server.calls.cancel_handlers import OPERATIONS as CANCEL
from easymlnb_server.calls.cancel_handlers import RunningCallHandler
from easymlnb_server.calls.event_handlers import EventCallHandler
from easymlnb_server.calls.handlers import CallHandler
from easymlnb_server.calls.operations import OPERATIONS as CALLS
from easymlnb_server.comparisons.handlers import OPERATIONS as COMPARISONS
from easymlnb_server.comparisons.handlers import (
    ComparisonHandler,
    ComparisonPageHandler,
    ComparisonsHandler,
    ShadowsHandler,
    ShadowsPageHandler,
)
from easymlnb_server.credentials.handlers import OPERATIONS as CREDENTIALS
from easymlnb_server.credentials.handlers import CredentialHandler, CredentialsHandler
from easymlnb_server.http.model_routes import OPERATIONS as MODELS
from easymlnb_server.http.model_routes import OWN_MODEL, model_routes
from easymlnb_server.http.pages import OPERATIONS as PAGES
from easymlnb_server.http.pages import AssetHandler, DocsHandler
from easymlnb_server.http.unknown_routes import NotFoundHandler
from easymlnb_server.hub.handlers import ROUTES as HUB
from easymlnb_server.identity.api_keys.handlers import OPERATIONS as KEYS
from easymlnb_server.identity.api_keys.handlers import KeyHandler, KeysHandler, KeysPageHandler
from easymlnb_server.identity.audit.handlers import OPERATIONS as AUDIT
from easymlnb_server.identity.audit.handlers import AuditHandler
from easymlnb_server.identity.handlers import OPERATIONS as ME
from easymlnb_server.identity.handlers import MeHandler
from easymlnb_server.identity.quotas.handlers import OPERATIONS as LIMITS
from easymlnb_server.identity.quotas.handlers import LimitsHandler
from easymlnb_server.identity.usage.handlers import OPERATIONS as USAGE
from easymlnb_server.identity.usage.handlers import UsageHandler, UsagePageHandler
from easymlnb_server.jobs.handlers import (
    CancelJobHandler,
    JobEventsHandler,
    JobFileHandler,
    JobHandler,
    JobLogHandler,
    JobResultHandler,
    JobsHandler,
    RetryJobHandler,
    SubmitHandler,
)
from easymlnb_server.jobs.handover_handlers import OPERATIONS as HAND_OVER
from easymlnb_server.jobs.handover_handlers import CallToJobHandler
from easymlnb_server.jobs.operations import OPERATIONS as JOBS
from easymlnb_server.jobs.page_handlers import PAGES as JOB_PAGES
from easymlnb_server.jobs.page_handlers import JobPageHandler, JobsPageHandler
from easymlnb_server.link.handlers import OPERATIONS as LINK
from easymlnb_server.link.handlers import LinkHandler
from easymlnb_server.messaging.handlers import OPERATIONS as MESSAGING
from easymlnb_server.messaging.handlers import BridgeHandler, BridgesHandler
from easymlnb_server.model_templates.handlers import DataUploadsHandler
from easymlnb_server.observability.handlers import OPERATIONS as HEALTH
from easymlnb_server.observability.handlers import (
    CallMetricsHandler,
    LiveHandler,
    MetricsHandler,
    ReadyHandler,
)
from easymlnb_server.openapi.document import Operations
from easymlnb_server.openapi.handlers import OPERATIONS as OPENAPI
from easymlnb_server.openapi.handlers import OpenapiHandler, ServiceOpenapiHandler
from easymlnb_server.placement.handlers import OPERATIONS as PLACEMENTS
from easymlnb_server.placement.handlers import PlacementsHandler
from easymlnb_server.placement.node.handlers import (
    NodeChannelsHandler,
    NodeHandler,
    NodeKernelHandler,
    NodeKernelsHandler,
)
from easymlnb_server.protocols.assistants.handlers import OPERATIONS as ASSISTANTS
from easymlnb_server.protocols.assistants.handlers import AssistantPageHandler
from easymlnb_server.protocols.deepaas.handlers import routes as deepaas_routes
from easymlnb_server.protocols.deepaas.operations import OPERATIONS as DEEPAAS
from easymlnb_server.protocols.easymlserve.handlers import ProcessHandler
from easymlnb_server.protocols.easymlserve.operations import OPERATIONS as EASYMLSERVE
from easymlnb_server.protocols.mcp.handlers import McpHandler
from easymlnb_server.protocols.mcp.operations import OPERATIONS as MCP
from easymlnb_server.protocols.oip.handlers import oip_routes
from easymlnb_server.protocols.oip.operations import OPERATIONS as OIP
from easymlnb_server.protocols.oip.streams.handlers import stream_routes
from easymlnb_server.publishing.handlers import OPERATIONS as PUBLISHING
from easymlnb_server.publishing.handlers import (
    BundleHandler,
    BundleNotebookHandler,
    ServicesHandler,
)
from easymlnb_server.publishing.provenance_handlers import OPERATIONS as PROVENANCE
from easymlnb_server.publishing.provenance_handlers import (
    ProvenanceHandler,
    VersionBundleHandler,
    VersionCrateHandler,
    VersionDiffHandler,
    VersionNotebookHandler,
    VersionPageHandler,
    VersionQualityHandler,
)
from easymlnb_server.recordings.handlers import OPERATIONS as RECORDS
from easymlnb_server.recordings.handlers import (
    DatasetHandler,
    FlagHandler,
    RecordCodeHandler,
    RecordHandler,
    RecordsHandler,
    RecordsPageHandler,
)
from easymlnb_server.schedules.handlers import OPERATIONS as SCHEDULES
from easymlnb_server.schedules.handlers import (
    PauseScheduleHandler,
    RunScheduleHandler,
    ScheduleHandler,
    SchedulesHandler,
    SchedulesPageHandler,
)
from easymlnb_server.services.catalog_handlers import OPERATIONS as CATALOG
from easymlnb_server.services.catalog_handlers import (
    CatalogHandler,
    ServicePageHandler,
)
from easymlnb_server.services.handlers import OPERATIONS as SERVICES
from easymlnb_server.services.handlers import (
    AccessHandler,
    LogHandler,
    MaintainersHandler,
    ServiceHandler,
    VersionsHandler,
)
from easymlnb_server.services.metadata_handlers import OPERATIONS as METADATA
from easymlnb_server.services.metadata_handlers import (
    CatalogMetadataHandler,
    MetadataHandler,
    ThumbnailHandler,
)
from easymlnb_server.storage_events.handlers import OPERATIONS as STORAGE_EVENTS
from easymlnb_server.storage_events.handlers import (
    NotificationHandler,
    SourceHandler,
    SourcesHandler,
)
from easymlnb_server.traffic.handlers import OPERATIONS as TRAFFIC
from easymlnb_server.traffic.handlers import (
    PromotionHandler,
    PromotionPauseHandler,
    PromotionsHandler,
    RollbackHandler,
    TrafficHandler,
    VersionHandler,
)
from easymlnb_server.training.handlers import OPERATIONS as TRAINING
from easymlnb_server.training.handlers import UseModelHandler
from easymlnb_server.uploads.handlers import OPERATIONS as UPLOADS
from easymlnb_server.uploads.handlers import UploadHandler
from easymlnb_server.webhooks.handlers import OPERATIONS as WEBHOOKS
from easymlnb_server.webhooks.handlers import (
    DeliveriesHandler,
    DeliveryHandler,
    RetryDeliveryHandler,
    RotateWebhookHandler,
    TestWebhookHandler,
    WebhookHandler,
    WebhooksHandler,
    WebhooksPageHandler,
)

PREFIX = "easymlnb"

OPERATIONS: Operations = {
    **PUBLISHING,
    **SERVICES,
    **CALLS,
    **CANCEL,
    **CATALOG,
    **METADATA,
    **OPENAPI,
    **PAGES,
    **APPS,
    **PLACEMENTS,
    **HEALTH,
    **LINK,
    **ME,
    **UPLOADS,
    **HAND_OVER,
    **JOBS,
    **BATCHES,
    **TRAINING,
    **JOB_PAGES,
    **KEYS,
    **LIMITS,
    **USAGE,
    **AUDIT,
    **TRAFFIC,
    **CREDENTIALS,
    **PROVENANCE,
    **RECORDS,
    **COMPARISONS,
    **MCP,
    **OIP,
    **ASSISTANTS,
    **EASYMLSERVE,
    **MODELS,
    **SCHEDULES,
    **WEBHOOKS,
    **DEEPAAS,
    **MESSAGING,
    **STORAGE_EVENTS,
}
"""The routes that OpenAPI documents describe."""

NAME = r"([A-Za-z0-9_-]+)"
FULL_NAME = r"([^/]+/[A-Za-z0-9_-]+)"
USER = r"([^/]+)"
BUNDLE = r"([0-9a-f]{64})"
UPLOAD = r"([A-Za-z0-9_-]{43})"
VERSION = r"([a-z0-9_-]{1,63})"
STORED_ID = r"([0-9A-Za-z_-]{1,64})"
"""The id of a promotion, record or comparison. If it never existed, the error says so."""
KERNEL = r"([0-9a-f]{32})"
CREDENTIAL = r"([A-Za-z_][A-Za-z0-9_.-]{0,63})"
REQUEST = r"([A-Za-z0-9._-]{8,64})"
JOB = r"([0-9A-Za-z]{1,64})"
SOURCE = r"([A-Za-z_][A-Za-z0-9_]{0,62})"
ASSET = r"([a-z]+\.[a-z]+)"
KEY = r"([0-9A-Za-z_]{1,64})"
SESSION = r"([0-9a-f-]{36})"
FILE = r"([0-9a-f]{12})/([A-Za-z0-9@._/-]+)"


Routes = tuple[tuple[Any, ...], ...]


def _apps(prefix: str, name: str, public: bool) -> Routes:
    """Return the routes of an app's page and of its replacement for Jupyter's kernel API."""
    options = {"public": public}
    handlers = (
        (rf"{prefix}/{name}", AppHandler),
        (rf"{prefix}/{name}/api/kernels/{SESSION}", KernelHandler),
        (rf"{prefix}/{name}/api/kernels/{SESSION}/channels", ChannelsHandler),
        (rf"{prefix}/{name}/leave/{SESSION}", LeaveHandler),
    )
    return tuple((path, handler, options) for path, handler in handlers)


def _common_routes(name: str) -> Routes:
    """Return the routes of both kinds of server; ``name`` is the pattern of a service's name."""
    return (
        (r"/?", CatalogHandler),
        (r"metadata", CatalogMetadataHandler),
        (r"docs", DocsHandler),
        (r"openapi\.json", OpenapiHandler, {"operations": OPERATIONS}),
        (rf"static/{ASSET}", AssetHandler),
        (r"services", ServicesHandler),
        (rf"services/{name}", ServiceHandler),
        (rf"services/{name}/access", AccessHandler),
        (rf"services/{name}/maintainers", MaintainersHandler),
        (rf"services/{name}/call", EventCallHandler),
        (rf"services/{name}/view", CallHandler, {"view": True}),
        (rf"services/{name}/versions", VersionsHandler),
        (rf"services/{name}/log", LogHandler),
        (rf"services/{name}/openapi\.json", ServiceOpenapiHandler),
        (rf"services/{name}/page", ServicePageHandler),
        (rf"services/{name}/metadata", MetadataHandler),
        (rf"services/{name}/thumbnail", ThumbnailHandler),
        (rf"services/{name}/credentials", CredentialsHandler),
        (rf"services/{name}/credentials/{CREDENTIAL}", CredentialHandler),
        (r"uploads", DataUploadsHandler),
        (rf"uploads/{UPLOAD}", UploadHandler),
        (rf"calls/{REQUEST}", RunningCallHandler),
        (rf"calls/{REQUEST}/job", CallToJobHandler),
        (rf"bundles/{BUNDLE}", BundleHandler),
        (rf"bundles/{BUNDLE}/notebook", BundleNotebookHandler),
        *_apps("apps", name, False),
        *_apps("public", name, True),
        (rf"app-assets/{FILE}", AppAssetHandler),
        (r"health/live", LiveHandler),
        (r"health/ready", ReadyHandler),
        (r"link", LinkHandler),
        (r"placements", PlacementsHandler),
        (r"me", MeHandler),
        (rf"services/{name}/jobs", SubmitHandler),
        (rf"services/{name}/batches", BatchesHandler),
        (rf"services/{name}/batches/page", BatchPageHandler),
        (rf"services/{name}/sweeps", SweepsHandler),
        (rf"jobs/{JOB}/trials", TrialsHandler),
        (r"jobs", JobsHandler),
        (r"jobs/page", JobsPageHandler),
        (rf"jobs/{JOB}", JobHandler),
        (rf"jobs/{JOB}/page", JobPageHandler),
        (rf"jobs/{JOB}/result", JobResultHandler),
        (rf"jobs/{JOB}/log", JobLogHandler),
        (rf"jobs/{JOB}/events", JobEventsHandler),
        (rf"jobs/{JOB}/files/(.+)", JobFileHandler),
        (rf"jobs/{JOB}/cancel", CancelJobHandler),
        (rf"jobs/{JOB}/retry", RetryJobHandler),
        (rf"jobs/{JOB}/use", UseModelHandler),
        (r"keys", KeysHandler),
        (r"keys/page", KeysPageHandler),
        (rf"keys/{KEY}", KeyHandler),
        (rf"services/{name}/limits", LimitsHandler),
        (r"usage", UsageHandler),
        (r"usage/page", UsagePageHandler),
        (r"audit", AuditHandler),
        (rf"services/{name}/traffic", TrafficHandler),
        (rf"services/{name}/rollback", RollbackHandler),
        (rf"services/{name}/promotions", PromotionsHandler),
        (rf"services/{name}/promotions/{STORED_ID}", PromotionHandler),
        (rf"services/{name}/promotions/{STORED_ID}/pause", PromotionPauseHandler),
        (
            rf"services/{name}/promotions/{STORED_ID}/resume",
            PromotionPauseHandler,
            {"paused": False},
        ),
        (rf"services/{name}/versions/{VERSION}", VersionHandler),
        (rf"services/{name}/versions/{VERSION}/call", EventCallHandler),
        (rf"services/{name}/versions/{VERSION}/view", CallHandler, {"view": True}),
        (rf"services/{name}/versions/{VERSION}/provenance", ProvenanceHandler),
        (rf"services/{name}/versions/{VERSION}/quality", VersionQualityHandler),
        (rf"services/{name}/versions/{VERSION}/diff", VersionDiffHandler),
        (rf"services/{name}/versions/{VERSION}/bundle", VersionBundleHandler),
        (rf"services/{name}/versions/{VERSION}/notebook", VersionNotebookHandler),
        (rf"services/{name}/versions/{VERSION}/crate", VersionCrateHandler),
        (rf"services/{name}/versions/{VERSION}/page", VersionPageHandler),
        (rf"services/{name}/flag", FlagHandler),
        (rf"services/{name}/records", RecordsHandler),
        (rf"services/{name}/records/page", RecordsPageHandler),
        (rf"services/{name}/records/dataset", DatasetHandler),
        (rf"services/{name}/records/{STORED_ID}", RecordHandler),
        (rf"services/{name}/records/{STORED_ID}/code", RecordCodeHandler),
        (rf"services/{name}/comparisons", ComparisonsHandler),
        (rf"services/{name}/comparisons/shadow", ShadowsHandler),
        (rf"services/{name}/comparisons/shadow/page", ShadowsPageHandler),
        (rf"comparisons/{STORED_ID}", ComparisonHandler),
        (rf"comparisons/{STORED_ID}/page", ComparisonPageHandler),
        (r"mcp", McpHandler),
        (rf"services/{name}/mcp", McpHandler),
        *oip_routes(name, VERSION),
        *stream_routes(name, VERSION),
        (rf"services/{name}/process", ProcessHandler),
        (r"assistants", AssistantPageHandler),
        (rf"services/{name}/assistant", AssistantPageHandler),
        *model_routes(name, OWN_MODEL if name == NAME else name),
        (r"schedules", SchedulesHandler),
        (r"schedules/page", SchedulesPageHandler),
        (rf"schedules/{JOB}", ScheduleHandler),
        (rf"schedules/{JOB}/pause", PauseScheduleHandler),
        (rf"schedules/{JOB}/resume", PauseScheduleHandler, {"paused": False}),
        (rf"schedules/{JOB}/run", RunScheduleHandler),
        (r"webhooks", WebhooksHandler),
        (r"webhooks/page", WebhooksPageHandler),
        (rf"webhooks/{JOB}", WebhookHandler),
        (rf"webhooks/{JOB}/rotate", RotateWebhookHandler),
        (rf"webhooks/{JOB}/test", TestWebhookHandler),
        (r"deliveries", DeliveriesHandler),
        (rf"deliveries/{JOB}", DeliveryHandler),
        (rf"deliveries/{JOB}/retry", RetryDeliveryHandler),
        *deepaas_routes(name),
        (r"bridges", BridgesHandler),
        (rf"bridges/{SOURCE}", BridgeHandler),
        (r"storage-events", SourcesHandler),
        (rf"storage-events/{SOURCE}", SourceHandler),
        (rf"services/{name}/events", NotificationHandler),
    )


ROUTES: Routes = (
    *_common_routes(NAME),
    (rf"services/{NAME}/live/call", CallHandler, {"live": True}),
    (rf"services/{NAME}/live/view", CallHandler, {"live": True, "view": True}),
    (r"node", NodeHandler),
    (r"node/kernels", NodeKernelsHandler),
    (rf"node/kernels/{KERNEL}", NodeKernelHandler),
    (rf"node/kernels/{KERNEL}/channels", NodeChannelsHandler),
    (r".*", NotFoundHandler),
)

# A shared service has no live services and runs no kernels under its own account.
SHARED_ROUTES: Routes = (
    *_common_routes(FULL_NAME),
    *HUB,
    (r"metrics", MetricsHandler),
    (r".*", NotFoundHandler),
)

# A server for given bundles has no live services either, and runs no kernels for others.
BUNDLE_ROUTES: Routes = (
    *_common_routes(NAME),
    (r"metrics", CallMetricsHandler),
    (r".*", NotFoundHandler),
)
