"""The two doors of plain calls: one before Tornado, one between Tornado and its application.

Reading a request with Tornado costs several times what the rest of the call does. So a new
connection is read here, as long as nothing but plain calls comes by it, each whole and in the
strictest form that HTTP has. With the first byte of anything else the connection and what was
read of it go to Tornado, for good. Plain calls that come by such a connection, or by one that is
encrypted, have the second door: Tornado reads them, and its application is passed by.
"""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Awaitable
from typing import Any, cast

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError
from tornado.routing import PathMatches, Router, Rule
from tornado.web import Application

from easymlnb_server.handlers.gate import Gate
from easymlnb_server.handlers.plain import PlainCall
from easymlnb_server.handlers.senders import Sender
from easymlnb_server.state import State

REQUEST = re.compile(rb"POST ([!-~]+) HTTP/1\.1")
FIELD = re.compile(rb"([A-Za-z0-9-]+):[ \t]*((?:[!-~](?:[\t -~]*[!-~])?)?)[ \t]*")

IDLE = 3600.0
"""Seconds after which a silent connection is closed; it is Tornado's own time."""

BACKLOG = 2**16
"""Bytes that may come in while a call is under way; then no more are read until it ends."""


def open_doors(server: HTTPServer, application: Application, path: str, state: State) -> None:
    """Let plain calls of ``path``, a pattern with a group for the name, in by both doors."""
    gate = Gate(state, application.settings)
    application.default_router.rules.insert(0, Rule(PathMatches(path), _Route(gate, state)))
    front = Front(gate, state, server, re.compile(path.encode()))
    server.handle_stream = front.take  # type: ignore[method-assign]


class Front:
    """Takes the connections of a server; those it does not want go the way they always went."""

    def __init__(
        self, gate: Gate, state: State, server: HTTPServer, path: "re.Pattern[bytes]"
    ) -> None:
        self.gate = gate
        self.state = state
        self.path = path
        self._server = server
        self._further = server.handle_stream
        self._opening: set[asyncio.Task[Any]] = set()

    def take(self, stream: IOStream, address: Any) -> None:
        if type(stream) is not IOStream:  # encrypted
            self._further(stream, address)
            return
        loop = asyncio.get_running_loop()
        opening = loop.create_task(self._open(stream.socket, address))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, taken: socket.socket, address: Any) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # gone before it began
            await loop.connect_accepted_socket(lambda: Connection(self, address), taken)

    def hand_over(self, taken: socket.socket, address: Any, read: bytes) -> None:
        server = self._server
        stream = _Begun(
            taken, read,
            max_buffer_size=server.max_buffer_size, read_chunk_size=server.read_chunk_size,
        )  # fmt: skip
        self._further(stream, address)


class _Begun(IOStream):
    """A stream of which a part was read before."""

    def __init__(self, taken: socket.socket, read: bytes, **options: Any) -> None:
        super().__init__(taken, **options)
        self._read = read

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        if not self._read:
            return super().read_from_fd(buf)
        size = min(len(buf), len(self._read))
        buf[:size] = self._read[:size]
        self._read = self._read[size:]
        return size


class Connection(asyncio.Protocol):
    """One connection, as long as it brings nothing but plain calls, one after the other."""

    def __init__(self, front: Front, address: Any) -> None:
        self._front = front
        self._address = address
        self._read = b""
        self._call: PlainCall | None = None
        self._head = b""
        self._asked: tuple[str, dict[str, str]] = ("", {})
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._idle = self._loop.call_later(IDLE, self._look)
        self._free = self._loop.create_future()
        self._free.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # So that `pause_writing` comes with the first byte that the caller does not take at once.
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._read = self._read + data if self._read else data
        if self._call is None:
            self._next()
        elif len(self._read) > BACKLOG:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._idle.cancel()
        if not self._free.done():
            self._free.set_exception(StreamClosedError())
            self._free.exception()
        if self._call is not None:
            self._call.leave()

    def pause_writing(self) -> None:
        self._free = self._loop.create_future()

    def resume_writing(self) -> None:
        self._free.set_result(None)
        if self._call is None:
            self._next()

    def write(self, data: bytes) -> Awaitable[None]:
        if self._transport.is_closing():
            raise StreamClosedError
        self._transport.write(data)
        return self._free

    def end(self) -> None:
        self._call = None
        self._transport.resume_reading()
        if self._read:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """Begin the next call if it is there as a whole."""
        if self._call is not None or not self._read or not self._free.done():
            return
        if self._transport.is_closing():
            return
        end = self._read.find(b"\r\n\r\n") + 4
        head = self._read[: max(end, 4)]
        if head != self._head:
            asked = self._parse(head)
            if asked is None:
                self._hand_over()
                return
            self._head, self._asked = head, asked
        name, headers = self._asked
        admitted = self._front.gate.admit(name, headers)
        if admitted is None:
            self._hand_over()
            return
        whole = end + admitted.length
        if len(self._read) < whole:
            return
        body, self._read = self._read[end:whole], self._read[whole:]
        sender = admitted.sender
        self._call = PlainCall(self._front.state, sender, name, headers, body, self)
        self._call.start()

    def _parse(self, head: bytes) -> tuple[str, dict[str, str]] | None:
        """Return the name and headers of a request in its strictest form, else ``None``."""
        first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        request = REQUEST.fullmatch(first)
        asked = request and self._front.path.fullmatch(request[1])
        if not asked:
            return None
        headers: dict[str, str] = {}
        for line in lines:
            field = FIELD.fullmatch(line)
            if field is None or (name := field[1].decode().lower()) in headers:
                return None
            headers[name] = field[2].decode()
        return asked[1].decode(), headers

    def _hand_over(self) -> None:
        self._idle.cancel()
        taken = socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))
        taken.setblocking(False)
        self._transport.abort()
        read, self._read = self._read, b""
        self._front.hand_over(taken, self._address, read)

    def _look(self) -> None:
        left = self._heard + IDLE - self._loop.time()
        if left <= 0 and self._call is None:
            self._transport.abort()
        else:
            self._idle = self._loop.call_later(max(left, 1.0), self._look)


class _Route(Router):
    """Finds plain calls; ``None`` for everything else, so that the next rule has its turn."""

    def __init__(self, gate: Gate, state: State) -> None:
        self._gate = gate
        self._state = state

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        if request.method != "POST" or request.version != "HTTP/1.1" or request.query:
            return None
        name = kwargs["path_args"][0].decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        admitted = self._gate.admit(name, headers)
        if admitted is None:
            return None
        return _Message(self._state, admitted.sender, name, headers, request.connection)


class _Message(HTTPMessageDelegate):
    """One plain call that Tornado reads."""

    def __init__(
        self, state: State, sender: Sender, name: str, headers: dict[str, str], connection: Any
    ) -> None:
        self._state = state
        self._asked = sender, name, headers
        self._connection = connection
        self._chunks: list[bytes] = []

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        """They were looked at to find who takes this message."""

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        call = PlainCall(self._state, *self._asked, b"".join(self._chunks), self)
        self._connection.set_close_callback(call.leave)
        call.start()

    def on_connection_close(self) -> None:
        """The caller left before the body was there: there is no call yet."""

    def write(self, data: bytes) -> Awaitable[None]:
        written: Awaitable[None] = self._connection.write(data)
        return written

    def end(self) -> None:
        self._connection.finish()
