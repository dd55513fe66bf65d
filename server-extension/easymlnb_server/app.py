"""The extension: its settings, and the one place where the server's objects are made."""

import asyncio
import gc
import logging
import os
import re
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from traitlets import Enum, Float, Integer, List, TraitError, Unicode, validate

from easymlnb.contract import process, units
from easymlnb.contract.bundle import Bundle
from easymlnb.contract.errors import EasyMLNBError, NotReady
from easymlnb_server.apps.settings import AppSettings
from easymlnb_server.calls.idempotency import IdempotencyCache
from easymlnb_server.calls.log import CallLog
from easymlnb_server.context import STATE, ServerContext
from easymlnb_server.http import kernel_channels
from easymlnb_server.http.connection_settings import InboundSettings
from easymlnb_server.http.fastpath.eligibility import CALL, SHARED_CALL
from easymlnb_server.http.fastpath.listener import open_doors
from easymlnb_server.http.routes import PREFIX, ROUTES, SHARED_ROUTES
from easymlnb_server.http.terminals import keep_path
from easymlnb_server.hub.settings import HubSettings
from easymlnb_server.identity.access import SingleUserDirectory
from easymlnb_server.identity.revocation import AccessRevoker
from easymlnb_server.lifecycle import ServingLifecycle
from easymlnb_server.observability import log_format
from easymlnb_server.observability.activity import Activity
from easymlnb_server.observability.log_filter import Careful
from easymlnb_server.observability.metrics import Metrics
from easymlnb_server.placement import gpus
from easymlnb_server.placement.address_file import write_address
from easymlnb_server.placement.local import LocalPlacement
from easymlnb_server.placement.registry import PlacementProvider
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.services.account import account
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.store.private_folder import make_private
from easymlnb_server.store.settings import StorageSettings
from easymlnb_server.store.store import Store
from easymlnb_server.supervisor import Supervisor, Work
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.uploads.uploads import Uploads
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.settings import Settings
from easymlnb_server.workers.start_limiter import StartLimiter

if TYPE_CHECKING:
    from easymlnb_server.observability.tracing import Tracing

MESSAGE_LIMIT = 150 * 2**20
"""Bytes of a websocket message: a file chosen in a form under a cell comes as one."""


class EasyMLNB(AppSettings, HubSettings, InboundSettings, StorageSettings, ExtensionApp):
    """Services from notebooks: live, published, with their API."""

    name = "easymlnb"
    app_name = "easymlnb"
    extension_url = "/easymlnb/"
    load_other_extensions = True

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
    max_concurrent_starts = Integer(
        2,
        help="Maximum number of workers starting at the same time; on a Hub's shared service: per "
        "user.",
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
    # Not `log_format`: that name is traitlets', and formats the lines of every application.
    log_style = Enum(["text", "json"], "text", help="Format of log lines.").tag(config=True)

    @validate("worker_memory")
    def _worker_memory(self, proposal: Any) -> str:
        try:
            units.size(proposal["value"] or 1)
        except ValueError as error:
            raise TraitError(f"EasyMLNB.worker_memory: {error}") from error
        return str(proposal["value"])

    _refusal = ""
    """Why the settings cannot be used; empty where they can."""

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        try:
            super()._link_jupyter_server_extension(serverapp)
        except TraitError as error:
            self._refusal = str(error)
            raise

    def initialize(self) -> None:  # type: ignore[override]
        """Prepare the server, unless a setting was refused: traitlets then dropped all of them."""
        if self._refusal:
            raise TraitError(self._refusal)
        super().initialize()  # type: ignore[no-untyped-call]

    @classmethod
    def initialize_server(cls, *given: Any, **named: Any) -> ServerApp:
        """Make the server of ``easymlnb serve``; it ends where the extension cannot be used."""
        server: ServerApp = super().initialize_server(*given, **named)  # type: ignore[no-untyped-call]
        made = server.extension_manager.extension_points[cls.name].app
        if made._refusal:
            server.log.critical("easymlnb: %s", made._refusal)
            server.exit(1)
        return server

    def initialize_settings(self) -> None:
        app = self._server
        # Its environment and memory hold tokens, which workers, of the same account, have no
        # business with.
        process.hide()
        self._careful = Careful()
        self._log_handler = log_format.configure(self.log_style, cast("int | str", app.log_level))
        live = LiveServices(self.queue_limit)
        publications = Publisher(self._deployment, shared=self.shared)
        services = ServiceRegistry(live, publications, shared=self.shared, account=account())
        people = getattr(app.identity_provider, "people", SingleUserDirectory())
        self._owners = self.make_owners(self._folder, people)
        settings = app.web_app.settings
        times: dict[str, datetime] = settings.setdefault("last_activity_times", {})
        # On nodes of their own nobody's starts are in the way of others'.
        self._gates = StartLimiter(self.max_concurrent_starts, one=self._owners is None)
        self._supervisor = Supervisor()
        self._lifecycle: ServingLifecycle | None = None
        spool = Spool(self._folder / "spool", self.spool_limit, visitors=self.visitor_share)
        apps = self.make_apps()
        self._state = ServerContext(
            services=services,
            publications=publications,
            live=live,
            rendezvous=WorkerRegistration(),
            calls=CallLog(),
            metrics=Metrics(live, publications),
            activity=Activity(app.kernel_manager, times, live),
            secret=secrets.token_urlsafe(32),
            spool=spool,
            uploads=Uploads(
                spool, self.upload_seconds, self.upload_quota, open_pages=apps.places.holders
            ),
            apps=apps,
            node=self.make_node(self._kernelspecs, self._folder, self.inherited_environment),
            nodes=self.make_views(self._owners),
            keys=IdempotencyCache(),
            tracing=_tracing(),
            people=people,
            own_servers=self.make_own_servers(self._owners),
        )
        settings[STATE] = self._state
        settings.setdefault("websocket_max_message_size", MESSAGE_LIMIT)

    def initialize_handlers(self) -> None:
        own = getattr(self._server.identity_provider, "routes", ())
        for path, *rest in (*own, *(SHARED_ROUTES if self.shared else ROUTES)):
            self.handlers.append((url_path_join(f"/{PREFIX}/", path), *rest))
        if self.kernel_nodelay and not self.shared:
            self.handlers.append((kernel_channels.PATTERN, kernel_channels.KernelChannelsHandler))

    @property
    def _server(self) -> ServerApp:
        assert self.serverapp is not None
        return self.serverapp

    @property
    def _folder(self) -> Path:
        return Path(self.state_dir)

    @property
    def _kernelspecs(self) -> KernelSpecManager:
        assert self._server.kernel_spec_manager is not None
        return self._server.kernel_spec_manager

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Start what needs the final port: the link of kernels, and what is published."""
        if self._refusal:
            return
        self._careful.watch_all()  # by now every other extension has its own log, too
        try:
            await asyncio.to_thread(make_private, self._folder)
        except OSError as error:
            self.log.error("Cannot use the folder %s: %s", self._folder, error)
        link = self._link_url()
        os.environ["EASYMLNB_LINK"] = link
        os.environ["EASYMLNB_SECRET"] = self._state.secret
        if self.hub_proxy:
            os.environ["EASYMLNB_HUB_PROXY"] = self.hub_proxy
        os.environ["EASYMLNB_SERVER_PID"] = str(os.getpid())
        os.environ["EASYMLNB_CAFILE"] = serverapp.certfile or ""
        self._places = await asyncio.to_thread(self.make_somewhere)
        try:
            await asyncio.to_thread(self._state.spool.open)
        except OSError as error:
            self.log.error("Request bodies over 1 MB are rejected: %s", error)
        if not self.is_node:
            cafile = serverapp.certfile or ""
            self._state.apps.open(self._link_url("http").removesuffix("link"), cafile)
        call = SHARED_CALL if self.shared else CALL
        path = url_path_join(re.escape(serverapp.base_url), PREFIX, call)
        limits = self.make_inbound(proxied=serverapp.trust_xheaders)
        server, application = serverapp.http_server, serverapp.web_app
        connections = open_doors(server, application, path, self._state, limits)
        self._state.metrics.open()
        if "JUPYTERHUB_USER" in os.environ:
            keep_path(serverapp.web_app.settings)
        state = self._state
        for duty in (connections, state.activity, state.metrics, state.uploads):
            self._supervisor.run(type(duty).__name__, duty.keep)
        self._supervisor.run("NodeKernelManager", state.node.run)
        if self.shared:
            self._supervisor.run("AccessRevoker", AccessRevoker(state).keep)
        try:
            await self._open_store()
        except EasyMLNBError as error:
            # The author's notebooks and live services must work all the same.
            self._state.publications.unusable = NotReady(error.message)
            if not self.is_node:  # one carries kernels, and that is all that is wanted of it
                self.log.error("Published services are not available: %s", error.message)
        # Python's search for garbage stands still for everybody: half a second, as long as it goes
        # through all that was loaded, which stays anyway.
        gc.freeze()

    def make_somewhere(self) -> PlacementProvider:
        """Return where workers start; it blocks."""
        if self._owners is not None:
            return self._owners
        local = LocalPlacement(
            self._kernelspecs,
            self._folder / "workers",
            link=self._link_url(),
            cafile=self._server.certfile or "",
            address_file=self._folder / "server.json",
            inherit=self.inherited_environment,
            gpus=gpus.visible_gpus(os.environ, gpus.detect_gpus()),
        )
        return self.make_places(self._folder, local)

    async def _open_store(self) -> None:
        if self.is_node:
            raise NotReady(
                "This server runs kernels for another server and offers no services itself."
            )
        self._lifecycle = ServingLifecycle(
            self._folder,
            self._server.connection_url,
            self._state,
            announce=self._announce,
            survivors=self._places.orphaned_workers,
            prepare=self.know_people,
            duties=self._duties,
        )
        await self._lifecycle.open(
            self.open_store, self.lease_seconds if self.may_have_standbys else 0.0
        )

    def _announce(self) -> None:
        write_address(self._folder / "server.json", self._link_url(), self._server.certfile or "")

    def _duties(self, store: Store) -> Iterator[tuple[str, Work]]:
        yield "owners", partial(self.meet_owners, store)
        if self.meters is not None:
            yield "meters", partial(self.meters.keep, store)

    def _deployment(
        self, bundle: str, owner: str, load: Callable[[], Awaitable[Bundle]]
    ) -> Deployment:
        settings = Settings(
            folder=self._folder / "work",
            gate=self._gates.of(owner),
            start_timeout=self.start_timeout,
            queue_limit=self.queue_limit,
            memory=units.size(self.worker_memory) if self.worker_memory else 0,
            stay=self.orphan_timeout,
        )
        places = self._places.for_owner(owner)
        return Deployment(bundle, load, places, self._state.rendezvous.of(owner), settings)

    def _link_url(self, plain: str = "ws") -> str:
        """Return where kernels on this machine dial in; ``http`` for where they call."""
        local = urlsplit(self._server.local_url)
        scheme = f"{plain}s" if local.scheme == "https" else plain
        host = local.netloc
        if self._server.ip not in ("", "0.0.0.0", "::", "localhost", "127.0.0.1", "::1"):
            host = f"{self._server.ip}:{self._server.port}"
        return f"{scheme}://{host}" + url_path_join(self._server.base_url, PREFIX, "link")

    async def stop_extension(self) -> None:
        if self._refusal:
            return
        self._state.services.draining = True
        if self._lifecycle is not None:
            await self._lifecycle.close()
        self._state.metrics.close()
        await self._state.apps.close()
        await self._supervisor.close()
        await self._state.node.close()
        if self._state.own_servers is not None:
            await self._state.own_servers.close()
        if self._lifecycle is not None:
            self._lifecycle.release()
        await asyncio.to_thread(self._state.spool.close)
        logging.getLogger("easymlnb").removeHandler(self._log_handler)


def _tracing() -> "Tracing | None":
    # Whoever has configured OpenTelemetry has imported it; nobody else shall pay for that.
    if "opentelemetry.trace" not in sys.modules:
        return None
    from easymlnb_server.observability import tracing

    return tracing.configured()


def main() -> None:
    """Run a Jupyter server with this extension, configured by the command line."""
    EasyMLNB.launch_instance()  # type: ignore[no-untyped-call]
