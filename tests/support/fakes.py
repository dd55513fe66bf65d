"""Stand-ins for kernels, so that the engine's own logic is tested without any."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.resources import Gpu
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Call, Cancel, Failure, Hello, Result, unpack_to_worker
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.identity.access import PRIVATE, Access
from easymlnb_server.placement.base import Reservation, StartedKernel, WorkerOrder
from easymlnb_server.placement.gpus import Gpus
from easymlnb_server.services.models import PublishedService, VersionEntry
from easymlnb_server.traffic.policy import TrafficPolicy
from easymlnb_server.workers.registration import RegisteredWorker, WorkerRegistration


def spec(name: str = "f", **more: Any) -> ServiceSpec:
    """Return a service's spec with the least in it."""
    return ServiceSpec(name=name, title=name, input={}, output={}, **more)


def with_version(
    version: VersionEntry, owner: str = "", access: Access = PRIVATE
) -> PublishedService:
    """Return a service with one version, which answers all calls."""
    policy = TrafficPolicy.undivided(version.number)
    return PublishedService({version.number: version}, policy, owner, access)


class FakeLink(WorkerLink):
    """A link that keeps what is sent over it; the test answers in the kernel's stead."""

    def __init__(self, kernel: str = "kernel", source: str = "") -> None:
        self.sent: list[Any] = []
        super().__init__(Hello(kernel=kernel, source=source, live=True), self._keep)

    def _keep(self, data: bytes) -> None:
        self.sent += [message for message, _ in unpack_to_worker(data)]

    @property
    def calls(self) -> list[int]:
        """The ids of the calls that were sent."""
        return [message.id for message in self.sent if isinstance(message, Call)]

    @property
    def cancels(self) -> list[int]:
        return [message.id for message in self.sent if isinstance(message, Cancel)]

    def answer(self, call: int, body: bytes = b"1", seconds: float = 0.01) -> None:
        self.receive(Result(id=call, content_type="application/json", seconds=seconds), body)

    def fail(self, call: int, error: EasyMLNBError) -> None:
        self.receive(Failure(id=call, code=error.code, message=error.message), b"")


class FakeKernel:
    """A kernel whose notebook and life are given by the test."""

    def __init__(self, placement: "FakePlacement", order: WorkerOrder) -> None:
        self.placement = placement
        self.order = order
        self.manager: Any = self
        self.client: Any = self
        self.link = FakeLink(order.worker)
        self.runs = True
        self.far = False
        self.is_frozen = False
        self.taken = False
        self.stopped = 0
        self.used = 1000
        self.replace_at = self.ends_at = math.inf
        self.is_on_node = False
        self.notes: list[tuple[str, str]] = []

    async def alive(self) -> bool:
        return self.runs

    async def frozen(self) -> bool:
        return self.is_frozen

    async def may_reconnect(self) -> bool:
        return self.far and self.runs

    async def node_lost(self) -> bool:
        return self.taken

    def memory(self) -> int:
        return self.used if self.runs else 0

    async def keep(self, seconds: float) -> None:
        """It does not depend on its server."""

    async def save_record(self, bundle: str, token: str) -> None:
        self.notes.append((bundle, token))

    async def stop(self) -> None:
        # Ending a real process takes a while, and may be canceled meanwhile.
        await asyncio.sleep(0.01)
        self.stopped += 1
        self.runs = False
        self.link.close()
        self.placement.release(self.order.reservation)

    def stop_channels(self) -> None:
        """Nothing is open."""

    def die(self) -> None:
        """End as a killed process does."""
        self.runs = False
        self.link.close()

    def dial(self) -> None:
        """Bring the secret home, as the last cell does."""
        if self.placement.dials:
            future = self.placement.rendezvous.claim(self.order.secret)
            assert future is not None
            future.set_result(RegisteredWorker(self.link, self.placement.specs))


class FakePlacement:
    """Starts fake kernels; ``cell`` is what the notebook of each does."""

    def __init__(self, rendezvous: WorkerRegistration, *specs: ServiceSpec) -> None:
        self.rendezvous = rendezvous
        self.specs = specs or (spec(),)
        self.kernels: list[FakeKernel] = []
        self.dials = True
        self.cell: Callable[[], Any] = lambda: None
        self.gpus = Gpus(())

    def offers(self, gpu: Gpu) -> bool:
        return self.gpus.offers(gpu)

    def reserve(self, gpu: Gpu) -> Reservation | None:
        return self.gpus.reserve(gpu)

    def release(self, reservation: Reservation) -> None:
        self.gpus.release(reservation)

    async def freed(self) -> None:
        await self.gpus.freed()

    async def start(self, order: WorkerOrder) -> StartedKernel:
        kernel = FakeKernel(self, order)
        self.kernels.append(kernel)
        return StartedKernel(kernel, kernel.manager, kernel.client)

    async def execute(
        self, notebook: Any, manager: Any, client: Any, at_cell: Callable[[int], None]
    ) -> None:
        """Take the place of ``execution.execute``."""
        at_cell(0)
        done = self.cell()
        if asyncio.iscoroutine(done):
            await done

    @property
    def running(self) -> list[FakeKernel]:
        return [kernel for kernel in self.kernels if kernel.runs]


async def until(done: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until ``done`` returns something true, and return that."""
    async with asyncio.timeout(seconds):
        while not (found := done()):  # noqa: ASYNC110 - the tested parts announce nothing
            await asyncio.sleep(0.005)
        return found


def left_in(folder: Path) -> list[str]:
    """Return the names of what is in a folder."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
