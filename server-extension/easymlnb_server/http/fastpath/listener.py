"""Two entries of the fast path: before Tornado, and between Tornado and its handlers.

Reading a request with Tornado costs several times what the rest of the call does. So a new
connection is read here, as long as nothing but plain calls comes by it, each whole and in the
strictest form that HTTP has. With the first byte of anything else the connection and what was
read of it go to Tornado, for good. Plain calls that come by such a connection, or by one that is
encrypted, have the second door: Tornado reads them, and its application is passed by.
"""

import asyncio
import contextlib
import logging
import os
import re
import socket
import time
from collections.abc import Awaitable
from typing import Any, cast

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError
from tornado.routing import PathMatches, Router, Rule
from tornado.web import Application

from easymlnb.contract.errors import EasyMLNBError, HeadTooLarge, TooManyConnections
from easymlnb_server.context import ServerContext
from easymlnb_server.http.connection_settings import Inbound
from easymlnb_server.http.connections import Connections, Held, Phase, network_of
from easymlnb_server.http.fastpath import request_head
from easymlnb_server.http.fastpath.call import FastCall
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.eligibility import Eligibility
from easymlnb_server.http.fastpath.request_head import RequestHead
from easymlnb_server.http.redirects import OnThisHost
from easymlnb_server.http.refusals import refusal
from easymlnb_server.http.watched_connections import Watch

BACKLOG = 2**16
"""Bytes that may come in while a call is under way or its answer is not taken yet; then no more
are read until that ends."""

log = logging.getLogger("easymlnb.connections")


def open_doors(
    server: HTTPServer,
    application: Application,
    path: str,
    state: ServerContext,
    limits: Inbound,
    *,
    fast_path: bool = True,
) -> Connections:
    """Watch all connections of a server, and answer simple calls on the fast path.

    ``path`` is the pattern of a call's path, with a group for the name of the service. Without
    ``fast_path``, Tornado and its handlers answer every request. Returns all connections of the
    server from now on; they must be kept.
    """
    gate = Eligibility(state, application.settings)
    application.transforms.append(OnThisHost)
    if fast_path:
        application.default_router.rules.insert(0, Rule(PathMatches(path), _Route(gate, state)))
    connections = Connections(limits)
    watch = Watch(server, application, connections)
    pattern = re.compile(path.encode()) if fast_path else None
    front = FastListener(gate, state, server, pattern, watch, connections)
    server.handle_stream = front.take  # type: ignore[method-assign]
    return connections


class FastListener:
    """Takes the connections of a server; those it does not want go the way they always went."""

    def __init__(
        self,
        gate: Eligibility,
        state: ServerContext,
        server: HTTPServer,
        path: "re.Pattern[bytes] | None",
        watch: Watch,
        connections: Connections,
    ) -> None:
        self.gate = gate
        self.state = state
        self.path = path
        self.watch = watch
        self.connections = connections
        self._server = server
        self._further = server.handle_stream
        self._opening: set[asyncio.Task[Any]] = set()

    def take(self, stream: IOStream, address: Any) -> None:
        network = network_of(address)
        if not self.connections.admits():
            if type(stream) is IOStream:
                with contextlib.suppress(OSError):
                    stream.socket.send(refusal(TooManyConnections()))
            stream.close()
            return
        if type(stream) is not IOStream or self.path is None:  # encrypted, or no fast path
            self.watch.add(stream, network)
            self._further(stream, address)
            return
        made = Connection(self, address, network)
        self.connections.add(made)
        opening = asyncio.get_running_loop().create_task(self._open(made, stream.socket))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, made: "Connection", taken: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: made, taken)
        except OSError:  # gone before it began
            self.connections.remove(made)

    def hand_over(self, taken: socket.socket, address: Any, network: str, read: bytes) -> None:
        server = self._server
        stream = _Begun(
            taken, read,
            max_buffer_size=server.max_buffer_size, read_chunk_size=server.read_chunk_size,
        )  # fmt: skip
        self.watch.add(stream, network)
        self._further(stream, address)


class _Begun(IOStream):
    """A stream of which a part was read before."""

    def __init__(self, taken: socket.socket, read: bytes, **options: Any) -> None:
        super().__init__(taken, **options)
        self._given = read
        # All of it at once: for what is left nothing would call, as the socket has no more.
        self._usual, self.read_chunk_size = (
            self.read_chunk_size,
            max(self.read_chunk_size, len(read)),
        )

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        if not self._given:
            return super().read_from_fd(buf)
        size = min(len(buf), len(self._given))
        buf[:size] = self._given[:size]
        self._given = self._given[size:]
        self.read_chunk_size = self._usual
        return size


class Connection(Held, asyncio.Protocol):
    """One connection, as long as it brings nothing but plain calls, one after the other."""

    def __init__(self, front: FastListener, address: Any, network: str) -> None:
        super().__init__(network)
        self._front = front
        self._address = address
        self._read = b""
        self._body = bytearray()
        self._wanted = 0
        self._call: FastCall | None = None
        self._head = b""
        self._parsed: tuple[str, dict[str, str]] = ("", {})
        self._received = 0.0
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._waits = 0
        self._free = self._loop.create_future()
        self._free.set_result(None)
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # So that `pause_writing` comes with the first byte that the caller does not take at once.
        self._transport.set_write_buffer_limits(high=0)
        if self._closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        if self._wanted:
            self._body += data
            if len(self._body) < self._wanted:
                return
            data, self._wanted = bytes(self._body), 0
            self._body = bytearray()
        self._read = self._read + data if self._read else data
        if self._call is None and self._free.done():
            self._next()
        elif len(self._read) > BACKLOG and self._transport is not None:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.connections.remove(self)
        if not self._free.done():
            self._free.set_exception(StreamClosedError())
            self._free.exception()
        if self._call is not None:
            self._call.leave()

    def pause_writing(self) -> None:
        self._free = self._loop.create_future()
        self._waits += 1
        self._front.connections.keeps_back(self.unsent)

    def resume_writing(self) -> None:
        self._free.set_result(None)
        if self._call is None:
            self._go_on()

    def write(self, data: bytes) -> Awaitable[None]:
        assert self._transport is not None
        if self._transport.is_closing():
            raise StreamClosedError
        self._transport.write(data)
        return self._free

    def end(self) -> None:
        self._call = None
        if self._free.done():
            self._go_on()

    @property
    def phase(self) -> Phase:
        if not self._free.done():
            return Phase.SENDING
        if self._call is not None:
            return Phase.BUSY
        if self._wanted:
            return Phase.BODY
        return Phase.IDLE if self._head else Phase.HEAD

    @property
    def request(self) -> int:
        return self._waits

    @property
    def received(self) -> int:
        return len(self._body)

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def close(self, error: EasyMLNBError | None = None) -> None:
        self._closed = True
        if self._transport is None:
            return
        if error is not None and self._wanted:
            self._tell(error)
        self._transport.abort()

    def _go_on(self) -> None:
        assert self._transport is not None
        self._transport.resume_reading()
        if self._read:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """Begin the next call if it is there as a whole."""
        if self._call is not None or not self._read or not self._free.done():
            return
        if self._transport is None or self._transport.is_closing():
            return
        end = self._read.find(request_head.END) + len(request_head.END)
        if (end if end >= len(request_head.END) else len(self._read)) > request_head.HEAD_LIMIT:
            self._refuse(HeadTooLarge(request_head.HEAD_LIMIT))
            return
        head = self._read[: max(end, len(request_head.END))]
        if head != self._head:
            parsed = request_head.parse(head, self._front.path) if self._front.path else None
            if parsed is None:
                self._hand_over()
                return
            self._head, self._parsed = head, parsed
        name, headers = self._parsed
        admitted = self._front.gate.admit(name, headers)
        if admitted is None:
            self._hand_over()
            return
        received, self._received = self._received or time.monotonic(), 0.0
        whole = end + admitted.length
        if len(self._read) < whole:
            self._received = received
            self._body += self._read
            self._read, self._wanted = b"", whole
            self._waits += 1
            return
        body, self._read = self._read[end:whole], self._read[whole:]
        asked = RequestHead(name, headers, received)
        self._call = FastCall(self._front.state, admitted.sender, asked, body, self)
        self._call.start()

    def _refuse(self, error: EasyMLNBError) -> None:
        """Answer what nobody shall parse, and end the connection."""
        log.info("refused", extra={"code": error.code})
        self._tell(error)
        self.close()

    def _tell(self, error: EasyMLNBError) -> None:
        """Answer with an error by the socket itself, which outlives its transport for a moment."""
        assert self._transport is not None
        if not self._transport.is_closing():
            taken = self._duplicate()
            with contextlib.suppress(OSError):
                taken.send(refusal(error))
            self._front.watch.linger(taken)

    def _hand_over(self) -> None:
        self._front.connections.remove(self)
        taken = self._duplicate()
        assert self._transport is not None
        self._transport.abort()
        read, self._read = self._read, b""
        self._front.hand_over(taken, self._address, self.address, read)

    def _duplicate(self) -> socket.socket:
        assert self._transport is not None
        found = self._transport.get_extra_info("socket")
        taken = socket.socket(fileno=os.dup(found.fileno()))
        taken.setblocking(False)
        return taken


class _Route(Router):
    """Finds plain calls; ``None`` for everything else, so that the next rule has its turn."""

    def __init__(self, gate: Eligibility, state: ServerContext) -> None:
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
        self,
        state: ServerContext,
        sender: KnownCaller,
        name: str,
        headers: dict[str, str],
        connection: Any,
    ) -> None:
        self._state = state
        self._sender = sender
        self._head = RequestHead(name, headers, time.monotonic())
        self._connection = connection
        self._chunks: list[bytes] = []

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        """They were looked at to find who takes this message."""

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        call = FastCall(self._state, self._sender, self._head, b"".join(self._chunks), self)
        self._connection.set_close_callback(call.leave)
        call.start()

    def on_connection_close(self) -> None:
        """The caller left before the body was there: there is no call yet."""

    def write(self, data: bytes) -> Awaitable[None]:
        written: Awaitable[None] = self._connection.write(data)
        return written

    def end(self) -> None:
        self._connection.finish()
