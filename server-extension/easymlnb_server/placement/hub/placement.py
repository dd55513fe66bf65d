"""Workers of published services on nodes of the Hub."""

import asyncio
import io
import math
import time
import zipfile
from pathlib import Path

import httpx
import msgspec
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import DeploymentFailed, NotReady
from easymlnb.contract.resources import Gpu
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import OrphanedWorker, Reservation, WorkerOrder
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.node_protocol import KernelRequest
from easymlnb_server.placement.hub.node_worker import RemoteWorkerKernel, SlotCounter, WorkerRecord
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.provisioner import HubProvisioner
from easymlnb_server.placement.hub.tokens import NodeAuth
from easymlnb_server.placement.hub.usage_meter import Meter
from easymlnb_server.placement.started_kernel import FreshKernel, shut_down
from easymlnb_server.store.private_folder import make_folder

CONNECT_TIMEOUT = 60.0


class _OnNode(FreshKernel):
    """A kernel that also ends when its user may not go on."""

    def __init__(
        self, kernel: RemoteWorkerKernel, manager: AsyncKernelManager, seats: SlotCounter
    ) -> None:
        super().__init__(kernel, manager)
        self._seats = seats

    async def alive(self) -> bool:
        return not self._seats.over and await super().alive()


class HubPlacement:
    """Starts workers on one user's nodes of one placement.

    ``notes`` is a folder for what runs there; ``meter`` is told of it.
    """

    def __init__(
        self,
        name: str,
        spot: PlacementProfile,
        account: HubCredentials,
        notes: Path,
        meter: Meter | None = None,
    ) -> None:
        self._name = name
        self._spot = spot
        self._account = account
        self._notes = notes
        self._auth = NodeAuth(account.node_token)
        self._seats = SlotCounter(spot.max_workers, profiles.each(name, spot), meter)

    def offers(self, gpu: Gpu) -> bool:
        return profiles.offers(self._name, self._spot, gpu)

    def reserve(self, gpu: Gpu) -> Reservation | None:
        # What a node has is the profile's matter; each seat gets its part of the node's GPUs.
        if self._spot.gpus is not None and not self.offers(gpu):
            raise DeploymentFailed(
                f"The service requests gpu={gpu:g}, but a worker in the placement {self._name!r} "
                f"gets {self._spot.gpus / self._spot.seats:g}."
            )
        return self._seats.take()

    def release(self, room: Reservation) -> None:
        self._seats.give_back(sat=False)

    async def freed(self) -> None:
        await self._seats.freed()

    async def start(self, order: WorkerOrder) -> FreshKernel:
        manager: AsyncKernelManager | None = None
        try:
            manager, provisioner = await self._manager(order)
            await manager.start_kernel()
            note = WorkerRecord(
                worker=order.worker,
                placement=self._name,
                address=provisioner.address,
                kernel=provisioner.kernel,
                user=self._account.user,
                ends=_wall_clock(provisioner.until),
            )
            file = self._notes / f"{order.worker}.json"
            make_folder(self._notes)
            await asyncio.to_thread(process_records.write, file, note)
            placed = RemoteWorkerKernel(note, file, self._seats, self._auth)
            kernel = _OnNode(placed, manager, self._seats)
        except BaseException as error:
            self._seats.give_back(sat=False)
            if manager is not None:
                await asyncio.shield(asyncio.ensure_future(shut_down(manager)))
            if isinstance(error, RuntimeError | OSError | httpx.HTTPError):
                raise NotReady(f"The node for {self._name!r} could not be used.") from error
            raise
        self._seats.sit()
        try:
            kernel.client.start_channels(stdin=False)
            await kernel.client.wait_for_ready(timeout=CONNECT_TIMEOUT)
        except BaseException as error:
            await asyncio.shield(asyncio.ensure_future(kernel.stop()))
            if isinstance(error, RuntimeError):
                raise NotReady(
                    f"The kernel {self._spot.kernel or order.kernel!r} failed to start on the "
                    "node. Check that ipykernel is installed there."
                ) from error
            raise
        return kernel

    def survivors(self) -> list[OrphanedWorker]:
        """Return the workers of a killed server that may be taken over; it blocks."""
        found = []
        for file in self._notes.glob("*.json"):
            try:
                note = msgspec.json.decode(file.read_bytes(), type=WorkerRecord)
            except (OSError, msgspec.MsgspecError):
                file.unlink(missing_ok=True)
                continue
            if note.placement != self._name or note.user not in ("", self._account.user):
                continue
            kernel = RemoteWorkerKernel(note, file, self._seats, self._auth)
            self._seats.hold()
            found.append(OrphanedWorker(note.worker, note.bundle, note.token, kernel))
        return found

    async def _manager(self, order: WorkerOrder) -> tuple[AsyncKernelManager, HubProvisioner]:
        files = await asyncio.to_thread(_packed, order.folder)
        kernel = self._spot.kernel or order.kernel
        manager = AsyncKernelManager(
            kernel_name=kernel, kernel_spec_manager=_Specs(), transport="ipc"
        )
        folder = process_records.socket_folder()
        manager.connection_file = str(folder / "connection.json")
        provisioner = HubProvisioner(
            parent=manager,
            kernel_spec=manager.kernel_spec,
            kernel_id=order.worker,
            placement=self._name,
            spot=msgspec.to_builtins(self._spot),
        )
        provisioner.account = self._account
        provisioner.folder = folder
        provisioner.tell = order.say
        provisioner.wanted = KernelRequest(
            kernel=kernel,
            key="",
            worker=order.worker,
            label=order.label,
            environment={"EASYMLNB_LINK": self._account.link, "EASYMLNB_SECRET": order.secret},
            files=files,
        )
        manager.provisioner = provisioner
        return manager, provisioner


def _wall_clock(until: float) -> float:
    return 0.0 if until == math.inf else time.time() + until - time.monotonic()


class _Specs(KernelSpecManager):
    """Knows one kernel, whose program is on the node."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=[], display_name="node", language="python")


def _packed(folder: Path) -> bytes:
    """Return a folder's files as a zip; they are sent once, so it is quick rather than small."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder).as_posix())
    return out.getvalue()
