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
from easymlnb_server.placement.locked_python import LockedPython

_QUEUED = re.compile(
    r"pending in queue|nodes are available|insufficient|didn't trigger scale-up|unschedulable",
    re.IGNORECASE,
)
"""How batchspawner and KubeSpawner report that the cluster has no capacity for a server."""

ProgressCallback = Callable[[str], None]
"""Receives sentences that say what a start waits for."""


def is_queued_message(text: str) -> bool:
    """Return whether a scheduler's message means that it has no capacity at this time."""
    return _QUEUED.search(text) is not None


class SlotsTaken(NotReady):
    """All slots of a placement are in use, possibly by kernels that this server does not know."""


class LimitReached(Forbidden):
    """A user has as many workers as their groups allow."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Capacity for one worker, until it is released.

    gpus: names of the GPUs that the worker may use; ``None``: not restricted.
    share: part of each GPU, at most 1.
    """

    gpus: tuple[str, ...] | None = None
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """A request to start a worker kernel.

    worker: a unique name.
    kernel: name of the kernelspec.
    folder: the folder to run in.
    secret: the one-time secret with which the worker connects to the server.
    reservation: what ``Placement.reserve`` returned.
    label: the worker's name for people.
    on_progress: reports what a long start waits for; may be called from any thread.
    threads: threads that its numeric libraries may use on the server's own machine, where it then
        also has a lower priority than workers that serve calls; 0 for no limit.
    locked: the environment that replaces that of the kernelspec.
    stay: seconds that a kernel on a node runs without its owner, for one that runs jobs; 0: as
        workers that serve calls.
    seconds: how long the kernel is needed at most; 0: not known.
    """

    worker: str
    kernel: str
    folder: Path
    secret: str
    reservation: Reservation = Reservation()
    label: str = ""
    on_progress: ProgressCallback = lambda text: None
    threads: int = 0
    locked: LockedPython | None = None
    stay: float = 0.0
    seconds: float = 0.0


class Kernel(Protocol):
    """A worker's kernel that runs, or did."""

    @property
    def replace_at(self) -> float:
        """When the worker should be replaced, on the monotonic clock."""

    @property
    def ends_at(self) -> float:
        """When its node ends, on the monotonic clock."""

    @property
    def is_on_node(self) -> bool:
        """Whether it runs on another server of the Hub."""

    async def alive(self) -> bool:
        """Return whether the kernel's process still runs."""

    async def frozen(self) -> bool:
        """Return whether a signal has stopped the process, as far as this server knows."""

    async def may_reconnect(self) -> bool:
        """Return whether a worker that lost its link may connect again to this server."""

    async def node_lost(self) -> bool:
        """Return whether the node of a kernel that is gone is gone, too."""

    def memory(self) -> int:
        """Return the resident bytes of the kernel and its children; blocks for milliseconds."""

    async def adopted(self) -> bool:
        """Return whether another server process has taken this worker over."""

    async def save_record(self, bundle: str, token: str) -> None:
        """Record for the next server what the worker serves, and the hash of its secret."""

    async def keep(self, seconds: float) -> None:
        """Let a kernel on a node run for that long without its server, for a job."""

    async def stop(self) -> None:
        """End the kernel with every process it started, and release its reservation.

        A worker that another server process has taken over keeps running.
        """


@dataclass(frozen=True, slots=True)
class StartedKernel:
    """A kernel that just started; nbclient executes notebooks with ``manager`` and ``client``."""

    kernel: Kernel
    manager: AsyncKernelManager
    client: AsyncKernelClient


@dataclass(frozen=True, slots=True)
class OrphanedWorker:
    """A worker that outlived its server.

    bundle: the id of the bundle that it serves.
    token: the hash of the secret with which it reconnects.
    """

    worker: str
    bundle: str
    token: str
    kernel: Kernel


class Placement(Protocol):
    """A place where worker kernels start."""

    def offers(self, gpu: Gpu) -> bool:
        """Return whether this placement can ever have that many GPUs, as far as it knows."""

    def reserve(self, gpu: Gpu) -> Reservation | None:
        """Reserve capacity for one worker; ``None`` if all of it is in use.

        Raises ``DeploymentFailed`` if this placement never has that much.
        """

    def release(self, reservation: Reservation) -> None:
        """Release a reservation with which no kernel was started."""

    async def freed(self) -> None:
        """Wait until a reservation is released."""

    async def start(self, order: WorkerOrder) -> StartedKernel:
        """Start a kernel; raises ``NotReady`` with the reason if that is impossible.

        The order's reservation belongs to the kernel from then on: it is released when the kernel
        ends, or could not start.
        """
