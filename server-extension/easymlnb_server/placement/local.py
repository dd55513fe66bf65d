"""Worker kernels as processes on the server's own machine."""

import asyncio
import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import psutil
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import NotReady
from easymlnb.contract.resources import Gpu
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import (
    OrphanedWorker,
    Reservation,
    StartedKernel,
    WorkerOrder,
)
from easymlnb_server.placement.environment import inherited_environment
from easymlnb_server.placement.gpus import VISIBLE, Gpus
from easymlnb_server.placement.locked_python import LockedKernelSpecs
from easymlnb_server.placement.process_records import WORKER_ENV, ProcessRecord
from easymlnb_server.placement.worker_kernel import WorkerKernel, ipc_manager, shut_down

BACKGROUND = 10
"""Nice value of kernels that run jobs, which must not slow down calls."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that limit the threads of numeric libraries."""


class LocalKernel(WorkerKernel[ProcessRecord]):
    """A worker's kernel process on this machine."""

    def __init__(
        self,
        gpus: Gpus,
        file: Path,
        record: ProcessRecord,
        manager: AsyncKernelManager | None = None,
    ) -> None:
        super().__init__(file, record, manager)
        self._gpus = gpus

    async def frozen(self) -> bool:
        return process_records.is_stopped(self._record.pid)

    async def may_reconnect(self) -> bool:
        return False  # no network is in between, so the worker itself broke the link

    async def node_lost(self) -> bool:
        return False  # this server runs on the same machine

    def memory(self) -> int:
        return process_records.resident_memory(self._record.pid)

    async def _runs(self) -> bool:
        return self._record.runs

    async def _end(self) -> None:
        await asyncio.to_thread(process_records.clear, self._file, self._record)

    def _release(self) -> None:
        self._gpus.release(Reservation(self._record.gpus, self._record.share))


class LocalPlacement:
    """Starts kernels on this machine.

    records: folder for records of what runs, for the next server.
    link: where workers connect; cafile: the certificate to expect there.
    address_file: where workers that lost their server read the next server's address.
    inherit: names of more environment variables that workers inherit.
    """

    def __init__(
        self,
        specs: KernelSpecManager,
        records: Path,
        *,
        link: str,
        cafile: str = "",
        address_file: Path | None = None,
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
            "EASYMLNB_HOME": str(address_file or ""),
        }

    def offers(self, gpu: Gpu) -> bool:
        return self._gpus.offers(gpu)

    def reserve(self, gpu: Gpu) -> Reservation | None:
        return self._gpus.reserve(gpu)

    def release(self, reservation: Reservation) -> None:
        self._gpus.release(reservation)

    async def freed(self) -> None:
        await self._gpus.freed()

    async def start(self, order: WorkerOrder) -> StartedKernel:
        try:
            locked = order.locked
            specs = self._specs if locked is None else LockedKernelSpecs(locked, self._specs)
            manager, sockets = ipc_manager(order.kernel, specs)
        except NotReady:
            self._gpus.release(order.reservation)
            raise
        kernel: LocalKernel | None = None
        try:
            await manager.start_kernel(cwd=str(order.folder), env=self._environment(order))
            if order.threads:
                psutil.Process(process_records.kernel_pid(manager)).nice(BACKGROUND)
            record = await asyncio.to_thread(
                process_records.describe, manager, order.worker, sockets, order.reservation
            )
            # If this server is killed, the next one finds the worker by its record.
            file = self._records / f"{order.worker}.json"
            kernel = LocalKernel(self._gpus, file, record, manager)
            await asyncio.to_thread(process_records.write, file, record)
            return await kernel.connect()
        except BaseException as error:
            # Also when the start is canceled: the process may run by then.
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

    def _environment(self, order: WorkerOrder) -> dict[str, str]:
        environment = inherited_environment(dict(os.environ), self._inherit)
        if order.locked is not None:
            environment = order.locked.variables(environment)
        environment |= self._address
        if order.threads:
            environment |= {name: str(order.threads) for name in THREADS}
        if order.reservation.gpus is not None:
            environment[VISIBLE] = ",".join(order.reservation.gpus)
        return environment | {WORKER_ENV: order.worker, "EASYMLNB_SECRET": order.secret}

    async def _undo(self, manager: AsyncKernelManager, order: WorkerOrder, sockets: Path) -> None:
        pid = process_records.kernel_pid(manager)
        await shut_down(manager)
        await asyncio.to_thread(process_records.end_processes, pid, order.worker)
        await asyncio.to_thread(shutil.rmtree, sockets, ignore_errors=True)
        self._gpus.release(order.reservation)

    def orphaned_workers(self) -> list[OrphanedWorker]:
        """Return the workers of a killed server that can be taken over, and end all others.

        Call it before any worker is started; it blocks.
        """
        orphans = []
        for file, record in process_records.read(self._records, ProcessRecord).items():
            if record is None or not (record.runs and record.token):
                process_records.clear(file, record)
                continue
            self._gpus.occupy(Reservation(record.gpus, record.share))
            kernel = LocalKernel(self._gpus, file, record)
            orphans.append(OrphanedWorker(file.stem, record.bundle, record.token, kernel))
        process_records.remove_abandoned_folders()
        return orphans


def _no_kernel(name: str, specs: KernelSpecManager) -> str:
    known = ", ".join(sorted(specs.find_kernel_specs())) or "none"
    return (
        f"There is no kernel named {name!r} here (there are: {known}); register the environment "
        f"that has it: python -m ipykernel install --user --name {shlex.quote(name)}"
    )
