"""A kernel provisioner for nodes; ``easymlnb placement install`` writes kernelspecs that use it.

Any program that starts kernels through jupyter_client can use it: JupyterLab, nbconvert, papermill,
a console, and the workers of published services.
"""

import asyncio
import contextlib
import math
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, cast

import msgspec
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from jupyter_client.session import Session
from jupyter_core.utils import ensure_async
from traitlets import Dict, Unicode

from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import ProgressCallback
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.loop_thread import run_in_loop
from easymlnb_server.placement.hub.node_protocol import KernelRequest
from easymlnb_server.placement.hub.nodes import Nodes
from easymlnb_server.placement.hub.profiles import PlacementProfile, parse_profiles
from easymlnb_server.placement.hub.tunnel.remote_kernel import LOST_AFTER, RemoteKernel
from easymlnb_server.placement.hub.tunnel.zmq_bridge import PORTS

FORWARDED = ("JPY_SESSION_NAME", "EASYMLNB_SECRET")
"""Variables of an interactive kernel that its node does not have."""


NODE_TIMEOUT = 10.0
"""Seconds that the start of an interactive kernel waits for its node; after that the kernel is
presented as started, and its cells show what it waits for."""


class HubProvisioner(KernelProvisionerBase):
    """Starts a kernel on a node of the Hub and represents it here.

    request: what to start; ``None`` for an interactive kernel.
    credentials: of the nodes' owner; ``None``: those of this process.
    on_progress: reports what the start waits for.
    folder: where the kernel's sockets are on this machine.
    address, kernel: the node's URL and the kernel's id there.
    replace_at, ends_at: when workers should leave the node, and when it ends, on the monotonic
        clock.
    """

    placement = Unicode(help="The placement's name.").tag(config=True)
    profile = Dict(help="The placement's options, as in c.EasyMLNB.placements.").tag(config=True)
    proxy = Unicode(help="URL of the Hub's proxy; default: the Hub's public URL.").tag(config=True)

    request: KernelRequest | None = None
    credentials: HubCredentials | None = None
    on_progress: ProgressCallback | None = None
    folder: Path | None = None
    address = ""
    kernel = ""
    replace_at = ends_at = math.inf
    _nodes: Nodes | None = None
    _remote: RemoteKernel | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _message = ""

    @property
    def _credentials(self) -> HubCredentials:
        return self.credentials or HubCredentials.from_environment(os.environ, self.proxy)

    @property
    def has_process(self) -> bool:
        return self._remote is not None

    def keep(self, seconds: float) -> None:
        """Wait that long for a kernel whose connection is lost."""
        if self._remote is not None:
            self._remote.lost_after = max(self._remote.lost_after, seconds)

    async def poll(self) -> int | None:
        return self._remote.exit_code if self._remote is not None else 0

    async def wait(self) -> int | None:
        if self._remote is None:
            return 0
        remote = self._remote
        await run_in_loop(_wait_ended(remote))
        await run_in_loop(remote.close())
        self.address = self.address or remote.address
        self._remote = None
        return remote.exit_code

    async def send_signal(self, signum: int) -> None:
        if self._remote is not None and signum:
            await run_in_loop(self._remote.send_signal(signum))

    async def kill(self, restart: bool = False) -> None:
        if self._remote is not None:
            await run_in_loop(self._remote.close())

    async def terminate(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGTERM)

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        kwargs = await super().pre_launch(**kwargs)
        return {**kwargs, "cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        assert self.parent is not None
        session: Session = self.parent.session
        profile = parse_profiles({self.placement: self.profile})[self.placement]
        request = msgspec.structs.replace(
            self.request or self._interactive_request(profile, **kwargs),
            name=self.kernel_id or "",
            key=session.key.decode(),
            slots=profile.slots,
            idle=profile.idle_seconds,
            lifetime=0.0 if profile.usable_seconds == math.inf else profile.usable_seconds,
        )
        is_first = self.folder is None
        if self.folder is None:
            self.folder = process_records.socket_folder(process_records.HUB_SOCKETS)
        self._loop = asyncio.get_running_loop()
        try:
            self._remote = await run_in_loop(self._launch(profile, request, self.folder))
        except BaseException:
            if is_first:
                # After a start that failed, `cleanup` is not called.
                await asyncio.shield(asyncio.ensure_future(self._clear()))
            raise
        info: dict[str, Any] = {f"{name}_port": number for name, number in PORTS.items()}
        info |= {"transport": "ipc", "ip": str(self.folder / "k")}
        info |= {"key": session.key, "signature_scheme": session.signature_scheme}
        self.connection_info = cast("KernelConnectionInfo", info)
        return self.connection_info

    async def _launch(
        self, profile: PlacementProfile, request: KernelRequest, folder: Path
    ) -> RemoteKernel:
        if self._nodes is None:
            self._nodes = Nodes(HubClient(self._credentials), self.placement, profile)
        listeners: list[ProgressCallback] = [self.on_progress or self.log.info]

        def on_progress(text: str) -> None:
            self._message = text
            for listener in listeners:
                listener(text)

        starting = asyncio.ensure_future(self._nodes.start_kernel(request, on_progress))
        try:
            # A worker's deployment waits; a person wants to read what the kernel waits for.
            await asyncio.wait({starting}, timeout=None if request.worker else NODE_TIMEOUT)
        except asyncio.CancelledError:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            raise
        slot = starting.result() if starting.done() else None
        remote = RemoteKernel(self._nodes, folder, max(LOST_AFTER, request.stay))
        if slot is not None:
            self.address, self.kernel = slot.address, slot.kernel
            began = time.monotonic() - slot.age
            self.replace_at = began + profile.usable_seconds
            self.ends_at = began + profile.lifetime_seconds
            remote.connect(slot)
        else:
            session, language = self._session(), self._language
            listeners.append(
                remote.wait_for(starting, session, language, self._has_clients, self._shut_down)
            )
            on_progress(self._message)
        return remote

    def _session(self) -> Session:
        assert self.parent is not None
        own: Session = self.parent.session
        return Session(key=own.key, signature_scheme=own.signature_scheme, username="kernel")

    @property
    def _language(self) -> str:
        return str(getattr(self.kernel_spec, "language", "") or "python")

    def _has_clients(self) -> bool:
        """Return whether a client is connected; true if that is unknown, as in a script."""
        connections = getattr(self._multi_kernel_manager, "_kernel_connections", None)
        return connections is None or connections.get(self.kernel_id, 0) > 0

    @property
    def _multi_kernel_manager(self) -> Any:
        """The manager of the server's kernels; ``None`` in a script."""
        return self.parent.parent if self.parent is not None else None

    def _shut_down(self) -> None:
        """Shut the kernel down as its user would: no client waits for its node."""
        self.log.info("No client is waiting for the kernel %s.", self.kernel_id)
        assert self._loop is not None
        kernel = self.kernel_id

        async def shut_down() -> None:
            with contextlib.suppress(Exception):
                await ensure_async(self._multi_kernel_manager.shutdown_kernel(kernel, now=True))

        asyncio.run_coroutine_threadsafe(shut_down(), self._loop)

    def _interactive_request(self, profile: PlacementProfile, **kwargs: Any) -> KernelRequest:
        given = kwargs.get("env", {})
        environment = {name: given[name] for name in FORWARDED if name in given}
        environment["EASYMLNB_URL"] = self._credentials.address
        environment["EASYMLNB_LINK"] = self._credentials.link
        return KernelRequest(
            kernel=profile.kernel or "python3",
            key="",
            label=str(environment.get("JPY_SESSION_NAME", "")).rpartition("/")[2],
            environment=environment,
            folder=str(kwargs.get("cwd") or ""),
        )

    async def cleanup(self, restart: bool = False) -> None:
        remote, self._remote = self._remote, None
        if remote is not None:
            await run_in_loop(remote.close())
        if restart:
            return
        if self._nodes is not None:
            address = self.address or (remote.address if remote is not None else "")
            if address and self.request is None:
                await run_in_loop(self._nodes.stop_if_empty(address))
        await self._clear()

    async def _clear(self) -> None:
        """Close the connections and remove the folder of a kernel."""
        nodes, self._nodes = self._nodes, None
        if nodes is not None:
            await run_in_loop(nodes.close())
        folder, self.folder = self.folder, None
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def get_stable_start_time(self, recommended: float = 10.0) -> float:
        return max(recommended, 30.0)


async def _wait_ended(remote: RemoteKernel) -> None:
    await remote.ended.wait()
