"""The near end of a kernel on a node: sockets like a local kernel's, and the way to the far end."""

import asyncio
import contextlib
from pathlib import Path

import zmq.asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from easymlnb_server.placement.hub import sockets, wire
from easymlnb_server.placement.hub.nodes import Nodes
from easymlnb_server.placement.hub.pipe import Pipe

BEAT = 15.0
"""Seconds between two pings, and that an answer may take before the connection is made anew."""

OPEN_TIMEOUT = 5.0
"""Seconds to connect; a proxy that has not got its routes back may not answer at all."""

LOST_AFTER = 300.0
"""Seconds without any connection after which a kernel is given up."""

GONE = 1
"""Exit code of a kernel whose node went away."""


class Remote:
    """A kernel that was started on a node. ``exit`` is its exit code once it has ended.

    All of it lives in one event loop. ``folder`` is where its sockets lie.
    """

    def __init__(self, nodes: Nodes, address: str, kernel: str, folder: Path) -> None:
        self.address = address
        self.exit: int | None = None
        self.ended = asyncio.Event()
        self._nodes = nodes
        self._kernel = kernel
        self._closed = False
        self._pipe = Pipe()
        self._context = zmq.asyncio.Context()
        self._sockets = sockets.in_place_of_kernel(self._context, folder / "k", self._pipe.put)
        self._task = asyncio.create_task(self._keep())

    async def signal(self, number: int) -> None:
        """Send the kernel a signal."""
        await self._pipe.put(wire.SIGNAL, [str(number).encode()])

    async def close(self) -> None:
        """End the kernel, if it runs, and take the sockets away."""
        if self.exit is None:
            await self._nodes.end(self.address, self._kernel)
            self._end(0)
        if not self._closed:
            self._closed = True
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._sockets.close()
            self._context.destroy(linger=0)

    def _end(self, code: int) -> None:
        if self.exit is None:
            self.exit = code
            self.ended.set()

    async def _keep(self) -> None:
        """Connect, again and again, until the kernel has ended."""
        url = "ws" + self.address.removeprefix("http")
        url += f"easymlnb/node/kernels/{self._kernel}/channels"
        loop = asyncio.get_running_loop()
        heard, pause = loop.time(), 0.05
        while self.exit is None:
            try:
                async with connect(
                    url,
                    additional_headers=self._nodes.api.headers,
                    compression=None,
                    open_timeout=OPEN_TIMEOUT,
                    max_size=None,
                    ping_interval=BEAT,
                    ping_timeout=BEAT,
                ) as connection:
                    pause = 0.05
                    await self._serve(connection)
                heard = loop.time()
            except InvalidStatus as error:
                answer = error.response
                unknown = answer.status_code == 404 and wire.OURS in answer.headers
                if unknown or await self._nodes.gone(self.address):
                    self._end(GONE)
            except (OSError, TimeoutError, WebSocketException):
                if await self._nodes.gone(self.address):
                    self._end(GONE)
            if loop.time() - heard > LOST_AFTER:
                self._end(GONE)
            await asyncio.sleep(pause)
            pause = min(5.0, pause * 2)

    async def _serve(self, connection: ClientConnection) -> None:
        sending = asyncio.create_task(self._pipe.run(connection.send))
        try:
            async for data in connection:
                assert isinstance(data, bytes)
                frame = self._pipe.take(data)
                if frame is None:
                    continue
                if frame.channel == wire.END:
                    self._end(int(frame.parts[0]))
                    return
                await self._sockets.send(frame.channel, frame.parts)
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketException, OSError):
                await sending
