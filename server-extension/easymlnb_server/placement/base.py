"""The interface between deployments and whatever starts worker kernels."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb.contract.resources import Gpu

_QUEUED = re.compile(
    r"pending in queue|nodes are available|insufficient|didn't trigger scale-up|unschedulable",
    re.IGNORECASE,
)
"""How batchspawner and KubeSpawner say that the cluster has no room for a server now."""


def queued(text: str) -> bool:
    """Say whether a scheduler's words mean that there is no room now."""
    return _QUEUED.search(text) is not None


class SeatsTaken(NotReady):
    """All seats of a placement are taken, by kernels that this server may not know of."""


class LimitReached(Forbidden):
    """A user has as many workers as their groups allow."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A place that is kept for one worker until it is given back; ``gpus`` it may use."""

    gpus: tuple[str, ...] | None = None
    share: float = 1.0


def quiet(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What to start: which kernelspec, in which folder, dialling home with which secret.

    ``say`` is told in a sentence, from any thread, what a start that takes long waits for.
    ``label`` is what people know the worker by.
    """

    worker: str
    kernel: str
    folder: Path
    secret: str
    room: Reservation = Reservation()
    label: str = ""
    say: Callable[[str], None] = quiet


class Kernel(Protocol):
    """A kernel that runs."""

    @property
    def until(self) -> float:
        """When, by the monotonic clock, it should be replaced."""

    async def alive(self) -> bool:
        """Say whether the kernel's process still runs."""

    async def frozen(self) -> bool:
        """Say whether the kernel's process is stopped by a signal, as far as this server knows."""

    async def returns(self) -> bool:
        """Say whether a worker here that lost its link may dial again, by the same way."""

    async def displaced(self) -> bool:
        """Say of a kernel that is gone whether what it ran on is gone, too."""

    def memory(self) -> int:
        """Return the resident bytes of the kernel and its children; blocks for milliseconds."""

    async def adopted(self) -> bool:
        """Say whether another server process has taken this worker over."""

    async def note(self, bundle: str, token: str) -> None:
        """Write down, for the next server, whose worker this is and how it proves itself."""

    async def stop(self) -> None:
        """End the kernel and every process it started, now, and give its room back.

        One that another server process has taken over runs on.
        """


class StartedKernel(Kernel, Protocol):
    """A kernel that was just started; nbclient executes notebooks through manager and client."""

    manager: AsyncKernelManager
    client: AsyncKernelClient


@dataclass(frozen=True, slots=True)
class OrphanedWorker:
    """A worker that outlived its server, and the hash of the secret it will come back with."""

    worker: str
    bundle: str
    token: str
    kernel: Kernel


class Placement(Protocol):
    """A place where worker kernels start."""

    def offers(self, gpu: Gpu) -> bool:
        """Say whether there is such room here at all, as far as is known."""

    def reserve(self, gpu: Gpu) -> Reservation | None:
        """Keep room for one worker; ``None`` when all is taken for now.

        Raises ``DeploymentFailed`` when there is never such room here.
        """

    def release(self, room: Reservation) -> None:
        """Give room back that no kernel was started in."""

    async def freed(self) -> None:
        """Wait until room is given back."""

    async def start(self, order: WorkerOrder) -> StartedKernel:
        """Start a kernel in its room; raises ``NotReady`` with the reason if that is impossible.

        The room is the kernel's from here on, and given back when the kernel ends or did not start.
        """
