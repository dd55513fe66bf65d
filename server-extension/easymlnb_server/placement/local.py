"""Worker kernels as processes on the server's own machine."""

import asyncio
import math
import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import NotReady
from easymlnb.contract.resources import Gpu
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import OrphanedWorker, Reservation, WorkerOrder
from easymlnb_server.placement.environment import inherited_environment
from easymlnb_server.placement.gpus import VISIBLE, Gpus
from easymlnb_server.placement.process_records import MARK, Record
from easymlnb_server.placement.started_kernel import FreshKernel, shut_down

CONNECT_TIMEOUT = 60.0


class RunningKernel:
    """A kernel process that this server or one before it started, and all that it started."""

    until = math.inf

    def __init__(self, gpus: Gpus, file: Path, record: Record) -> None:
        self._gpus = gpus
        self._file = file
        self._record = record

    async def alive(self) -> bool:
        return self._record.runs

    async def frozen(self) -> bool:
        return process_records.is_stopped(self._record.pid)

    async def returns(self) -> bool:
        return False  # nothing lies between: whoever broke the link was the worker

    async def displaced(self) -> bool:
        return False  # this server runs on the same machine

    def memory(self) -> int:
        return process_records.resident(self._record.pid)

    async def note(self, bundle: str, token: str) -> None:
        changed = msgspec.structs.replace(self._record, bundle=bundle, token=token)
        self._record = changed
        await asyncio.to_thread(process_records.write, self._file, changed)

    async def adopted(self) -> bool:
        return await asyncio.to_thread(
            process_records.has_other_token, self._file, self._record.token
        )

    async def stop(self) -> None:
        try:
            if not await self.adopted():
                await asyncio.to_thread(process_records.clear, self._file, self._record)
        finally:
            self._gpus.release(Reservation(self._record.gpus, self._record.share))


class LocalPlacement:
    """Starts kernels here. ``records`` is a folder of notes on what runs, for the next server.

    ``home`` is a file with the address of the server, for workers that lost it.
    """

    def __init__(
        self,
        specs: KernelSpecManager,
        records: Path,
        *,
        link: str,
        cafile: str = "",
        home: Path | None = None,
        inherit: Iterable[str] = (),
        gpus: tuple[str, ...] = (),
    ) -> None:
        self._specs = specs
        self._records = records
        self._inherit = tuple(inherit)
        self._gpus = Gpus(gpus)
        self._address = {
            "EASYMLNB_LINK": link,
            "EASYMLNB_CAFILE": cafile,
            "EASYMLNB_HOME": str(home or ""),
        }

    def offers(self, gpu: Gpu) -> bool:
        return self._gpus.offers(gpu)

    def reserve(self, gpu: Gpu) -> Reservation | None:
        return self._gpus.reserve(gpu)

    def release(self, room: Reservation) -> None:
        self._gpus.release(room)

    async def freed(self) -> None:
        await self._gpus.freed()

    async def start(self, order: WorkerOrder) -> FreshKernel:
        # Unix sockets in a private folder: other accounts on the host cannot read the kernel's
        # output, and their paths must stay under 108 bytes.
        try:
            sockets = process_records.socket_folder()
        except OSError as error:
            self._gpus.release(order.room)
            raise NotReady(f"Cannot create the folder for a kernel's sockets: {error}") from error
        manager = AsyncKernelManager(
            kernel_name=order.kernel, kernel_spec_manager=self._specs, transport="ipc"
        )
        manager.ip = str(sockets / "k")
        manager.connection_file = str(sockets / "connection.json")
        # The next server finds by it what this one leaves behind if it is killed.
        file = self._records / f"{order.worker}.json"
        kernel: FreshKernel | None = None
        try:
            await manager.start_kernel(cwd=str(order.folder), env=self._environment(order))
            record = await asyncio.to_thread(_record, manager, sockets, order)
            kernel = FreshKernel(RunningKernel(self._gpus, file, record), manager)
            await asyncio.to_thread(process_records.write, file, record)
            # Nobody sits there to type: `input()` raises instead of waiting for ever.
            kernel.client.start_channels(stdin=False)
            await kernel.client.wait_for_ready(timeout=CONNECT_TIMEOUT)
        except BaseException as error:
            # Also when the start is broken off: the process may run by then.
            end = kernel.stop() if kernel else self._undo(manager, order, sockets)
            await asyncio.shield(asyncio.ensure_future(end))
            if isinstance(error, NoSuchKernel):
                raise NotReady(_no_kernel(order.kernel, self._specs)) from error
            if isinstance(error, RuntimeError | OSError | psutil.Error):
                raise NotReady(
                    f"The kernel {order.kernel!r} failed to start. Check that ipykernel is "
                    "installed in its environment."
                ) from error
            raise
        return kernel

    def _environment(self, order: WorkerOrder) -> dict[str, str]:
        found = inherited_environment(dict(os.environ), self._inherit) | self._address
        if order.room.gpus is not None:
            found[VISIBLE] = ",".join(order.room.gpus)
        return found | {MARK: order.worker, "EASYMLNB_SECRET": order.secret}

    async def _undo(self, manager: AsyncKernelManager, order: WorkerOrder, sockets: Path) -> None:
        pid = _pid(manager)
        await shut_down(manager)
        await asyncio.to_thread(process_records.end_processes, pid, order.worker)
        await asyncio.to_thread(shutil.rmtree, sockets, ignore_errors=True)
        self._gpus.release(order.room)

    def survivors(self) -> list[OrphanedWorker]:
        """Return the workers of a killed server that may be taken over, and end all others.

        Call it before any worker is started; it blocks.
        """
        found = []
        for worker, record in process_records.read(self._records).items():
            file = self._records / f"{worker}.json"
            if record is None or not (record.runs and record.token):
                process_records.clear(file, record)
                continue
            self._gpus.take(Reservation(record.gpus, record.share))
            kernel = RunningKernel(self._gpus, file, record)
            found.append(OrphanedWorker(worker, record.bundle, record.token, kernel))
        return found


def _no_kernel(name: str, specs: KernelSpecManager) -> str:
    known = ", ".join(sorted(specs.find_kernel_specs())) or "none"
    return (
        f"There is no kernel named {name!r} here (there are: {known}); register the environment "
        f"that has it: python -m ipykernel install --user --name {shlex.quote(name)}"
    )


def _pid(manager: AsyncKernelManager) -> int:
    """Return the process id that the local provisioner keeps; 0 when there is none."""
    return int(getattr(manager.provisioner, "pid", None) or 0)


def _record(manager: AsyncKernelManager, sockets: Path, order: WorkerOrder) -> Record:
    pid = _pid(manager)
    return Record(
        worker=order.worker,
        pid=pid,
        started=psutil.Process(pid).create_time(),
        sockets=sockets.name,
        gpus=order.room.gpus,
        share=order.room.share,
    )
