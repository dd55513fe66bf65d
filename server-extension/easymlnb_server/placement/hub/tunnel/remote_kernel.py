"""The near end of a kernel on a node: local sockets, and the connection to the far end."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.session import Session
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.placement.base import ProgressCallback
from easymlnb_server.placement.hub import node_protocol
from easymlnb_server.placement.hub.nodes import Nodes, NodeSlot
from easymlnb_server.placement.hub.tunnel import zmq_bridge
from easymlnb_server.placement.hub.tunnel.reliable_channel import ReliableChannel
from easymlnb_server.placement.hub.waiting_kernel import WaitingKernel

LOST_AFTER = 300.0
"""Default seconds without a connection after which a kernel counts as lost."""

LOST = 1
"""Exit code of a kernel whose node is gone."""

UNWATCHED_AFTER = 60.0
"""Seconds without a client after which a kernel no longer waits for its node."""

POLL_INTERVAL = 1.0

OPTIONS: dict[str, Any] = {
    "compression": None,
    "max_size": None,
    "proxy": None,
    "open_timeout": 5.0,  # a proxy that lost its routes may not respond at all
    "ping_interval": 15.0,
    "ping_timeout": 15.0,
    "close_timeout": 2.0,
}
"""Of the WebSocket; times in seconds."""

FIRST_PAUSE, MAX_PAUSE = 0.05, 5.0
"""Seconds until the next attempt to connect: at first, doubled each time, and at most."""


class RemoteKernel:
    """A kernel on a node. ``exit_code`` is set once it has ended.

    It lives in one event loop. ``folder`` is where its sockets are. After ``lost_after`` seconds
    without a connection it counts as lost.
    """

    def __init__(self, nodes: Nodes, folder: Path, lost_after: float = LOST_AFTER) -> None:
        self.address = ""
        self.exit_code: int | None = None
        self.ended = asyncio.Event()
        self._nodes = nodes
        self.lost_after = lost_after
        self._kernel = ""
        self._closed = False
        self._channel = ReliableChannel()
        self._stand_in: WaitingKernel | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._bridge = zmq_bridge.bind_as_kernel(self._context, folder / "k", self._on_message)
        self._channel.on_writable = self._bridge.resume
        self._task: asyncio.Task[None] | None = None

    def connect(self, slot: NodeSlot) -> None:
        """Forward the messages of a kernel that started, and those that were held for it."""
        self.address, self._kernel = slot.address, slot.kernel
        held = self._stand_in.take_over() if self._stand_in is not None else []
        self._stand_in = None
        for channel, parts in held:
            self._channel.send(channel, parts)
        self._bridge.resume()
        self._task = asyncio.create_task(self._stay_connected())

    def wait_for(
        self,
        starting: "asyncio.Task[NodeSlot]",
        session: Session,
        language: str,
        has_clients: Callable[[], bool],
        shut_down: Callable[[], None],
    ) -> ProgressCallback:
        """Stand in for a kernel that is still starting; returns the callback for its progress.

        ``shut_down`` is called if the kernel has no clients for a while.
        """
        self._stand_in = WaitingKernel(session, language, self._bridge.send, lambda: self._end(0))
        self._task = asyncio.create_task(
            self._wait(starting, self._stand_in, has_clients, shut_down)
        )
        return self._stand_in.on_progress

    async def _wait(
        self,
        starting: "asyncio.Task[NodeSlot]",
        stand_in: WaitingKernel,
        has_clients: Callable[[], bool],
        shut_down: Callable[[], None],
    ) -> None:
        clock = asyncio.get_running_loop().time
        watched_at = clock()
        try:
            while not starting.done():
                await asyncio.wait({starting}, timeout=POLL_INTERVAL)
                watched_at = clock() if has_clients() else watched_at
                if clock() - watched_at > UNWATCHED_AFTER:
                    shut_down()
                    watched_at = clock()
        except asyncio.CancelledError:
            starting.cancel()  # which gives up its place in the queue
            with contextlib.suppress(asyncio.CancelledError, Exception):
                slot = await starting
                await self._nodes.end(slot.address, slot.kernel)
            raise
        try:
            self.connect(starting.result())
        except Exception as error:
            stand_in.fail(str(error))

    def _on_message(self, channel: str, parts: list[bytes]) -> bool:
        if self._stand_in is not None:
            return self._stand_in.receive(channel, parts)
        return self._channel.send(channel, parts)

    async def send_signal(self, number: int) -> None:
        """Send the kernel a signal."""
        if self._stand_in is None:
            self._channel.send(node_protocol.SIGNAL, [str(number).encode()])
        elif number == signal.SIGINT:
            self._stand_in.interrupt()
        else:
            self._end(0)

    async def close(self) -> None:
        """End the kernel, or its start, and close the sockets."""
        if self.exit_code is None and self._kernel:
            await self._nodes.end(self.address, self._kernel)
        self._end(0)
        if not self._closed:
            self._closed = True
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
            self._bridge.close()
            self._context.destroy(linger=0)

    def _end(self, code: int) -> None:
        if self.exit_code is None:
            self.exit_code = code
            self.ended.set()

    async def _stay_connected(self) -> None:
        """Connect, and connect again, until the kernel has ended."""
        url = "ws" + self.address.removeprefix("http")
        url += f"easymlnb/node/kernels/{self._kernel}/channels"
        loop = asyncio.get_running_loop()
        connected_at, pause = loop.time(), FIRST_PAUSE
        while self.exit_code is None:
            try:
                headers = await asyncio.to_thread(self._nodes.auth.headers)
                async with connect(url, additional_headers=headers, **OPTIONS) as connection:
                    pause = FIRST_PAUSE
                    await self._use(connection)
                connected_at = loop.time()
            except (OSError, EasyMLNBError, WebSocketException) as error:
                if _is_unknown(error) or await self._nodes.is_gone(self.address):
                    self._end(LOST)
            if loop.time() - connected_at > self.lost_after:
                self._end(LOST)
            await asyncio.sleep(pause)
            pause = min(MAX_PAUSE, pause * 2)

    async def _use(self, connection: ClientConnection) -> None:
        """Use a connection until it ends, or the kernel does."""
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._channel.attach(outgoing.put_nowait)
        sender = asyncio.create_task(_send_all(connection, outgoing))
        try:
            with contextlib.suppress(ConnectionClosed):
                async for data in connection:
                    self._receive(data if isinstance(data, bytes) else data.encode())
                    if self.exit_code is not None:
                        return
        finally:
            self._channel.detach(outgoing.put_nowait)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _receive(self, data: bytes) -> None:
        frame = self._channel.receive(data)
        if frame is None:
            return
        if frame.channel == node_protocol.END:
            self._end(int(frame.parts[0]))
        else:
            self._bridge.send(frame.channel, frame.parts)


async def _send_all(connection: ClientConnection, outgoing: asyncio.Queue[bytes]) -> None:
    while True:
        await connection.send(await outgoing.get())


def _is_unknown(error: Exception) -> bool:
    """Return whether the node itself responded that it does not know the kernel."""
    if not isinstance(error, InvalidStatus):
        return False
    return error.response.status_code == 404 and node_protocol.OURS in error.response.headers
