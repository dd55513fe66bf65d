"""The near end of a kernel on a node: local sockets, and the tunnel to the far end."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import zmq
from jupyter_client.session import Session
from websockets.exceptions import InvalidStatus

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.placement.hub import node_protocol
from easymlnb_server.placement.hub.nodes import Nodes, Seat
from easymlnb_server.placement.hub.tunnel import zmq_bridge
from easymlnb_server.placement.hub.tunnel.connection import TunnelConnection
from easymlnb_server.placement.hub.tunnel.reliable_channel import ReliableChannel
from easymlnb_server.placement.hub.waiting_kernel import Lobby

LOST_AFTER = 300.0
"""Seconds without any connection after which a kernel is given up."""

GONE = 1
"""Exit code of a kernel whose node went away."""

LEFT_AFTER = 60.0
"""Seconds after which a node is not waited for any more if nobody looks at its kernel."""

LOOK_EVERY = 1.0


class Remote:
    """A kernel that was started on a node. ``exit`` is its exit code once it has ended.

    All of it lives in one event loop. ``folder`` is where its sockets lie.
    """

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self.address = ""
        self.exit: int | None = None
        self.ended = asyncio.Event()
        self._nodes = nodes
        self._kernel = ""
        self._closed = False
        self._pipe = ReliableChannel()
        self._lobby: Lobby | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets = zmq_bridge.in_place_of_kernel(self._context, folder / "k", self._heard)
        self._pipe.on_room = self._sockets.resume
        self._task: asyncio.Task[None] | None = None

    def sit(self, seat: Seat) -> None:
        """The kernel is there: carry its messages."""
        self.address, self._kernel = seat.address, seat.kernel
        kept = self._lobby.open() if self._lobby is not None else []
        self._lobby = None
        for channel, parts in kept:
            self._pipe.put(channel, parts)
        self._sockets.resume()
        self._task = asyncio.create_task(self._keep())

    def wait_for(
        self,
        seat: "asyncio.Task[Seat]",
        session: Session,
        language: str,
        watched: Callable[[], bool],
        leave: Callable[[], None],
    ) -> Callable[[str], None]:
        """Stand in for a kernel whose seat is not found yet; returns what takes news of that.

        ``leave`` is to shut it down: it is called when nobody has ``watched`` it for a while.
        """
        self._lobby = Lobby(session, language, self._sockets.send, lambda: self._end(0))
        self._task = asyncio.create_task(self._wait(seat, self._lobby, watched, leave))
        return self._lobby.tell

    async def _wait(
        self,
        seat: "asyncio.Task[Seat]",
        lobby: Lobby,
        watched: Callable[[], bool],
        leave: Callable[[], None],
    ) -> None:
        clock = asyncio.get_running_loop().time
        seen = clock()
        try:
            while not seat.done():
                await asyncio.wait({seat}, timeout=LOOK_EVERY)
                seen = clock() if watched() else seen
                if clock() - seen > LEFT_AFTER:
                    leave()
                    seen = clock()
        except asyncio.CancelledError:
            seat.cancel()  # by which its place in the queue is given up
            with contextlib.suppress(asyncio.CancelledError, Exception):
                found = await seat
                await self._nodes.end(found.address, found.kernel)
            raise
        try:
            self.sit(seat.result())
        except Exception as error:
            lobby.fail(str(error))

    def _heard(self, channel: str, parts: list[bytes]) -> bool:
        if self._lobby is not None:
            return self._lobby.take(channel, parts)
        return self._pipe.put(channel, parts)

    async def signal(self, number: int) -> None:
        """Send the kernel a signal."""
        if self._lobby is None:
            self._pipe.put(node_protocol.SIGNAL, [str(number).encode()])
        elif number == signal.SIGINT:
            self._lobby.interrupt()
        else:
            self._end(0)

    async def close(self) -> None:
        """End the kernel, if it runs or is waited for, and take the sockets away."""
        if self.exit is None and self._kernel:
            await self._nodes.end(self.address, self._kernel)
        self._end(0)
        if not self._closed:
            self._closed = True
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
            self._sockets.close()
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
                headers = await asyncio.to_thread(self._nodes.auth.headers)
                line = await TunnelConnection.to(url, headers, self._take)
                pause = 0.05
                await self._serve(line)
                heard = loop.time()
            except InvalidStatus as error:
                answer = error.response
                unknown = answer.status_code == 404 and node_protocol.OURS in answer.headers
                if unknown or await self._nodes.gone(self.address):
                    self._end(GONE)
            except (OSError, EasyMLNBError):
                if await self._nodes.gone(self.address):
                    self._end(GONE)
            if loop.time() - heard > LOST_AFTER:
                self._end(GONE)
            await asyncio.sleep(pause)
            pause = min(5.0, pause * 2)

    async def _serve(self, line: TunnelConnection) -> None:
        """Use a connection until it ends, or the kernel does."""
        self._pipe.open(line.write)
        over = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait((line.ended, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            self._pipe.shut(line.write)
            line.close()

    def _take(self, data: bytes) -> None:
        frame = self._pipe.take(data)
        if frame is None:
            return
        if frame.channel == node_protocol.END:
            self._end(int(frame.parts[0]))
        else:
            self._sockets.send(frame.channel, frame.parts)
