"""The seam between the engine and whatever starts worker kernels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager


@dataclass(frozen=True, slots=True)
class Order:
    """What to start: which kernelspec, in which folder, dialling home with which secret."""

    worker: str
    kernel: str
    folder: Path
    secret: str


class Kernel(Protocol):
    """A started kernel. ``manager`` and ``client`` are what nbclient executes notebooks through."""

    manager: AsyncKernelManager
    client: AsyncKernelClient

    async def alive(self) -> bool:
        """Say whether the kernel's process still runs."""

    def memory(self) -> int:
        """Return the resident bytes of the kernel and its children; blocks for milliseconds."""

    async def stop(self) -> None:
        """End the kernel and every process it started, now."""


class Placement(Protocol):
    """A place where worker kernels start."""

    async def start(self, order: Order) -> Kernel:
        """Start a kernel; raises ``NotReady`` with the reason when that is impossible."""
