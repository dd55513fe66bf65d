"""A kernel that has just started, with the objects that execute cells in it."""

import asyncio
import contextlib

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from easymlnb_server.placement.base import Kernel

SHUTDOWN_TIMEOUT = 30.0


class FreshKernel:
    """``kernel`` is what runs; ``manager`` and ``client`` are how it was started."""

    def __init__(self, kernel: Kernel, manager: AsyncKernelManager) -> None:
        self.manager = manager
        self.client: AsyncKernelClient = manager.client()
        self._kernel = kernel

    @property
    def until(self) -> float:
        return self._kernel.until

    async def alive(self) -> bool:
        return bool(await self.manager.is_alive())

    async def frozen(self) -> bool:
        return await self._kernel.frozen()

    async def returns(self) -> bool:
        return await self.alive() and await self._kernel.returns()

    async def displaced(self) -> bool:
        return await self._kernel.displaced()

    def memory(self) -> int:
        return self._kernel.memory()

    async def adopted(self) -> bool:
        return await self._kernel.adopted()

    async def note(self, bundle: str, token: str) -> None:
        await self._kernel.note(bundle, token)

    async def stop(self) -> None:
        self.client.stop_channels()
        if not await self.adopted():
            await shut_down(self.manager)
        await self._kernel.stop()


async def shut_down(manager: AsyncKernelManager) -> None:
    """End a kernel as its manager does; what that leaves is others' to clear."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(manager.shutdown_kernel(now=True), SHUTDOWN_TIMEOUT)
