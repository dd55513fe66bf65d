"""Kernels of Jupyter that run on a node: what ``easymlnb placement install`` writes starts them.

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
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.loop_thread import there
from easymlnb_server.placement.hub.node_protocol import KernelRequest
from easymlnb_server.placement.hub.nodes import Nodes, Tell
from easymlnb_server.placement.hub.tunnel.remote_kernel import Remote
from easymlnb_server.placement.hub.tunnel.zmq_bridge import PORTS

PASSED = ("JPY_SESSION_NAME", "EASYMLNB_SECRET")
"""Variables of a kernel that somebody types into that are not those of its node."""


PATIENCE = 10.0
"""Seconds that starting a kernel waits for its node; from then on the kernel is there to look at,
and its cells say what it waits for."""


class HubProvisioner(KernelProvisionerBase):
    """Starts a kernel on a node of the Hub and stands in for it here.

    ``wanted`` is what to start, where that is not a kernel somebody types into, and ``account``
    whose node it runs on, where that is not the one of this process; ``tell`` is told
    what is waited for. ``address`` and ``kernel`` say where it runs then and ``until`` for
    how long, by the monotonic clock; ``folder`` is where its sockets lie here.
    """

    placement = Unicode(help="The placement's name.").tag(config=True)
    spot = Dict(help="The placement's options, as in c.EasyMLNB.placements.").tag(config=True)
    proxy = Unicode(help="URL of the Hub's proxy; default: the Hub's public URL.").tag(config=True)

    wanted: KernelRequest | None = None
    account: HubCredentials | None = None
    tell: Tell | None = None
    folder: Path | None = None
    address = ""
    kernel = ""
    until = math.inf
    _nodes: Nodes | None = None
    _remote: Remote | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _said = ""

    @property
    def _account(self) -> HubCredentials:
        return self.account or HubCredentials.of(os.environ, self.proxy)

    @property
    def has_process(self) -> bool:
        return self._remote is not None

    async def poll(self) -> int | None:
        return self._remote.exit if self._remote is not None else 0

    async def wait(self) -> int | None:
        if self._remote is None:
            return 0
        remote = self._remote
        await there(_ended(remote))
        await there(remote.close())
        self.address = self.address or remote.address
        self._remote = None
        return remote.exit

    async def send_signal(self, signum: int) -> None:
        if self._remote is not None and signum:
            await there(self._remote.signal(signum))

    async def kill(self, restart: bool = False) -> None:
        if self._remote is not None:
            await there(self._remote.close())

    async def terminate(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGTERM)

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        kwargs = await super().pre_launch(**kwargs)
        return {**kwargs, "cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        manager = self.parent
        assert manager is not None
        spot = profiles.read({self.placement: self.spot})[self.placement]
        wanted = self.wanted or self._typed_into(spot, **kwargs)
        wanted = msgspec.structs.replace(
            wanted,
            name=self.kernel_id or "",
            key=manager.session.key.decode(),
            seats=spot.seats,
            idle=spot.seconds,
            life=0.0 if spot.life == math.inf else spot.life,
        )
        fresh = self.folder is None
        if self.folder is None:
            self.folder = process_records.socket_folder("emnb-hub-")
        self._loop = asyncio.get_running_loop()
        try:
            self._remote = await there(self._launch(spot, wanted, self.folder))
        except BaseException:
            if fresh:
                # Of a start that failed nobody cleans up after the kernel.
                await asyncio.shield(asyncio.ensure_future(self._clear()))
            raise
        info: dict[str, Any] = {f"{name}_port": number for name, number in PORTS.items()}
        info |= {"transport": "ipc", "ip": str(self.folder / "k")}
        info |= {"key": manager.session.key, "signature_scheme": manager.session.signature_scheme}
        self.connection_info = cast("KernelConnectionInfo", info)
        return self.connection_info

    async def _launch(
        self, spot: profiles.PlacementProfile, wanted: KernelRequest, folder: Path
    ) -> Remote:
        if self._nodes is None:
            self._nodes = Nodes(HubClient(self._account), self.placement, spot)
        tells: list[Tell] = [self.tell or self.log.info]

        def tell(text: str) -> None:
            self._said = text
            for one in tells:
                one(text)

        seat = asyncio.ensure_future(self._nodes.seat(wanted, tell))
        try:
            # A worker has a deployment that waits; a person wants to read what is waited for.
            patience = None if wanted.worker else PATIENCE
            await asyncio.wait({seat}, timeout=patience)
        except asyncio.CancelledError:
            seat.cancel()
            await asyncio.gather(seat, return_exceptions=True)
            raise
        if seat.done():
            found = seat.result()
            self.address, self.kernel = found.address, found.kernel
            self.until = time.monotonic() + spot.life - found.age
            remote = Remote(self._nodes, folder)
            remote.sit(found)
            return remote
        remote = Remote(self._nodes, folder)
        tells.append(
            remote.wait_for(seat, self._session(), self._language, self._watched, self._give_up)
        )
        tell(self._said)
        return remote

    def _session(self) -> Session:
        manager = self.parent
        assert manager is not None
        signed = manager.session
        return Session(key=signed.key, signature_scheme=signed.signature_scheme, username="kernel")

    @property
    def _language(self) -> str:
        return str(getattr(self.kernel_spec, "language", "") or "python")

    def _watched(self) -> bool:
        """Say whether somebody looks at the kernel; whoever cannot be asked does."""
        connections = getattr(self._all_kernels, "_kernel_connections", None)
        return connections is None or connections.get(self.kernel_id, 0) > 0

    @property
    def _all_kernels(self) -> Any:
        """The kernels of the server that this one belongs to; ``None`` for that of a script."""
        return self.parent.parent if self.parent is not None else None

    def _give_up(self) -> None:
        """Shut the kernel down, as its user would: nobody has waited for its node for a while."""
        self.log.info("No client is waiting for the kernel %s.", self.kernel_id)
        assert self._loop is not None
        kernel = self.kernel_id

        async def shut_down() -> None:
            with contextlib.suppress(Exception):
                await ensure_async(self._all_kernels.shutdown_kernel(kernel, now=True))

        asyncio.run_coroutine_threadsafe(shut_down(), self._loop)

    def _typed_into(self, spot: profiles.PlacementProfile, **kwargs: Any) -> KernelRequest:
        environment = {n: v for n, v in kwargs.get("env", {}).items() if n in PASSED}
        environment["EASYMLNB_URL"] = self._account.address
        environment["EASYMLNB_LINK"] = self._account.link
        return KernelRequest(
            kernel=spot.kernel or "python3",
            key="",
            label=str(environment.get("JPY_SESSION_NAME", "")).rpartition("/")[2],
            environment=environment,
            folder=str(kwargs.get("cwd") or ""),
        )

    async def cleanup(self, restart: bool = False) -> None:
        remote, self._remote = self._remote, None
        if remote is not None:
            await there(remote.close())
        if restart:
            return
        if self._nodes is not None:
            address = self.address or (remote.address if remote is not None else "")
            if address and self.wanted is None:
                await there(self._nodes.free(address))
        await self._clear()

    async def _clear(self) -> None:
        """Give back what was made for the kernel here."""
        nodes, self._nodes = self._nodes, None
        if nodes is not None:
            await there(nodes.close())
        folder, self.folder = self.folder, None
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def get_stable_start_time(self, recommended: float = 10.0) -> float:
        return max(recommended, 30.0)


async def _ended(remote: Remote) -> None:
    await remote.ended.wait()
