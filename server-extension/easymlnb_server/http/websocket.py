"""The WebSocket of a kernel on its bare socket.

Every call passes here twice, and Tornado's own reads a message in several steps, each with a
future and two system calls more. This one feeds whole pieces of the socket to ``websockets``'
protocol without I/O, as the kernel's end of the link does too.
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
"""Bytes that are read at once."""

MAX_MESSAGE = 2**30
"""Bytes of one message from a kernel; results may be large."""

GOODBYE = 5.0
"""Seconds the other end has to answer a close."""


class SocketWebSocket(WebSocketProtocol):
    """What Tornado's handler talks to; it serves one side only, the server's.

    A write that fails ends nothing: what the kernel sent last is still read, as by its last
    answers we know which calls it has begun. The end of that closes the connection.
    """

    def __init__(self, handler: WebSocketHandler, max_message: int) -> None:
        super().__init__(handler)
        self._protocol = ServerProtocol(max_size=max_message)
        self._frames = FrameConnection(self._protocol, self._send, self._sent_all, self._on_pong)
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._left: list[memoryview] = []

    @staticmethod
    def fits(stream: Any) -> bool:
        """Say whether this connection has a bare socket: not if it is encrypted."""
        return isinstance(stream, IOStream) and not isinstance(stream, SSLIOStream)

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        """Shake hands and serve until the connection ends."""
        stream = handler._detach_stream()
        self._socket = stream.socket.dup()
        self._socket.setblocking(False)
        stream.close()  # and with it all that Tornado watches it for
        request = handler.request
        lines = [f"GET {request.uri} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers.get_all()]
        self._protocol.receive_data(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
        self._loop.add_reader(self._socket, self._readable)
        self._frames.flush()
        if self._frames.is_open:
            self._run_callback(handler.open)
        await self._over

    def is_closing(self) -> bool:
        return self._over.done() or not self._frames.is_open

    def write_message(
        self, message: str | bytes | dict[str, Any], binary: bool = False
    ) -> "asyncio.Future[None]":
        if self.is_closing() or not isinstance(message, bytes):
            raise WebSocketClosedError
        self._frames.send(message)
        return self._over

    def write_ping(self, data: bytes) -> None:
        if not self.is_closing():
            self._frames.ping(data)

    def set_nodelay(self, x: bool) -> None:
        with contextlib.suppress(OSError):  # a Unix socket has no such thing
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(x))

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if not self.is_closing():
            self._frames.close(code or 1000, reason or "")
            self._loop.call_later(GOODBYE, self._end)

    def on_connection_close(self) -> None:
        """The handler's word on an end that it was told of here."""

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

    def _sent_all(self) -> None:
        if not self._left:
            self._end()

    def _send(self, data: bytes) -> None:
        if self._over.done():
            return
        sent = 0
        if not self._left:
            sent = self._try(data)
            if sent == len(data):
                return
            self._loop.add_writer(self._socket, self._writable)
        self._left.append(memoryview(data)[sent:])

    def _writable(self) -> None:
        while self._left:
            first = self._left[0]
            sent = self._try(first)
            if sent < len(first):
                self._left[0] = first[sent:]
                return
            del self._left[0]
        self._loop.remove_writer(self._socket)

    def _try(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return len(data)

    def _end(self) -> None:
        if self._over.done():
            return
        self._over.set_result(None)
        self._left.clear()
        self._loop.remove_writer(self._socket)
        self._loop.remove_reader(self._socket)
        self._socket.close()
        said = self._protocol.close_rcvd
        try:
            self.handler.on_ws_connection_close(
                said.code if said else None, said.reason if said else None
            )
        except Exception:
            self.handler.log_exception(*sys.exc_info())

    # What Tornado asks of ends that are clients, or that speak more than we do.

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
    """A WebSocket whose other end is a kernel: on the bare socket where there is one.

    Messages are not compressed, and heartbeats are the subclass's own.
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
        if SocketWebSocket.fits(getattr(self.request.connection, "stream", None)):
            return SocketWebSocket(self, MAX_MESSAGE)
        return super().get_websocket_protocol()
