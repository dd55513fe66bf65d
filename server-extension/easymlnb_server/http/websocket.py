"""The WebSocket of a kernel, directly on its socket.

Each call uses it twice. Tornado reads a message in several steps, each with a future and two more
system calls. This one feeds the received bytes to ``websockets``' sans-I/O protocol, as the
kernel's end of the link does.
"""

import asyncio
import contextlib
import socket
import sys
from typing import Any

from tornado.iostream import IOStream, SSLIOStream
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol
from websockets.http11 import Request
from websockets.server import ServerProtocol

from easymlnb.contract.frame_connection import FrameConnection

CHUNK = 256 * 1024
"""Maximum bytes of one read."""

MAX_MESSAGE = 2**30
"""Maximum bytes of one message from a kernel; results may be large."""

CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the other end to confirm a close."""


class SocketWebSocket(WebSocketProtocol):
    """The protocol object of Tornado's handler, for the server's side only.

    A failed write does not close the connection: the last messages of the kernel are still read,
    because they show which calls it has started. The connection closes at the end of the input.
    """

    def __init__(self, handler: WebSocketHandler, max_message: int) -> None:
        super().__init__(handler)
        self._protocol = ServerProtocol(max_size=max_message)
        self._frames = FrameConnection(self._protocol, self._send, self._on_all_sent, self._on_pong)
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._unsent: list[memoryview] = []

    @staticmethod
    def supports(stream: Any) -> bool:
        """Return whether the connection is unencrypted, so that its socket can be used directly."""
        return isinstance(stream, IOStream) and not isinstance(stream, SSLIOStream)

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        """Shake hands and serve until the connection ends."""
        stream = handler._detach_stream()
        self._socket = stream.socket.dup()
        self._socket.setblocking(False)
        stream.close()  # also removes Tornado's watchers
        request = handler.request
        head = [f"GET {request.uri} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in request.headers.get_all()]
        self._protocol.receive_data(("\r\n".join(head) + "\r\n\r\n").encode("latin-1", "replace"))
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
        self._loop.add_reader(self._socket, self._readable)
        self._frames.flush()
        if self._frames.is_open:
            self._run_callback(handler.open)
        await self._closed

    def is_closing(self) -> bool:
        return self._closed.done() or not self._frames.is_open

    def write_message(
        self, message: str | bytes | dict[str, Any], binary: bool = False
    ) -> "asyncio.Future[None]":
        if self.is_closing() or not isinstance(message, bytes):
            raise WebSocketClosedError
        self._frames.send(message)
        return self._closed

    def write_ping(self, data: bytes) -> None:
        if not self.is_closing():
            self._frames.ping(data)

    def set_nodelay(self, x: bool) -> None:
        with contextlib.suppress(OSError):  # Unix sockets do not have the option
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(x))

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if not self.is_closing():
            self._frames.close(code or 1000, reason or "")
            self._loop.call_later(CLOSE_TIMEOUT, self._end)

    def on_connection_close(self) -> None:
        """Ignore the call by the handler, which ``_end`` has notified."""

    def _abort(self) -> None:
        self._end()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        for message in self._frames.receive(data):
            self._run_callback(self.handler.on_message, message)
        self._frames.flush()

    def _on_pong(self, data: bytes) -> None:
        self._run_callback(self.handler.on_pong, data)

    def _on_all_sent(self) -> None:
        if not self._unsent:
            self._end()

    def _send(self, data: bytes) -> None:
        if self._closed.done():
            return
        sent = 0
        if not self._unsent:
            sent = self._send_now(data)
            if sent == len(data):
                return
            self._loop.add_writer(self._socket, self._writable)
        self._unsent.append(memoryview(data)[sent:])

    def _writable(self) -> None:
        while self._unsent:
            chunk = self._unsent[0]
            sent = self._send_now(chunk)
            if sent < len(chunk):
                self._unsent[0] = chunk[sent:]
                return
            del self._unsent[0]
        self._loop.remove_writer(self._socket)

    def _send_now(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return len(data)

    def _end(self) -> None:
        if self._closed.done():
            return
        self._closed.set_result(None)
        self._unsent.clear()
        self._loop.remove_writer(self._socket)
        self._loop.remove_reader(self._socket)
        self._socket.close()
        close_frame = self._protocol.close_rcvd
        try:
            self.handler.on_ws_connection_close(
                close_frame.code if close_frame else None,
                close_frame.reason if close_frame else None,
            )
        except Exception:
            self.handler.log_exception(*sys.exc_info())

    # Abstract methods that are for clients, or for features that are not used here.

    @property
    def selected_subprotocol(self) -> str | None:
        return None

    def start_pinging(self) -> None:
        raise NotImplementedError

    async def _receive_frame_loop(self) -> None:
        raise NotImplementedError

    def _process_server_headers(self, key: Any, headers: Any) -> None:
        raise NotImplementedError


class KernelSocketHandler(WebSocketHandler):
    """A WebSocket to a kernel, directly on the socket if it is unencrypted.

    Messages are not compressed; the subclass sends the heartbeats.
    """

    @property
    def max_message_size(self) -> int:
        return MAX_MESSAGE

    @property
    def ping_interval(self) -> float | None:
        return None

    def get_compression_options(self) -> None:
        return None

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        if SocketWebSocket.supports(getattr(self.request.connection, "stream", None)):
            return SocketWebSocket(self, MAX_MESSAGE)
        return super().get_websocket_protocol()
