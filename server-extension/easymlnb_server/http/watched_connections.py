"""Connections that Tornado reads: time limits, refusals and endings.

Tornado reads a body before the handler can refuse it, waits an hour for a request's headers, and
closes some connections without a response. This module adds the missing checks around the delegate
that receives the parts of a request, and to the stream.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError
from tornado.web import Application

from easymlnb.contract.errors import BadRequest, EasyMLNBError, HeadTooLarge
from easymlnb_server.http.connections import Connections, OpenConnection, Phase
from easymlnb_server.http.early_refusals import early_refusal, framing_error
from easymlnb_server.http.fastpath.request_head import HEAD_LIMIT
from easymlnb_server.http.refusals import refusal

LINGER = 2.0
"""Seconds for which a closed connection is still read. A connection that closes with unread bytes
is reset, and the caller may never see the response."""
LINGER_BYTES = 2**20
"""Maximum bytes to read in this time."""
MAX_LINGERING = 100
"""Maximum number of closed connections that are read at the same time."""


class TornadoConnections:
    """Watches all connections that Tornado reads."""

    def __init__(
        self, server: HTTPServer, application: Application, connections: Connections
    ) -> None:
        self.application = application
        self._connections = connections
        self._open: dict[int, TornadoConnection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._start_request, self._on_close = server.start_request, server.on_close
        server.start_request = self._on_request  # type: ignore[method-assign]
        server.on_close = self._on_end  # type: ignore[method-assign]

    def add(self, stream: IOStream, address: str) -> None:
        """Watch a connection, before Tornado gets it."""
        client = self._open[id(stream)] = TornadoConnection(stream, address, self)
        self._connections.add(client)

    def linger(self, duplicate: socket.socket) -> None:
        """Read the rest of what the caller sends to a closed connection."""
        if len(self._closing) >= MAX_LINGERING:
            duplicate.close()
            return
        task = asyncio.get_running_loop().create_task(_linger(duplicate))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _on_request(self, server_conn: Any, request_conn: Any) -> HTTPMessageDelegate:
        delegate = self._start_request(server_conn, request_conn)
        client = self._open.get(id(server_conn.stream))
        if client is None:
            return delegate
        client.start_request(request_conn)
        return _CheckedRequest(delegate, client, request_conn, self)

    def _on_end(self, server_conn: Any) -> None:
        """Forget a connection that ended or became a WebSocket."""
        client = self._open.pop(id(server_conn.stream), None)
        if client is not None:
            self._connections.remove(client)
            client.release()
        self._on_close(server_conn)


class TornadoConnection(OpenConnection):
    """One connection that Tornado reads."""

    def __init__(self, stream: IOStream, address: str, owner: TornadoConnections) -> None:
        super().__init__(address)
        self._stream = stream
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._connection: Any = None
        self._requests = 0
        self._phase = Phase.HEAD
        self._received = 0
        self._received_before = 0
        self._cut = False
        self._read, self._close = stream.read_from_fd, stream.close
        stream.read_from_fd = self._read_from_fd  # type: ignore[method-assign]
        stream.close = self._on_close  # type: ignore[method-assign]

    def release(self) -> None:
        """Restore the methods of the stream."""
        for name in ("read_from_fd", "close"):
            with contextlib.suppress(AttributeError):
                delattr(self._stream, name)

    @property
    def phase(self) -> Phase:
        stream, connection = self._stream, self._connection
        if self._phase is Phase.HEAD and self._requests > 1 and self._silent:
            return Phase.IDLE
        if self._phase is Phase.BODY and not stream.reading():
            return Phase.BUSY  # the server does not read
        if self._phase is Phase.BUSY and stream.writing() and connection._write_finished:
            return Phase.SENDING
        return self._phase

    @property
    def request(self) -> int:
        return self._requests

    @property
    def received(self) -> int:
        return self._received

    @property
    def unsent(self) -> int:
        buffer = self._stream._write_buffer
        return len(buffer) if buffer is not None else 0

    @property
    def _silent(self) -> bool:
        """Whether nothing of the next request has arrived."""
        return self._received == self._received_before and not self._stream._read_buffer_size

    def start_request(self, connection: Any) -> None:
        """Prepare for the next request, on Tornado's object for it."""
        self._connection = connection
        self._requests += 1
        self._received_before = self._received
        self.set_phase(Phase.HEAD)

    def set_phase(self, phase: Phase) -> None:
        """Set what the connection waits for."""
        self._phase = phase
        self.last_used = self._loop.time()

    def close(self, error: EasyMLNBError | None = None) -> None:
        if error is None or (self._phase is Phase.HEAD and self._silent):
            self._cut = True
        else:
            self.answer(error)
        self._stream.close()

    def answer(self, error: EasyMLNBError) -> None:
        """Send an error, if no handler has started a response and the stream is open."""
        if self._connection is not None and self._connection._response_start_line is None:
            with contextlib.suppress(StreamClosedError):
                self._stream.write(refusal(error))

    def _read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        size = self._read(buf)
        if size:
            self._received += size
            self.last_used = self._loop.time()
        elif size == 0:
            self._cut = True  # the caller disconnected
        return size

    def _on_close(self, exc_info: Any = False) -> None:
        stream, connection = self._stream, self._connection
        detached = connection is not None and connection.stream is None
        if not (stream.closed() or self._cut or detached):
            if isinstance(exc_info, UnsatisfiableReadError):
                self.answer(_read_error(self._phase))
            if self._phase in (Phase.HEAD, Phase.BODY) and not self._silent:
                with contextlib.suppress(OSError):
                    self._owner.linger(socket.socket(fileno=os.dup(stream.socket.fileno())))
        self._close(exc_info)


class _CheckedRequest(HTTPMessageDelegate):
    """Forwards the parts of one request, unless the headers are refused."""

    def __init__(
        self,
        delegate: HTTPMessageDelegate,
        client: TornadoConnection,
        connection: Any,
        owner: TornadoConnections,
    ) -> None:
        self._delegate = delegate
        self._client = client
        self._connection = connection
        self._owner = owner
        self._refused = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._client.set_phase(Phase.BODY)
        assert isinstance(start_line, RequestStartLine)
        error = framing_error(headers) or early_refusal(
            self._owner.application, start_line, headers, self._connection
        )
        if error is not None:
            self._refused = True
            self._client.answer(error)
            self._client._stream.close()
            raise HTTPInputError(error.message)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._client.set_phase(Phase.BUSY)
        self._delegate.finish()

    def on_connection_close(self) -> None:
        if not self._refused:
            self._delegate.on_connection_close()


def _read_error(phase: Phase) -> EasyMLNBError:
    if phase is Phase.HEAD:
        return HeadTooLarge(HEAD_LIMIT)
    return BadRequest("Invalid chunked body: a chunk does not start with its length.")


async def _linger(duplicate: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with duplicate, contextlib.suppress(OSError, TimeoutError):
        duplicate.setblocking(False)
        duplicate.shutdown(socket.SHUT_WR)
        left = LINGER_BYTES
        async with asyncio.timeout(LINGER):
            while left > 0 and (data := await loop.sock_recv(duplicate, 2**16)):
                left -= len(data)
