"""All traits of the extension."""

import os
from typing import Any

from traitlets import Bool, Enum, Float, Integer, List, TraitError, Unicode, validate

from easymlnb.contract import installation, units
from easymlnb_server.apps.settings import AppSettings
from easymlnb_server.credentials.settings import CredentialSettings
from easymlnb_server.http.connection_settings import InboundSettings
from easymlnb_server.hub.settings import HubSettings
from easymlnb_server.identity.settings import IdentitySettings
from easymlnb_server.jobs.lanes import check_placements
from easymlnb_server.jobs.settings import JobSettings
from easymlnb_server.messaging.settings import MessagingSettings
from easymlnb_server.placement.registry import LOCAL
from easymlnb_server.protocols.settings import ProtocolSettings
from easymlnb_server.publishing.bundle_settings import BundleSettings
from easymlnb_server.publishing.settings import GateTraits
from easymlnb_server.storage_events.settings import StorageEventSettings
from easymlnb_server.store.settings import StorageSettings
from easymlnb_server.webhooks.settings import WebhookSettings


class Settings(
    AppSettings,
    BundleSettings,
    CredentialSettings,
    GateTraits,
    HubSettings,
    IdentitySettings,
    InboundSettings,
    JobSettings,
    MessagingSettings,
    ProtocolSettings,
    StorageEventSettings,
    StorageSettings,
    WebhookSettings,
):
    """Traits of the extension: those of each part, and those of calls, workers and logs."""

    start_timeout = Float(
        600.0, help="Maximum seconds from starting a worker until its notebook is ready."
    ).tag(config=True)
    queue_limit = Integer(64, help="Maximum number of waiting calls per version.").tag(config=True)
    spool_limit = Integer(
        20 * 2**30, help="Maximum total bytes of large bodies and uploads on disk."
    ).tag(config=True)
    visitor_share = Float(
        0.25, help="Share of spool_limit available to all visitors without a login together."
    ).tag(config=True)
    upload_seconds = Float(
        3600.0, help="Seconds after its last use until an upload is deleted."
    ).tag(config=True)
    upload_quota = Integer(10 * 2**30, help="Maximum total bytes of one caller's uploads.").tag(
        config=True
    )
    model_quota = Integer(
        100 * 2**30, min=0, help="Maximum total bytes of the models of one owner; 0: no limit."
    ).tag(config=True)
    max_concurrent_starts = Integer(
        2,
        help="Maximum number of workers starting at the same time; on a Hub's shared service: per "
        "user.",
    ).tag(config=True)
    keep_versions = Integer(
        20,
        min=0,
        help="Number of latest versions of each service to keep. Older ones are deleted, unless "
        "traffic, an alias, a promotion or a job uses them. 0: keep all.",
    ).tag(config=True)
    worker_memory = Unicode(
        help="Default memory limit of a worker whose service sets none, such as 4G."
    ).tag(config=True)
    orphan_timeout = Float(
        60.0, help="Seconds that workers wait for the next server after this one was killed."
    ).tag(config=True)
    inherited_environment = List(
        Unicode(), help="Names of additional environment variables that workers inherit."
    ).tag(config=True)
    require_locked_environments = Bool(
        False, help="Accept only versions with a locked environment."
    ).tag(config=True)
    environment_folder = Unicode(
        help="Folder for locked environments; default: in the data folder. A Hub's shared service "
        "has locked environments only with this folder, which the nodes must have, too."
    ).tag(config=True)
    environment_index_url = Unicode(
        help="Package index for locked environments; default: uv's own settings."
    ).tag(config=True)
    environment_wheelhouse = Unicode(
        help="Folder or URL with wheels for locked environments; without environment_index_url, "
        "the only source."
    ).tag(config=True)
    # Not `log_format`: that name is traitlets', and formats the lines of every application.
    log_style = Enum(["text", "json"], "text", help="Format of log lines.").tag(config=True)

    @validate("worker_memory")
    def _worker_memory(self, proposal: Any) -> str:
        try:
            units.parse_size(proposal["value"] or 1)
        except ValueError as error:
            raise TraitError(f"EasyMLNB.worker_memory: {error}") from error
        return str(proposal["value"])

    def check_lanes(self) -> None:
        """Raise ``TraitError`` if a lane names a placement that cannot exist.

        On a Hub, the placements of users' own servers may come from the shared service.
        """
        if not self.shared and "JUPYTERHUB_USER" in os.environ:
            return
        try:
            check_placements(self.parsed_lanes, [LOCAL, *self.placements])
        except ValueError as error:
            raise TraitError(f"EasyMLNB.lanes: {error}.") from error

    def check_gate(self) -> None:
        """Raise ``TraitError`` if the quality gate is required and a tool is missing."""
        absent = installation.missing("ruff", "bandit", "detect_secrets")
        if self.quality_gate == "required" and absent:
            raise TraitError(
                f"EasyMLNB.quality_gate = 'required' needs {' and '.join(absent)}, which are not "
                "installed in the server's environment: pip install 'easymlnb[gate]'"
            )

    def check_events(self) -> None:
        """Raise ``TraitError`` if a bridge or a source of files names no user and must."""
        self.parsed_bridges(shared=self.shared)
        self.sources(shared=self.shared)

    @property
    def worker_memory_bytes(self) -> int:
        """The default memory limit of a worker in bytes; 0: none."""
        return units.parse_size(self.worker_memory) if self.worker_memory else 0
