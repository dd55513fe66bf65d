"""One kernel on this node, and its connection to the server that started it."""

import asyncio
import contextlib
import shutil
import signal
import time
import uuid
from pathlib import Path
from typing import Protocol

import msgspec
import zmq
from jupyter_client.manager import AsyncKernelManager

from easymlnb_server.placement import process_records
from easymlnb_server.placement.hub import node_protocol
from easymlnb_server.placement.hub.node_protocol import KernelRequest, KernelStatus
from easymlnb_server.placement.hub.tunnel import zmq_bridge
from easymlnb_server.placement.hub.tunnel.reliable_channel import ReliableChannel

ORPHANED_AFTER = 120.0
"""Seconds without its owner after which a kernel is ended, unless it runs jobs."""

LEAVE_CHECK = 0.1
"""Seconds between two checks whether a kernel has left."""

LAST_OUTPUT = 0.2
"""Seconds for a kernel's last messages to arrive from its sockets."""

ENDED_KEPT = 10.0
"""Seconds for which an ended kernel is kept for an owner that is not connected."""

STOPPED_CHECKS = 6
"""Consecutive checks that must find a worker's process stopped by a signal before it is killed."""


class OwnerConnection(Protocol):
    """A connection of the owner."""

    def send(self, data: bytes) -> None:
        """Send a message without waiting; does nothing after the end of the connection."""

    def close(self) -> None:
        """End the connection."""


class NodeKernel:
    """A kernel on this node. ``ended`` is set when its process has ended."""

    def __init__(
        self,
        manager: AsyncKernelManager,
        request: KernelRequest,
        folder: Path,
        gpus: tuple[str, ...],
    ) -> None:
        self.id = uuid.uuid4().hex
        self.request = request
        self.gpus = gpus
        self.ended = asyncio.Event()
        self._channel = ReliableChannel()
        self._connection: OwnerConnection | None = None
        self.manager = manager
        self._folder = folder
        self._started = self._owner_seen = time.monotonic()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._bridge: zmq_bridge.ZmqBridge | None = None
        self._signals: set[asyncio.Task[None]] = set()
        self._stopped = 0

    @property
    def pid(self) -> int:
        return process_records.kernel_pid(self.manager)

    @property
    def orphaned(self) -> bool:
        """Whether the owner is gone permanently, or knows that the kernel has ended."""
        if self._connection is not None:
            self.touch()
        limit = ENDED_KEPT if self.ended.is_set() else max(ORPHANED_AFTER, self.request.stay)
        return time.monotonic() - self._owner_seen > limit

    def touch(self) -> None:
        """Record that the owner exists."""
        self._owner_seen = time.monotonic()

    def keep(self, seconds: float) -> None:
        """Run for that long without the owner, for a call that has become a job."""
        self.request = msgspec.structs.replace(self.request, stay=seconds)

    def open(self) -> None:
        """Forward messages; call it when the process runs."""
        ports = {name: getattr(self.manager, f"{name}_port") for name in zmq_bridge.CHANNELS}
        path = Path(self.manager.ip)
        self._bridge = zmq_bridge.connect_to_kernel(self._context, path, ports, self._channel.send)
        self._channel.on_writable = self._bridge.resume

    def attach(self, connection: OwnerConnection) -> None:
        """Use a new connection of the owner and close the previous one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = connection
        self._channel.attach(connection.send)

    def detach(self, connection: OwnerConnection) -> None:
        """Stop using a connection that ended."""
        self._channel.detach(connection.send)
        if self._connection is connection:
            self.touch()
            self._connection = None

    def receive(self, data: bytes) -> None:
        """Handle a message of the owner; raises ``msgspec.MsgspecError`` for an invalid frame."""
        frame = self._channel.receive(data)
        if frame is None or self._bridge is None:
            return
        if frame.channel == node_protocol.SIGNAL:
            task = asyncio.ensure_future(self._send_signal(int(frame.parts[0])))
            self._signals.add(task)
            task.add_done_callback(self._signals.discard)
        elif frame.channel in zmq_bridge.REQUEST_CHANNELS:
            self._bridge.send(frame.channel, frame.parts)

    async def _send_signal(self, number: int) -> None:
        with contextlib.suppress(Exception):
            await self.manager.signal_kernel(number)

    async def check(self) -> None:
        """Report the end of the process to the owner; kill a worker that a signal has stopped."""
        if self.ended.is_set():
            return
        if self.request.worker:
            self._stopped = self._stopped + 1 if process_records.is_stopped(self.pid) else 0
            if self._stopped >= STOPPED_CHECKS:
                await self._send_signal(signal.SIGKILL)
        if not await self.manager.is_alive():
            code = await self.manager.provisioner.poll() if self.manager.provisioner else 0
            await asyncio.sleep(LAST_OUTPUT)
            self._channel.send(node_protocol.END, [str(code or 0).encode()])
            self.ended.set()

    def status(self) -> KernelStatus:
        """Return the kernel's status; blocks for milliseconds."""
        return KernelStatus(
            id=self.id,
            kernel=self.manager.kernel_name,
            label=self.request.label,
            worker=bool(self.request.worker),
            connected=self._connection is not None,
            memory=process_records.resident_memory(self.pid),
            seconds=time.monotonic() - self._started,
            gpus=self.gpus,
        )

    async def leave(self, seconds: float) -> None:
        """Let a kernel that runs jobs save its state; return when it has ended, or after that time.

        Its scheduler may have sent it the same signal already.
        """
        if not self.request.stay or self.ended.is_set():
            return
        await self._send_signal(signal.SIGTERM)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(seconds):
                while await self.manager.is_alive():  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(LEAVE_CHECK)

    async def stop(self) -> None:
        """End the process and all that it started, and remove its files."""
        pid = self.pid
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.manager.shutdown_kernel(now=True), 10)
        if self._connection is not None:
            self._connection.close()
        if self._bridge is not None:
            self._bridge.close()
        self._context.destroy(linger=0)
        await asyncio.to_thread(process_records.end_processes, pid, self.request.worker or self.id)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
