"""Workers of published services on nodes of the Hub."""

import asyncio
import contextlib
import io
import math
import tempfile
import time
import zipfile
from pathlib import Path

import httpx
import msgspec
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import DeploymentFailed, EasyMLNBError, NotReady
from easymlnb.contract.running import Gpu
from easymlnb_server.placement import records
from easymlnb_server.placement.base import Order, Room, Survivor
from easymlnb_server.placement.hub import options, wire
from easymlnb_server.placement.hub.account import Account
from easymlnb_server.placement.hub.options import Spot
from easymlnb_server.placement.hub.provisioner import HubProvisioner
from easymlnb_server.placement.hub.wire import Seated, Wanted

CONNECT_TIMEOUT = 60.0
ASK_TIMEOUT = 10.0
AWAY = 5
"""Times in a row, a second apart, that the Hub answers for a node until it counts as gone."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the next server must know to take a worker over: where it is, whose, its proof.

    ``user`` owns the node; it is empty in notes of before there were others than this server's.
    ``ends`` is when, in seconds since 1970, it should be replaced; 0 for never.
    """

    worker: str
    placement: str
    address: str
    kernel: str
    user: str = ""
    bundle: str = ""
    token: str = ""
    ends: float = 0.0


class Seats:
    """How many workers of a placement there may be, and are."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[asyncio.Future[None]] = []

    def take(self) -> Room | None:
        if self._free < 1:
            return None
        self._free -= 1
        return Room()

    def give_back(self) -> None:
        self._free += 1
        for one in self._waiting:
            if not one.done():
                one.set_result(None)
        self._waiting.clear()

    async def freed(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class NodeKernel:
    """A worker's kernel on a node, as far as the node's routes tell of it."""

    def __init__(self, note: Note, file: Path, seats: Seats, headers: dict[str, str]) -> None:
        self._note = note
        self._file = file
        self._seats = seats
        self._headers = headers
        self._away = 0
        left = note.ends - time.time() if note.ends else math.inf
        self.until = time.monotonic() + left

    @property
    def _url(self) -> str:
        return f"{self._note.address}easymlnb/node/kernels/{self._note.kernel}"

    async def alive(self) -> bool:
        """Ask the node, which by this also learns that somebody still wants the kernel."""
        try:
            answer = await asyncio.to_thread(self._ask)
        except httpx.TransportError:
            return True  # the proxy is away for a moment; the link tells whether the worker is
        if answer.status_code == 404 and wire.OURS in answer.headers:
            return False
        # A proxy that was restarted sends everybody to the Hub, for a moment.
        self._away = self._away + 1 if answer.status_code in (302, 424) else 0
        return self._away < AWAY

    def memory(self) -> int:
        try:
            answer = self._ask()
            return msgspec.json.decode(answer.content, type=Seated).memory
        except (httpx.TransportError, msgspec.MsgspecError):
            return 0

    async def note(self, bundle: str, token: str) -> None:
        self._note = msgspec.structs.replace(self._note, bundle=bundle, token=token)
        await asyncio.to_thread(records.write, self._file, self._note)

    async def stop(self) -> None:
        try:
            await asyncio.to_thread(self._end)
            self._file.unlink(missing_ok=True)
        finally:
            self._seats.give_back()

    def _ask(self) -> httpx.Response:
        return httpx.get(self._url, headers=self._headers, timeout=ASK_TIMEOUT)

    def _end(self) -> None:
        # Where it cannot be told, the node ends what nobody wants by itself.
        with contextlib.suppress(httpx.TransportError):
            httpx.delete(self._url, headers=self._headers, timeout=30.0)


class FreshNodeKernel(NodeKernel):
    """One that was started just now; its messages pass through this server."""

    def __init__(
        self,
        manager: AsyncKernelManager,
        note: Note,
        file: Path,
        seats: Seats,
        headers: dict[str, str],
    ) -> None:
        super().__init__(note, file, seats, headers)
        self.manager = manager
        self.client: AsyncKernelClient = manager.client()

    async def alive(self) -> bool:
        return bool(await self.manager.is_alive())

    async def stop(self) -> None:
        self.client.stop_channels()
        await _shut_down(self.manager)
        await super().stop()


class HubPlacement:
    """Starts workers on one user's nodes of one placement.

    ``notes`` is a folder for what runs there.
    """

    def __init__(self, name: str, spot: Spot, account: Account, notes: Path) -> None:
        self._name = name
        self._spot = spot
        self._account = account
        self._notes = notes
        self._seats = Seats(spot.max_workers)

    def offers(self, gpu: Gpu) -> bool:
        return options.offers(self._name, self._spot, gpu)

    def reserve(self, gpu: Gpu) -> Room | None:
        # What a node has is the profile's matter; each seat gets its part of the node's GPUs.
        if self._spot.gpus is not None and not self.offers(gpu):
            raise DeploymentFailed(
                f"The service asks for gpu={gpu:g}, and a worker in the placement {self._name!r} "
                f"gets {self._spot.gpus / self._spot.seats:g}."
            )
        return self._seats.take()

    def release(self, room: Room) -> None:
        self._seats.give_back()

    async def freed(self) -> None:
        await self._seats.freed()

    async def start(self, order: Order) -> FreshNodeKernel:
        manager: AsyncKernelManager | None = None
        try:
            manager, provisioner = await self._manager(order)
            await manager.start_kernel()
            note = Note(
                worker=order.worker,
                placement=self._name,
                address=provisioner.address,
                kernel=provisioner.kernel,
                user=self._account.user,
                ends=_wall_clock(provisioner.until),
            )
            file = self._notes / f"{order.worker}.json"
            self._notes.mkdir(parents=True, mode=0o700, exist_ok=True)
            await asyncio.to_thread(records.write, file, note)
            kernel = FreshNodeKernel(manager, note, file, self._seats, self._account.headers)
        except BaseException as error:
            self._seats.give_back()
            if manager is not None:
                await asyncio.shield(asyncio.ensure_future(_shut_down(manager)))
            if isinstance(error, RuntimeError | OSError | httpx.HTTPError):
                raise NotReady(f"The node for {self._name!r} could not be used.") from error
            raise
        try:
            kernel.client.start_channels(stdin=False)
            await kernel.client.wait_for_ready(timeout=CONNECT_TIMEOUT)
        except BaseException as error:
            await asyncio.shield(asyncio.ensure_future(kernel.stop()))
            if isinstance(error, RuntimeError):
                raise NotReady(
                    f"The kernel {self._spot.kernel or order.kernel!r} did not start on the node. "
                    "Is ipykernel installed there?"
                ) from error
            raise
        return kernel

    def survivors(self) -> list[Survivor]:
        """Return the workers of a killed server that may be taken over; it blocks."""
        found = []
        for file in self._notes.glob("*.json"):
            try:
                note = msgspec.json.decode(file.read_bytes(), type=Note)
            except (OSError, msgspec.MsgspecError):
                file.unlink(missing_ok=True)
                continue
            if note.placement != self._name or note.user not in ("", self._account.user):
                continue
            kernel = NodeKernel(note, file, self._seats, self._account.headers)
            self._seats.take()
            found.append(Survivor(note.worker, note.bundle, note.token, kernel))
        return found

    async def _manager(self, order: Order) -> tuple[AsyncKernelManager, HubProvisioner]:
        files = await asyncio.to_thread(_packed, order.folder)
        manager = AsyncKernelManager(kernel_spec_manager=_Specs(), transport="ipc")
        folder = tempfile.mkdtemp(prefix=records.SOCKETS)
        manager.connection_file = str(Path(folder) / "connection.json")
        provisioner = HubProvisioner(
            parent=manager,
            kernel_spec=manager.kernel_spec,
            kernel_id=order.worker,
            placement=self._name,
            spot=msgspec.to_builtins(self._spot),
        )
        provisioner.account = self._account
        provisioner.folder = Path(folder)
        provisioner.tell = order.say
        provisioner.wanted = Wanted(
            kernel=self._spot.kernel or order.kernel,
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


async def _shut_down(manager: AsyncKernelManager) -> None:
    with contextlib.suppress(TimeoutError, RuntimeError, OSError, EasyMLNBError):
        await asyncio.wait_for(manager.shutdown_kernel(now=True), 30)


def _packed(folder: Path) -> bytes:
    """Return a folder's files as a zip; they are sent once, so it is quick rather than small."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder).as_posix())
    return out.getvalue()
