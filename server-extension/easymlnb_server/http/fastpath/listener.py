"""Two entries of the fast path: before Tornado, and between Tornado and its handlers.

Reading a request with Tornado costs several times as much as the rest of the call. So this module
reads new connections, as long as they carry only simple calls in the strictest form of HTTP. At the
first other byte, Tornado takes over the connection, with the bytes that were read, until it closes.
Simple calls on such a connection, or on an encrypted one, use the second entry: Tornado reads them,
but they skip its application.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.routing import PathMatches, Rule
from tornado.web import Application

from easymlnb.contract.errors import EasyMLNBError, HeadTooLarge, TooManyConnections
from easymlnb_server.context import ServerContext
from easymlnb_server.http.connection_settings import Inbound
from easymlnb_server.http.connections import Connections, OpenConnection, Phase, network_of
from easymlnb_server.http.fastpath import request_head
from easymlnb_server.http.fastpath.call import FastCall
from easymlnb_server.http.fastpath.eligibility import Eligibility, SeenHead
from easymlnb_server.http.fastpath.request_head import ParsedHead, RequestHead
from easymlnb_server.http.fastpath.routes import FastRoute, combined
from easymlnb_server.http.fastpath.tornado_entry import TornadoEntry
from easymlnb_server.http.redirects import OnThisHost
from easymlnb_server.http.refusals import refusal
from easymlnb_server.http.watched_connections import TornadoConnections

BACKLOG = 2**16
"""Maximum bytes to read ahead while a call runs or its response is not received yet."""

log = logging.getLogger("easymlnb.connections")


def install(
    server: HTTPServer,
    application: Application,
    routes: Sequence[FastRoute],
    state: ServerContext,
    limits: Inbound,
    *,
    fast_path: bool = True,
) -> Connections:
    """Watch all connections of a server, and answer simple calls on the fast path.

    ``routes`` are those of simple calls. Without ``fast_path``, Tornado and its handlers answer all
    requests. Returns the connections of the server; the caller must run their checks.
    """
    eligibility = Eligibility(state, application.settings)
    application.transforms.append(OnThisHost)
    rules = [
        Rule(PathMatches(route.path), TornadoEntry(eligibility, state, route, application))
        for route in routes
    ]
    if fast_path:
        application.default_router.rules[:0] = rules
    connections = Connections(limits)
    tornado_connections = TornadoConnections(server, application, connections)
    listener = FastListener(
        eligibility, state, server, routes if fast_path else (), tornado_connections, connections
    )
    server.handle_stream = listener.accept  # type: ignore[method-assign]
    return connections


class FastListener:
    """Accepts the connections of a server; passes those without simple calls to Tornado."""

    def __init__(
        self,
        eligibility: Eligibility,
        state: ServerContext,
        server: HTTPServer,
        routes: Sequence[FastRoute],
        tornado_connections: TornadoConnections,
        connections: Connections,
    ) -> None:
        self.eligibility = eligibility
        self.state = state
        self.routes = routes
        self.path = combined(routes) if routes else None
        self.tornado_connections = tornado_connections
        self.connections = connections
        self._server = server
        self._handle_by_tornado = server.handle_stream
        self._opening: set[asyncio.Task[Any]] = set()

    def accept(self, stream: IOStream, address: Any) -> None:
        network = network_of(address)
        if not self.connections.try_admit():
            if type(stream) is IOStream:
                with contextlib.suppress(OSError):
                    stream.socket.send(refusal(TooManyConnections()))
            stream.close()
            return
        if type(stream) is not IOStream or self.path is None:  # encrypted, or no fast path
            self.tornado_connections.add(stream, network)
            self._handle_by_tornado(stream, address)
            return
        connection = FastConnection(self, address, network)
        self.connections.add(connection)
        opening = asyncio.get_running_loop().create_task(self._open(connection, stream.socket))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: "FastConnection", accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:  # the client disconnected
            self.connections.remove(connection)

    def hand_over(self, duplicate: socket.socket, address: Any, network: str, read: bytes) -> None:
        server = self._server
        stream = _PrefilledStream(
            duplicate, read,
            max_buffer_size=server.max_buffer_size, read_chunk_size=server.read_chunk_size,
        )  # fmt: skip
        self.tornado_connections.add(stream, network)
        self._handle_by_tornado(stream, address)


class _PrefilledStream(IOStream):
    """A stream that starts with bytes that were read before."""

    def __init__(self, duplicate: socket.socket, read: bytes, **options: Any) -> None:
        super().__init__(duplicate, **options)
        self._prefix = read
        # Read all of it at once: if the socket has no more bytes, nothing triggers a second read.
        self._usual_chunk_size, self.read_chunk_size = (
            self.read_chunk_size,
            max(self.read_chunk_size, len(read)),
        )

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        if not self._prefix:
            return super().read_from_fd(buf)
        size = min(len(buf), len(self._prefix))
        buf[:size] = self._prefix[:size]
        self._prefix = self._prefix[size:]
        self.read_chunk_size = self._usual_chunk_size
        return size


class FastConnection(OpenConnection, asyncio.Protocol):
    """One connection, as long as it carries only simple calls, one after the other."""

    def __init__(self, listener: FastListener, address: Any, network: str) -> None:
        super().__init__(network)
        self._listener = listener
        self._address = address
        self._read = b""
        self._body = bytearray()
        self._request_size = 0
        self._call: FastCall | None = None
        self._head = b""
        self._parsed = ParsedHead("", {})
        self._seen = SeenHead()
        self._received = 0.0
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._waits = 0
        self._drained = self._loop.create_future()
        self._drained.set_result(None)
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Call `pause_writing` at the first byte that the caller does not receive at once.
        self._transport.set_write_buffer_limits(high=0)
        if self._closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.last_used = self._loop.time()
        if self._request_size:
            self._body += data
            if len(self._body) < self._request_size:
                return
            data, self._request_size = bytes(self._body), 0
            self._body = bytearray()
        self._read = self._read + data if self._read else data
        if self._call is None and self._drained.done():
            self._start_next()
        elif len(self._read) > BACKLOG and self._transport is not None:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.remove(self)
        if not self._drained.done():
            self._drained.set_exception(StreamClosedError())
            self._drained.exception()
        if self._call is not None:
            self._call.on_disconnect()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()
        self._waits += 1
        self._listener.connections.add_unsent(self.unsent)

    def resume_writing(self) -> None:
        self._drained.set_result(None)
        if self._call is None:
            self._resume()

    def write(self, data: bytes) -> Awaitable[None]:
        assert self._transport is not None
        if self._transport.is_closing():
            raise StreamClosedError
        self._transport.write(data)
        return self._drained

    def end(self) -> None:
        self._call = None
        if self._drained.done():
            self._resume()

    @property
    def phase(self) -> Phase:
        if not self._drained.done():
            return Phase.SENDING
        if self._call is not None:
            return Phase.BUSY
        if self._request_size:
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
        if error is not None and self._request_size:
            self._send_error(error)
        self._transport.abort()

    def _resume(self) -> None:
        assert self._transport is not None
        self._transport.resume_reading()
        if self._read:
            self._loop.call_soon(self._start_next)

    def _start_next(self) -> None:
        """Start the next call if it has arrived completely."""
        if self._call is not None or not self._read or not self._drained.done():
            return
        if self._transport is None or self._transport.is_closing():
            return
        end = self._read.find(request_head.END) + len(request_head.END)
        if (end if end >= len(request_head.END) else len(self._read)) > request_head.HEAD_LIMIT:
            self._refuse(HeadTooLarge(request_head.HEAD_LIMIT))
            return
        head = self._read[: max(end, len(request_head.END))]
        if head != self._head:
            parsed = request_head.parse(head, self._listener.path) if self._listener.path else None
            if parsed is None:
                self._hand_over()
                return
            self._head, self._parsed = head, parsed
        name, headers, number, path = self._parsed
        kind = self._listener.routes[number].call
        eligible = self._listener.eligibility.check(name, headers, self._seen, kind.kind)
        if eligible is None:
            self._hand_over()
            return
        received, self._received = self._received or time.monotonic(), 0.0
        request_size = end + eligible.length
        if len(self._read) < request_size:
            self._received = received
            self._body += self._read
            self._read, self._request_size = b"", request_size
            self._waits += 1
            return
        body = self._read[end:request_size]
        call_head = RequestHead(name, headers, received, path)
        call = kind.create(self._listener.state, eligible.caller, call_head, body, self)
        if call is None:
            self._hand_over()
            return
        self._read = self._read[request_size:]
        self._call = call
        call.start()

    def _refuse(self, error: EasyMLNBError) -> None:
        """Send an error for a head that is not parsed, and close the connection."""
        log.info("refused", extra={"code": error.code})
        self._send_error(error)
        self.close()

    def _send_error(self, error: EasyMLNBError) -> None:
        """Send an error on a duplicate of the socket, which outlives the transport."""
        assert self._transport is not None
        if not self._transport.is_closing():
            duplicate = self._duplicate()
            with contextlib.suppress(OSError):
                duplicate.send(refusal(error))
            self._listener.tornado_connections.linger(duplicate)

    def _hand_over(self) -> None:
        self._listener.connections.remove(self)
        duplicate = self._duplicate()
        assert self._transport is not None
        self._transport.abort()
        read, self._read = self._read, b""
        self._listener.hand_over(duplicate, self._address, self.address, read)

    def _duplicate(self) -> socket.socket:
        assert self._transport is not None
        found = self._transport.get_extra_info("socket")
        duplicate = socket.socket(fileno=os.dup(found.fileno()))
        duplicate.setblocking(False)
        return duplicate
