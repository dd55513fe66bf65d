"""Workers of published services on nodes of the Hub."""

import asyncio
import io
import math
import time
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import msgspec
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import DeploymentFailed, NotReady
from easymlnb.contract.resources import Gpu
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import (
    OrphanedWorker,
    Reservation,
    StartedKernel,
    WorkerOrder,
)
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.node_protocol import KernelRequest
from easymlnb_server.placement.hub.node_worker import (
    NodeRecord,
    RemoteWorkerKernel,
    SlotCounter,
    WorkerMeter,
)
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.provisioner import HubProvisioner
from easymlnb_server.placement.hub.tokens import NodeAuth
from easymlnb_server.placement.locked_python import LockedPython
from easymlnb_server.placement.worker_kernel import ipc_manager, shut_down
from easymlnb_server.store.private_folder import make_folder

NOT_LOCKED = (
    "The version has a locked environment, but workers in the placement {name!r} use the packages "
    "of their node. Publish with environment='kernel', or with placement='local'. If the nodes "
    "have this server's files, an administrator can set shared_files of the placement."
)


class HubPlacement:
    """Starts workers on one user's nodes of one placement.

    records: folder for records of what runs there.
    meter: counts the user's workers.
    check: raises an error if no worker may start.
    """

    def __init__(
        self,
        name: str,
        profile: PlacementProfile,
        credentials: HubCredentials,
        records: Path,
        meter: WorkerMeter | None = None,
        check: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._name = name
        self._profile = profile
        self._credentials = credentials
        self._records = records
        self._check = check
        self._auth = NodeAuth(credentials.node_token)
        gpus = profiles.gpus_per_worker(name, profile)
        self._slots = SlotCounter(profile.max_workers, gpus, meter)

    def offers(self, gpu: Gpu) -> bool:
        return profiles.offers(self._name, self._profile, gpu)

    def reserve(self, gpu: Gpu) -> Reservation | None:
        # The profile determines a node's GPUs; each slot gets an equal part of them.
        if self._profile.gpus is not None and not self.offers(gpu):
            raise DeploymentFailed(
                f"The service requests gpu={gpu:g}, but a worker in the placement {self._name!r} "
                f"gets {self._profile.gpus / self._profile.slots:g}."
            )
        return self._slots.reserve()

    def release(self, reservation: Reservation) -> None:
        self._slots.release(held=False)

    async def freed(self) -> None:
        await self._slots.freed()

    async def start(self, order: WorkerOrder) -> StartedKernel:
        manager: AsyncKernelManager | None = None
        kernel: RemoteWorkerKernel | None = None
        try:
            if order.locked is not None and not self._profile.shared_files:
                raise DeploymentFailed(NOT_LOCKED.format(name=self._name))
            if self._check is not None:
                await self._check()
            manager, provisioner = await self._manager(order)
            await manager.start_kernel()
            kernel = await self._recorded(order, manager, provisioner)
            return await kernel.connect()
        except BaseException as error:
            end = kernel.stop() if kernel else self._undo(manager)
            await asyncio.shield(asyncio.ensure_future(end))
            if kernel is None and isinstance(error, RuntimeError | OSError | httpx.HTTPError):
                raise NotReady(f"The node for {self._name!r} could not be used.") from error
            if isinstance(error, RuntimeError):
                raise NotReady(
                    f"The kernel {self._profile.kernel or order.kernel!r} failed to start on the "
                    "node. Check that ipykernel is installed there."
                ) from error
            raise

    def orphaned_workers(self) -> list[OrphanedWorker]:
        """Return the workers of a killed server that can be taken over; blocks."""
        orphans = []
        for file, record in process_records.read(self._records, NodeRecord).items():
            if record is None:
                file.unlink(missing_ok=True)
            elif record.placement == self._name and record.user in ("", self._credentials.user):
                self._slots.adopt()
                kernel = self._kernel(file, record)
                orphans.append(OrphanedWorker(record.worker, record.bundle, record.token, kernel))
        return orphans

    def _kernel(
        self, file: Path, record: NodeRecord, manager: AsyncKernelManager | None = None
    ) -> RemoteWorkerKernel:
        def hub() -> HubClient:
            return HubClient(self._credentials)

        return RemoteWorkerKernel(file, record, self._slots, self._auth, manager, hub)

    async def _recorded(
        self, order: WorkerOrder, manager: AsyncKernelManager, provisioner: HubProvisioner
    ) -> RemoteWorkerKernel:
        record = NodeRecord(
            worker=order.worker,
            placement=self._name,
            address=provisioner.address,
            kernel=provisioner.kernel,
            user=self._credentials.user,
            ends=_wall_clock(provisioner.replace_at),
            over=_wall_clock(provisioner.ends_at),
            stay=order.stay,
        )
        file = self._records / f"{order.worker}.json"
        make_folder(self._records)
        await asyncio.to_thread(process_records.write, file, record)
        self._slots.hold()
        return self._kernel(file, record, manager)

    async def _undo(self, manager: AsyncKernelManager | None) -> None:
        self._slots.release(held=False)
        if manager is not None:
            await shut_down(manager)

    async def _manager(self, order: WorkerOrder) -> tuple[AsyncKernelManager, HubProvisioner]:
        files = await asyncio.to_thread(_zip, order.folder)
        kernel = self._profile.kernel or order.kernel
        manager, folder = ipc_manager(kernel, _NodeKernelSpecs())
        provisioner = HubProvisioner(
            parent=manager,
            kernel_spec=manager.kernel_spec,
            kernel_id=order.worker,
            placement=self._name,
            profile=msgspec.to_builtins(self._profile.for_job(order.seconds)),
        )
        provisioner.credentials = self._credentials
        provisioner.folder = folder
        provisioner.on_progress = order.on_progress
        provisioner.request = KernelRequest(
            kernel=kernel,
            key="",
            worker=order.worker,
            label=order.label,
            environment={
                "EASYMLNB_LINK": self._credentials.link,
                "EASYMLNB_SECRET": order.secret,
            },
            files=files,
            stay=order.stay,
            locked=_folders(order.locked) if order.locked is not None else None,
        )
        manager.provisioner = provisioner
        return manager, provisioner


def _wall_clock(monotonic: float) -> float:
    return 0.0 if monotonic == math.inf else time.time() + monotonic - time.monotonic()


def _folders(locked: LockedPython) -> tuple[str, str]:
    return str(locked.folder.absolute()), str(locked.runtime.absolute())


class _NodeKernelSpecs(KernelSpecManager):
    """Knows one kernel, whose program is on the node."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=[], display_name="node", language="python")


def _zip(folder: Path) -> bytes:
    """Return a folder's files as a zip, uncompressed as it is sent once."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()
