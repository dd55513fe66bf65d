"""What kernels of workers have in common: a record on disk, and the way they end."""

import asyncio
import contextlib
import math
from abc import abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import NotReady
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import Kernel, StartedKernel
from easymlnb_server.placement.process_records import WorkerRecord

CONNECT_TIMEOUT = 60.0
SHUTDOWN_TIMEOUT = 30.0

R = TypeVar("R", bound=WorkerRecord)


class WorkerKernel(Kernel, Generic[R]):
    """A worker's kernel. ``manager`` started it; ``None`` for one of a former server."""

    replace_at = ends_at = math.inf
    is_on_node = False

    def __init__(self, file: Path, record: R, manager: AsyncKernelManager | None = None) -> None:
        self._file = file
        self._record = record
        self._manager = manager
        self._client: AsyncKernelClient | None = None

    async def connect(self) -> StartedKernel:
        """Wait until the kernel responds; raises ``RuntimeError``."""
        assert self._manager is not None
        self._client = client = self._manager.client()
        # No one can type an answer: `input()` raises instead of waiting.
        client.start_channels(stdin=False)
        await client.wait_for_ready(timeout=CONNECT_TIMEOUT)
        return StartedKernel(self, self._manager, client)

    async def alive(self) -> bool:
        if self._manager is not None:
            return bool(await self._manager.is_alive())
        return await self._runs()

    async def save_record(self, bundle: str, token: str) -> None:
        self._record = msgspec.structs.replace(self._record, bundle=bundle, token=token)
        await asyncio.to_thread(process_records.write, self._file, self._record)

    async def keep(self, seconds: float) -> None:
        pass  # one on this machine does not depend on its server

    async def adopted(self) -> bool:
        return await asyncio.to_thread(
            process_records.has_other_token, self._file, self._record.token
        )

    async def stop(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
        try:
            if not await self.adopted():
                if self._manager is not None:
                    await shut_down(self._manager)
                await self._end()
        finally:
            self._release()

    @abstractmethod
    async def _runs(self) -> bool:
        """Return whether the process runs, without a manager."""

    @abstractmethod
    async def _end(self) -> None:
        """End the processes that are left, and remove the record."""

    @abstractmethod
    def _release(self) -> None:
        """Release the kernel's reservation."""


def ipc_manager(kernel: str, specs: KernelSpecManager) -> tuple[AsyncKernelManager, Path]:
    """Return a manager, and the folder of its sockets; raises ``NotReady``.

    They are Unix sockets in a private folder, so other accounts cannot read the kernel's output.
    """
    try:
        folder = process_records.socket_folder()
    except OSError as error:
        raise NotReady(f"Cannot create the folder for a kernel's sockets: {error}") from error
    manager = AsyncKernelManager(kernel_name=kernel, kernel_spec_manager=specs, transport="ipc")
    manager.ip = str(folder / "k")
    manager.connection_file = str(folder / "connection.json")
    return manager, folder


async def shut_down(manager: AsyncKernelManager) -> None:
    """End a kernel through its manager; what it started may be left."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(manager.shutdown_kernel(now=True), SHUTDOWN_TIMEOUT)
