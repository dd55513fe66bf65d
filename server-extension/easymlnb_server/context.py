"""The objects of a running server, made once by ``app`` and seen by every handler."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from easymlnb_server.apps.service import Apps
from easymlnb_server.calls.idempotency import Keys
from easymlnb_server.calls.log import CallLog
from easymlnb_server.identity.access import People
from easymlnb_server.observability.activity import Activity
from easymlnb_server.observability.metrics import Metrics
from easymlnb_server.placement.hub.status import Views
from easymlnb_server.placement.hub.user_servers import OwnServers
from easymlnb_server.placement.node.manager import NodeKernels
from easymlnb_server.publishing.publisher import Publications
from easymlnb_server.services.live import LiveTable
from easymlnb_server.services.registry import Services
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.uploads.uploads import Uploads
from easymlnb_server.workers.registration import Rendezvous

if TYPE_CHECKING:
    from easymlnb_server.observability.tracing import Tracing

STATE = "easymlnb_state"
"""Key of the ``State`` in the web application's settings."""


@dataclass(frozen=True, slots=True)
class State:
    """What handlers work with."""

    services: Services
    publications: Publications
    live: LiveTable
    rendezvous: Rendezvous
    calls: CallLog
    metrics: Metrics
    activity: Activity
    secret: str
    spool: Spool
    uploads: Uploads
    apps: Apps
    node: NodeKernels
    nodes: Views
    keys: Keys
    people: People
    own_servers: OwnServers | None = None
    """What else of its users a shared service can look at; ``None`` on a server of one's own."""
    tracing: "Tracing | None" = None
