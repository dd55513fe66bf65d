"""The objects of a running server, made once by ``app`` and seen by every handler."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from easymlnb_server.access import People
from easymlnb_server.activity import Activity
from easymlnb_server.apps.apps import Apps
from easymlnb_server.calllog import CallLog
from easymlnb_server.engine.live import LiveTable
from easymlnb_server.engine.rendezvous import Rendezvous
from easymlnb_server.idempotency import Keys
from easymlnb_server.metrics import Metrics
from easymlnb_server.placement.hub.own import OwnServers
from easymlnb_server.placement.hub.view import Views
from easymlnb_server.placement.node import NodeKernels
from easymlnb_server.publications import Publications
from easymlnb_server.services import Services
from easymlnb_server.spool import Spool
from easymlnb_server.uploads import Uploads

if TYPE_CHECKING:
    from easymlnb_server.tracing import Tracing

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
