"""The extension: what Jupyter starts and stops."""

import asyncio
import gc
import logging
import os
import sys
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from traitlets import TraitError

from easymlnb.contract import environment_lock, process
from easymlnb.contract.errors import EasyMLNBError, NotReady
from easymlnb_server.context import STATE
from easymlnb_server.http import kernel_channels
from easymlnb_server.http.connections import Connections
from easymlnb_server.http.fastpath.listener import install
from easymlnb_server.http.fastpath.routes import fast_routes
from easymlnb_server.http.grpc_port import GrpcPort
from easymlnb_server.http.root_routes import serve_at_root
from easymlnb_server.http.routes import BUNDLE_ROUTES, PREFIX, ROUTES, SHARED_ROUTES
from easymlnb_server.http.terminals import extend_path
from easymlnb_server.identity.revocation import EVERY
from easymlnb_server.lifecycle import ServingLifecycle
from easymlnb_server.observability import log_format
from easymlnb_server.observability.log_filter import LogFilter
from easymlnb_server.protocols.mcp.results import SWEEP_EVERY as RESULTS_EVERY
from easymlnb_server.settings import Settings
from easymlnb_server.store.private_folder import make_private
from easymlnb_server.supervisor import Supervisor
from easymlnb_server.uploads.uploads import SWEEP_EVERY
from easymlnb_server.wiring.lifecycle import build_lifecycle
from easymlnb_server.wiring.placements import build_placements
from easymlnb_server.wiring.server import build

SWITCH_SECONDS = 0.001
"""Seconds for which a thread runs while others wait for the interpreter."""

MESSAGE_LIMIT = 150 * 2**20
"""Bytes of a websocket message: a file chosen in a form under a cell comes as one."""


class EasyMLNB(Settings, ExtensionApp):
    """The server extension: live and published services of notebooks, and their API."""

    name = "easymlnb"
    app_name = "easymlnb"
    extension_url = "/easymlnb/"
    load_other_extensions = True

    _refusal = ""
    """Why the settings are invalid; empty if they are valid."""

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        try:
            super()._link_jupyter_server_extension(serverapp)
            self.check_lanes()
            self.check_gate()
            self.check_events()
            self.check_bundles()
        except TraitError as error:
            self._refusal = str(error)
            raise

    def initialize(self) -> None:  # type: ignore[override]
        """Prepare the server; fail on an invalid setting, as traitlets then drops all of them."""
        if self._refusal:
            raise TraitError(self._refusal)
        super().initialize()  # type: ignore[no-untyped-call]

    @classmethod
    def initialize_server(cls, *args: Any, **kwargs: Any) -> ServerApp:
        """Create the server of ``easymlnb serve``; exit if the extension cannot be used."""
        server: ServerApp = super().initialize_server(*args, **kwargs)  # type: ignore[no-untyped-call]
        extension = server.extension_manager.extension_points[cls.name].app
        if extension._refusal:
            server.log.critical("easymlnb: %s", extension._refusal)
            server.exit(1)
        return server

    def initialize_settings(self) -> None:
        app = self._server
        # The environment and memory of this process hold tokens. Workers run under the same account
        # and must not read them.
        process.hide()
        self._log_filter = LogFilter()
        self._log_handler = log_format.configure(self.log_style, cast("int | str", app.log_level))
        self._components = build(self, app)
        self._state = self._components.context
        self._supervisor = Supervisor()
        self._lifecycle: ServingLifecycle | None = None
        self._grpc: GrpcPort | None = None
        settings = app.web_app.settings
        settings[STATE] = self._state
        settings.setdefault("websocket_max_message_size", MESSAGE_LIMIT)

    def initialize_handlers(self) -> None:
        login = getattr(self._server.identity_provider, "routes", ())
        routes = SHARED_ROUTES if self.shared else BUNDLE_ROUTES if self.bundles else ROUTES
        for path, *rest in (*login, *routes):
            self.handlers.append((url_path_join(f"/{PREFIX}/", path), *rest))
        if self.bundles:  # before the server listens: Jupyter's routes must never be open
            serve_at_root(self._server.web_app, self._server.base_url, PREFIX)
        if self.kernel_nodelay and not self.shared:
            self.handlers.append((kernel_channels.PATTERN, kernel_channels.KernelChannelsHandler))

    @property
    def _server(self) -> ServerApp:
        assert self.serverapp is not None
        return self.serverapp

    @property
    def _folder(self) -> Path:
        return Path(self.state_dir)

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Start what needs the final port: the link for kernels and the published services."""
        if self._refusal:
            return
        self._log_filter.add_to_handlers()  # all other extensions have added their loggers by now
        try:
            await asyncio.to_thread(make_private, self._folder)
        except OSError as error:
            self.log.error("Cannot use the folder %s: %s", self._folder, error)
        link = self._link_url()
        self._export_link(link)
        placements = await asyncio.to_thread(
            build_placements,
            self,
            self._components.hub,
            self._components.profiles,
            serverapp,
            link,
        )
        self._components.deployments.open(placements)
        try:
            await asyncio.to_thread(self._state.spool.open)
        except OSError as error:
            self.log.error("Request bodies over 1 MB are rejected: %s", error)
        if not self.is_node:
            cafile = serverapp.certfile or ""
            url = self._link_url("http").removesuffix("link")
            self._state.apps.open(url, cafile, self._state.spool.folder)
        connections = self._install_fast_path(serverapp)
        self._state.metrics.open()
        if "JUPYTERHUB_USER" in os.environ:
            extend_path(serverapp.web_app.settings)
        self._run_in_background(connections)
        self._lifecycle = build_lifecycle(self, self._components, serverapp, link, placements)
        await self._open_store(self._lifecycle)
        await self._open_grpc(serverapp)
        # A full garbage collection blocks all requests for half a second if it scans all loaded
        # modules, which are never freed anyway.
        gc.freeze()
        # Otherwise requests wait up to 5 ms for a thread that computes, such as one that writes
        # to the database.
        sys.setswitchinterval(SWITCH_SECONDS)

    def _export_link(self, link: str) -> None:
        """Set the environment variables by which kernels find this server."""
        os.environ["EASYMLNB_LINK"] = link
        os.environ["EASYMLNB_SECRET"] = self._state.secret
        if self.hub_proxy:
            os.environ["EASYMLNB_HUB_PROXY"] = self.hub_proxy
        os.environ["EASYMLNB_SERVER_PID"] = str(os.getpid())
        os.environ["EASYMLNB_CAFILE"] = self._server.certfile or ""
        # Author's kernels lock packages with these.
        for name, value in (
            (environment_lock.INDEX_ENV, self.environment_index_url),
            (environment_lock.WHEELHOUSE_ENV, self.environment_wheelhouse),
            (environment_lock.REQUIRE_ENV, "1" if self.require_locked_environments else ""),
        ):
            if value:
                os.environ[name] = value

    def _install_fast_path(self, server: ServerApp) -> Connections:
        """Watch all connections, and answer simple calls on the fast path if it is enabled."""
        prefixes = [url_path_join(server.base_url, PREFIX, "/")]
        if self.bundles:
            prefixes.append(server.base_url)
        return install(
            server.http_server,
            server.web_app,
            fast_routes(*prefixes, shared=self.shared),
            self._state,
            self.make_inbound(proxied=server.trust_xheaders),
            fast_path=self.fast_path,
        )

    async def _open_grpc(self, server: ServerApp) -> None:
        if not self.grpc_port or self.is_node:
            return
        address = f"{self.grpc_ip or server.ip or '[::]'}:{self.grpc_port}"
        self._grpc = GrpcPort(address, server.certfile or "", server.keyfile or "")
        await self._grpc.open(server.web_app, self._state)

    def _run_in_background(self, connections: Connections) -> None:
        state = self._state
        self._supervisor.run("Connections", connections.run)
        self._supervisor.run("NodeKernelManager", state.node_kernels.run)
        for meter in (state.activity, state.metrics):
            self._supervisor.every(type(meter).__name__, meter.interval, meter.refresh)
        self._supervisor.every("Uploads", SWEEP_EVERY, state.uploads.run_sweep)
        self._supervisor.every("McpResults", RESULTS_EVERY, state.mcp.results.sweep)
        self._supervisor.every("KeyRevoker", EVERY, self._components.key_revoker.check)
        if self.shared:
            self._supervisor.every("AccessRevoker", EVERY, self._components.revoker.check)

    async def _open_store(self, lifecycle: ServingLifecycle) -> None:
        try:
            if self.is_node:
                raise NotReady(
                    "This server runs kernels for another server and offers no services itself."
                )
            await lifecycle.open(
                self.open_store, self.lease_seconds if self.may_have_standbys else 0.0
            )
        except EasyMLNBError as error:
            # The author's notebooks and live services must still work.
            self._state.published.close(NotReady(error.message))
            if not self.is_node:  # a node only runs kernels
                self.log.error("Published services are not available: %s", error.message)

    def _link_url(self, protocol: str = "ws") -> str:
        """Return the URL of the link for kernels on this machine."""
        local = urlsplit(self._server.local_url)
        scheme = f"{protocol}s" if local.scheme == "https" else protocol
        host = local.netloc
        if self._server.ip not in ("", "0.0.0.0", "::", "localhost", "127.0.0.1", "::1"):
            host = f"{self._server.ip}:{self._server.port}"
        return f"{scheme}://{host}" + url_path_join(self._server.base_url, PREFIX, "link")

    async def stop_extension(self) -> None:
        if self._refusal:
            return
        self._state.services.draining = True
        if self._grpc is not None:
            await self._grpc.close()
        if self._lifecycle is not None:
            await self._lifecycle.close()
        self._state.metrics.close()
        await self._state.apps.close()
        await self._supervisor.close()
        await self._state.node_kernels.close()
        if self._state.user_servers is not None:
            await self._state.user_servers.close()
        if self._lifecycle is not None:
            self._lifecycle.release()
        await asyncio.to_thread(self._state.spool.close)
        logging.getLogger("easymlnb").removeHandler(self._log_handler)


def main() -> None:
    """Run a Jupyter server with this extension, configured by the command line."""
    EasyMLNB.launch_instance()  # type: ignore[no-untyped-call]
