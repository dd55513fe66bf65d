"""One kernel on this node, and its connection to the server that started it."""

import asyncio
import contextlib
import shutil
import signal
import time
import uuid
from pathlib import Path
from typing import Protocol

import zmq
from jupyter_client.manager import AsyncKernelManager

from easymlnb_server.placement import process_records
from easymlnb_server.placement.hub import node_protocol
from easymlnb_server.placement.hub.node_protocol import KernelRequest, KernelStatus
from easymlnb_server.placement.hub.tunnel import zmq_bridge
from easymlnb_server.placement.hub.tunnel.reliable_channel import ReliableChannel
from easymlnb_server.placement.process_records import Record

ALONE_AFTER = 120.0
"""Seconds without its owner after which a kernel is ended."""

LAST_WORDS = 0.2
"""Seconds that what a kernel said last may take to come out of its sockets."""

KEPT_AFTER = 10.0
"""Seconds that its end is kept for an owner who is not connected."""


STOPPED_LOOKS = 6
"""Looks in a row that must find a worker's process stopped by a signal before it is killed."""


class Connection(Protocol):
    """A connection of the owner."""

    def write(self, data: bytes) -> object:
        """Send a message, at once; does nothing once it has ended."""

    def close(self) -> None:
        """End it."""


class NodeKernel:
    """A kernel on this node, and the way to its owner."""

    def __init__(
        self,
        manager: AsyncKernelManager,
        wanted: KernelRequest,
        folder: Path,
        gpus: tuple[str, ...],
    ) -> None:
        self.id = uuid.uuid4().hex
        self.wanted = wanted
        self.gpus = gpus
        self.pipe = ReliableChannel()
        self.over = asyncio.Event()
        self.connection: Connection | None = None
        self.record: Record | None = None
        self._manager = manager
        self._folder = folder
        self._started = self._heard = time.monotonic()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: zmq_bridge.Sockets | None = None
        self._signals: set[asyncio.Task[None]] = set()
        self._ended: float | None = None
        self._stopped = 0  # looks in a row that found it so

    @property
    def pid(self) -> int:
        return int(getattr(self._manager.provisioner, "pid", None) or 0)

    @property
    def alone(self) -> bool:
        """Say whether its owner is gone for good, or knows of its end."""
        if self.connection is not None:
            self.hear()
        return time.monotonic() - self._heard > (KEPT_AFTER if self._ended else ALONE_AFTER)

    def hear(self) -> None:
        """Take note of its owner, who asked for it without being connected."""
        self._heard = time.monotonic()

    def open(self) -> None:
        """Let messages pass; call it when the process runs."""
        ports = {name: getattr(self._manager, f"{name}_port") for name in zmq_bridge.CHANNELS}
        path = Path(self._manager.ip)
        self._sockets = zmq_bridge.at_kernel(self._context, path, ports, self.pipe.put)
        self.pipe.on_room = self._sockets.resume

    def join(self, connection: Connection) -> None:
        """The owner is there on a new connection; one before it is closed."""
        if self.connection is not None:
            self.connection.close()
        self.connection = connection
        self.pipe.open(connection.write)

    def leave(self, connection: Connection) -> None:
        """A connection has ended."""
        self.pipe.shut(connection.write)
        if self.connection is connection:
            self.hear()
            self.connection = None

    def take(self, data: bytes) -> None:
        """Pass on what the owner sent; raises ``msgspec.MsgspecError`` for what is no frame."""
        frame = self.pipe.take(data)
        if frame is None or self._sockets is None:
            return
        if frame.channel == node_protocol.SIGNAL:
            sending = asyncio.ensure_future(self._signal(int(frame.parts[0])))
            self._signals.add(sending)
            sending.add_done_callback(self._signals.discard)
        elif frame.channel in zmq_bridge.ASKED:
            self._sockets.send(frame.channel, frame.parts)

    async def _signal(self, number: int) -> None:
        with contextlib.suppress(Exception):
            await self._manager.signal_kernel(number)

    async def look(self) -> None:
        """Tell the owner when the process has ended; end a worker that a signal has stopped."""
        if self.wanted.worker and self._ended is None:
            self._stopped = self._stopped + 1 if process_records.is_stopped(self.pid) else 0
            if self._stopped >= STOPPED_LOOKS:
                await self._signal(signal.SIGKILL)
        if self._ended is None and not await self._manager.is_alive():
            code = await self._manager.provisioner.poll() if self._manager.provisioner else 0
            await asyncio.sleep(LAST_WORDS)
            self._ended = time.monotonic()
            self.pipe.put(node_protocol.END, [str(code or 0).encode()])
            self.over.set()

    def seated(self) -> KernelStatus:
        """Return what is told of it; blocks for milliseconds."""
        return KernelStatus(
            id=self.id,
            kernel=self._manager.kernel_name,
            label=self.wanted.label,
            worker=bool(self.wanted.worker),
            connected=self.connection is not None,
            memory=process_records.resident(self.pid),
            seconds=time.monotonic() - self._started,
            gpus=self.gpus,
        )

    async def stop(self) -> None:
        """End the process and all it started, and remove its traces."""
        pid = self.pid
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._manager.shutdown_kernel(now=True), 10)
        if self.connection is not None:
            self.connection.close()
        if self._sockets is not None:
            self._sockets.close()
        self._context.destroy(linger=0)
        await asyncio.to_thread(process_records.end_processes, pid, self.wanted.worker or self.id)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
