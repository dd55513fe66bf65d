"""Kernels that other servers of the same user place on this one, which is then a node.

Each is a process of this server with a way to whoever ordered it. A kernel whose owner is not
heard of for a while is ended, and a node that carries none for a while stops itself, so nothing
has to be cleaned up by anybody when a server or a laptop goes away.
"""

import asyncio
import logging
import math
import os
import re
import socket
import time
import uuid
import zipfile
from collections.abc import Awaitable, Callable, Iterable
from io import BytesIO
from pathlib import Path

import psutil
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import NodeFull, NotReady
from easymlnb_server.placement import process_records
from easymlnb_server.placement.environment import inherited_environment
from easymlnb_server.placement.gpus import VISIBLE
from easymlnb_server.placement.hub.node_protocol import KernelRequest, NodeStatus
from easymlnb_server.placement.node.kernel import NodeKernel
from easymlnb_server.placement.process_records import MARK, Record
from easymlnb_server.store.private_folder import make_folder

LOOK_EVERY = 0.5
_ID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
log = logging.getLogger("easymlnb.node")


class NodeKernelManager:
    """All kernels that others placed here.

    ``notes`` is a folder for notes on what runs, by which the next server of this node ends what
    this one leaves behind. ``leave`` stops this server.
    """

    def __init__(
        self,
        specs: KernelSpecManager,
        notes: Path,
        *,
        inherit: Iterable[str] = (),
        gpus: Callable[[], tuple[str, ...]] = tuple,
        leave: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._specs = specs
        self._notes = notes
        self._inherit = tuple(inherit)
        self._ask = gpus
        self._gpus: tuple[str, ...] = ()
        self._leave = leave
        self._kernels: dict[str, NodeKernel] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._seats = 1
        self._idle = 600.0
        self._life = math.inf
        self._used = self._began = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since this node began."""
        return time.monotonic() - self._began

    def get(self, kernel: str) -> NodeKernel | None:
        return self._kernels.get(kernel)

    def status(self) -> NodeStatus:
        """Return what there is; blocks for milliseconds."""
        there = [kernel for kernel in list(self._kernels.values()) if not kernel.over.is_set()]
        seated = tuple(kernel.seated() for kernel in there)
        return NodeStatus(
            host=socket.gethostname(), kernels=seated, gpus=self._gpus, seats=self._seats
        )

    async def start(self, wanted: KernelRequest) -> NodeKernel:
        """Start a kernel; raises ``NodeFull`` or, with the reason, ``NotReady``."""
        self._seats, self._idle = wanted.seats, wanted.idle
        self._life = wanted.life or math.inf
        running = [kernel for kernel in self._kernels.values() if not kernel.over.is_set()]
        if len(running) + self._starting >= wanted.seats or self.age > self._life:
            raise NodeFull
        self._starting += 1
        try:
            kernel = await self._start(wanted, self._share(running))
            self._kernels[kernel.id] = kernel
            return kernel
        finally:
            self._used = time.monotonic()
            self._starting -= 1

    async def end(self, kernel: NodeKernel) -> None:
        """End a kernel; who is stopped while waiting for it does not stop that."""
        self._kernels.pop(kernel.id, None)
        self._used = time.monotonic()
        end = asyncio.create_task(self._end(kernel))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)
        await asyncio.shield(end)

    async def _end(self, kernel: NodeKernel) -> None:
        await kernel.stop()
        (self._notes / f"{kernel.id}.json").unlink(missing_ok=True)

    async def close(self) -> None:
        """End all kernels, and wait for those that are ending."""
        ends = [self.end(kernel) for kernel in list(self._kernels.values())]
        await asyncio.gather(*ends, *self._ends)

    async def keep(self) -> None:
        """End what nobody needs any more, for ever; the node itself last."""
        await asyncio.to_thread(self._clear)
        self._gpus = await asyncio.to_thread(self._ask)
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for kernel in list(self._kernels.values()):
                await kernel.look()
                if kernel.alone:
                    log.info("Ending a kernel because the server that started it is gone.")
                    await self.end(kernel)
            over = time.monotonic() - self._used > self._idle or self.age > self._life
            if self._leave and over and not self._kernels and not self._starting:
                log.info("This node has no kernels and stops.")
                await self._leave()
                self._used = time.monotonic()

    def _clear(self) -> None:
        make_folder(self._notes)
        for name, record in process_records.read(self._notes).items():
            process_records.clear(self._notes / f"{name}.json", record)

    def _share(self, running: list[NodeKernel]) -> tuple[str, ...]:
        """Return the GPUs for one more kernel: as many for each seat, if they go round."""
        each = len(self._gpus) // self._seats
        if not each or self._seats == 1:
            return self._gpus
        taken = {gpu for kernel in running for gpu in kernel.gpus}
        return tuple(gpu for gpu in self._gpus if gpu not in taken)[:each]

    async def _start(self, wanted: KernelRequest, gpus: tuple[str, ...]) -> NodeKernel:
        try:
            folder = process_records.socket_folder()
        except OSError as error:
            raise NotReady(
                f"Cannot create the folder for a kernel's sockets on the node: {error}"
            ) from error
        manager = AsyncKernelManager(
            kernel_name=wanted.kernel, kernel_spec_manager=self._specs, transport="ipc"
        )
        manager.session.key = wanted.key.encode()
        manager.ip = str(folder / "k")
        # Kernels know their id by the name of this file.
        name = wanted.name if _ID.match(wanted.name) else uuid.uuid4().hex
        manager.connection_file = str(folder / f"kernel-{name}.json")
        kernel = NodeKernel(manager, wanted, folder, gpus)
        try:
            place = await asyncio.to_thread(_unpacked, wanted, folder)
            await manager.start_kernel(cwd=str(place), env=self._environment(kernel))
            await asyncio.to_thread(self._note, kernel, folder)
            kernel.open()
        except BaseException as error:
            await asyncio.shield(asyncio.ensure_future(kernel.stop()))
            if isinstance(error, NoSuchKernel):
                raise NotReady(
                    f"There is no kernel named {wanted.kernel!r} on the node."
                ) from error
            if isinstance(error, RuntimeError | OSError | psutil.Error | zipfile.BadZipFile):
                raise NotReady(
                    f"The kernel {wanted.kernel!r} failed to start on the node."
                ) from error
            raise
        return kernel

    def _environment(self, kernel: NodeKernel) -> dict[str, str]:
        wanted, own = kernel.wanted, dict(os.environ)
        if wanted.worker:
            own = inherited_environment(own, self._inherit) | {MARK: wanted.worker}
        else:
            own.pop(MARK, None)
            own["EASYMLNB_TOKEN"] = own.get("JUPYTERHUB_API_TOKEN", "")
        if kernel.gpus:
            own[VISIBLE] = ",".join(kernel.gpus)
        return own | wanted.environment

    def _note(self, kernel: NodeKernel, folder: Path) -> None:
        record = Record(
            worker=kernel.wanted.worker or kernel.id,
            pid=kernel.pid,
            started=psutil.Process(kernel.pid).create_time(),
            sockets=folder.name,
        )
        process_records.write(self._notes / f"{kernel.id}.json", record)


def _unpacked(wanted: KernelRequest, folder: Path) -> Path:
    """Return the folder that a kernel runs in, with what it needs in it."""
    if wanted.files:
        work = folder / "work"
        work.mkdir()
        with zipfile.ZipFile(BytesIO(wanted.files)) as packed:
            packed.extractall(work)
        return work
    if wanted.folder and Path(wanted.folder).is_dir():
        return Path(wanted.folder)
    return Path.home()
