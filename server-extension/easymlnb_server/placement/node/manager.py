"""Kernels that other servers of the same user start on this one, which is then a node.

Each is a process of this server with a connection to its owner. A kernel without its owner is ended
after a while, and a node without kernels stops. So nothing has to be cleaned up when a server or a
laptop goes away.
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

from easymlnb.contract.errors import NodeFull, NotReady
from easymlnb.contract.job_protocol import SIGTERM_SECONDS
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import Reservation
from easymlnb_server.placement.environment import inherited_environment
from easymlnb_server.placement.gpus import VISIBLE
from easymlnb_server.placement.hub.node_protocol import KernelRequest, NodeStatus
from easymlnb_server.placement.locked_python import LockedKernelSpecs, LockedPython
from easymlnb_server.placement.node.kernel import NodeKernel
from easymlnb_server.placement.process_records import WORKER_ENV, ProcessRecord
from easymlnb_server.placement.worker_kernel import ipc_manager
from easymlnb_server.store.private_folder import make_folder

CHECK_INTERVAL = 0.5
_ID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
log = logging.getLogger("easymlnb.node")


class NodeKernelManager:
    """All kernels that other servers started here.

    records: folder for records of what runs; the node's next server ends what this one left.
    inherit: names of more environment variables that workers inherit.
    detect_gpus: returns the node's GPUs; may block.
    stop_server: stops this server; ``None`` if it is not only a node.
    """

    def __init__(
        self,
        specs: KernelSpecManager,
        records: Path,
        *,
        inherit: Iterable[str] = (),
        detect_gpus: Callable[[], tuple[str, ...]] = tuple,
        stop_server: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._specs = specs
        self._records = records
        self._inherit = tuple(inherit)
        self._detect_gpus = detect_gpus
        self._gpus: tuple[str, ...] = ()
        self._stop_server = stop_server
        self._kernels: dict[str, NodeKernel] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._closing = False
        self._slots = 1
        self._idle = 600.0
        self._lifetime = math.inf
        self._last_used = self._started = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since this node started."""
        return time.monotonic() - self._started

    def get(self, kernel: str) -> NodeKernel | None:
        return self._kernels.get(kernel)

    def status(self) -> NodeStatus:
        """Return the node's status; blocks for milliseconds."""
        return NodeStatus(
            host=socket.gethostname(),
            kernels=tuple(kernel.status() for kernel in self._running()),
            gpus=self._gpus,
            slots=self._slots,
        )

    async def start(self, request: KernelRequest) -> NodeKernel:
        """Start a kernel; raises ``NodeFull`` or, with the reason, ``NotReady``."""
        self._slots, self._idle = request.slots, request.idle
        self._lifetime = request.lifetime or math.inf
        full = len(self._running()) + self._starting >= request.slots
        if full or self.age > self._lifetime or self._closing:
            raise NodeFull
        self._starting += 1
        try:
            kernel = await self._start(request)
            self._kernels[kernel.id] = kernel
            return kernel
        finally:
            self._last_used = time.monotonic()
            self._starting -= 1

    async def end(self, kernel: NodeKernel) -> None:
        """End a kernel; continues if the caller is canceled."""
        self._kernels.pop(kernel.id, None)
        self._last_used = time.monotonic()
        task = asyncio.create_task(self._end(kernel))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """End all kernels, and wait for those that are ending.

        Kernels that run jobs first get a few seconds to leave: the node's scheduler waits as long.
        """
        self._closing = True
        await asyncio.gather(*(one.leave(SIGTERM_SECONDS) for one in self._running()))
        ends = [self.end(kernel) for kernel in list(self._kernels.values())]
        await asyncio.gather(*ends, *self._ending)

    async def run(self) -> None:
        """End kernels without an owner, and at last the node, until canceled."""
        await asyncio.to_thread(self._clear)
        self._gpus = await asyncio.to_thread(self._detect_gpus)
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            for kernel in list(self._kernels.values()):
                await kernel.check()
                if kernel.orphaned:
                    log.info("Ending a kernel because the server that started it is gone.")
                    await self.end(kernel)
            unused = time.monotonic() - self._last_used
            done = unused > self._idle or self.age > self._lifetime
            if self._stop_server and done and not self._kernels and not self._starting:
                log.info("This node has no kernels and stops.")
                await self._stop_server()
                self._last_used = time.monotonic()

    def _running(self) -> list[NodeKernel]:
        return [kernel for kernel in list(self._kernels.values()) if not kernel.ended.is_set()]

    async def _end(self, kernel: NodeKernel) -> None:
        await kernel.stop()
        self._record_file(kernel).unlink(missing_ok=True)

    def _clear(self) -> None:
        make_folder(self._records)
        for file, record in process_records.read(self._records, ProcessRecord).items():
            process_records.clear(file, record)
        process_records.remove_abandoned_folders()

    def _gpu_share(self) -> tuple[str, ...]:
        """Return the GPUs for one more kernel: an equal part for each slot, if there are enough."""
        each = len(self._gpus) // self._slots
        if not each or self._slots == 1:
            return self._gpus
        used = {gpu for kernel in self._running() for gpu in kernel.gpus}
        return tuple(gpu for gpu in self._gpus if gpu not in used)[:each]

    async def _start(self, request: KernelRequest) -> NodeKernel:
        locked = await asyncio.to_thread(_locked, request)
        specs = self._specs if locked is None else LockedKernelSpecs(locked, self._specs)
        manager, folder = ipc_manager(request.kernel, specs)
        manager.session.key = request.key.encode()
        # Kernels read their id from the name of this file.
        name = request.name if _ID.match(request.name) else uuid.uuid4().hex
        manager.connection_file = str(folder / f"kernel-{name}.json")
        kernel = NodeKernel(manager, request, folder, self._gpu_share())
        try:
            work = await asyncio.to_thread(_working_folder, request, folder)
            await manager.start_kernel(cwd=str(work), env=self._environment(kernel, locked))
            await asyncio.to_thread(self._save_record, kernel, folder)
            kernel.open()
        except BaseException as error:
            await asyncio.shield(asyncio.ensure_future(kernel.stop()))
            if isinstance(error, NoSuchKernel):
                raise NotReady(
                    f"There is no kernel named {request.kernel!r} on the node."
                ) from error
            if isinstance(error, RuntimeError | OSError | psutil.Error | zipfile.BadZipFile):
                raise NotReady(
                    f"The kernel {request.kernel!r} failed to start on the node."
                ) from error
            raise
        return kernel

    def _environment(self, kernel: NodeKernel, locked: LockedPython | None) -> dict[str, str]:
        request, environment = kernel.request, dict(os.environ)
        if request.worker:
            environment = inherited_environment(environment, self._inherit)
            environment[WORKER_ENV] = request.worker
        else:
            environment.pop(WORKER_ENV, None)
            environment["EASYMLNB_TOKEN"] = environment.get("JUPYTERHUB_API_TOKEN", "")
        if kernel.gpus:
            environment[VISIBLE] = ",".join(kernel.gpus)
        if locked is not None:
            environment = locked.variables(environment)
        return environment | request.environment

    def _record_file(self, kernel: NodeKernel) -> Path:
        return self._records / f"{kernel.id}.json"

    def _save_record(self, kernel: NodeKernel, folder: Path) -> None:
        worker = kernel.request.worker or kernel.id
        record = process_records.describe(kernel.manager, worker, folder, Reservation())
        process_records.write(self._record_file(kernel), record)


def _locked(request: KernelRequest) -> LockedPython | None:
    """Return the locked environment of a kernel; raises ``NotReady`` if the node lacks it."""
    if request.locked is None:
        return None
    folder, runtime = map(Path, request.locked)
    found = LockedPython(folder, runtime)
    if not (found.python.exists() and runtime.is_dir()):
        raise NotReady(
            f"The node {socket.gethostname()!r} does not have the locked environment "
            f"{str(folder)!r}, or its Python: it does not share the server's files. Publish with "
            "environment='kernel', or correct shared_files of the placement."
        )
    return found


def _working_folder(request: KernelRequest, folder: Path) -> Path:
    """Return the folder that a kernel runs in, with the files that it needs."""
    if request.files:
        work = folder / "work"
        work.mkdir()
        with zipfile.ZipFile(BytesIO(request.files)) as archive:
            archive.extractall(work)
        return work
    if request.folder and Path(request.folder).is_dir():
        return Path(request.folder)
    return Path.home()
