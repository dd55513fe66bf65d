"""Connections that Tornado reads: time limits, refusals and endings.

Tornado takes a body in before it asks whether anybody wants it, waits an hour for a request's
headers, and closes some connections without a word. What is missing is added from outside: around
the delegate that gets a request's parts, and at the stream.
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
from easymlnb_server.http.connections import Connections, Held, Phase
from easymlnb_server.http.early_refusals import misframed, unwanted
from easymlnb_server.http.fastpath.request_head import HEAD_LIMIT
from easymlnb_server.http.refusals import refusal

LINGER = 2.0
"""Seconds for which a closed connection is read on. One that is closed with bytes unread is reset,
and its caller may never see the answer."""
LINGERING = 2**20
"""Bytes that are read meanwhile."""
LINGERERS = 100
"""Connections that are read on at the same time."""


class Watch:
    """Watches all connections that a server reads by Tornado's own means."""

    def __init__(
        self, server: HTTPServer, application: Application, connections: Connections
    ) -> None:
        self.application = application
        self._connections = connections
        self._watched: dict[int, Watched] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._start, self._end = server.start_request, server.on_close
        server.start_request = self._begin  # type: ignore[method-assign]
        server.on_close = self._over  # type: ignore[method-assign]

    def add(self, stream: IOStream, address: str) -> None:
        """Watch a connection before Tornado has it."""
        watched = self._watched[id(stream)] = Watched(stream, address, self)
        self._connections.add(watched)

    def linger(self, taken: socket.socket) -> None:
        """Read what a caller still sends to a connection that is closed."""
        if len(self._closing) >= LINGERERS:
            taken.close()
            return
        task = asyncio.get_running_loop().create_task(_linger(taken))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _begin(self, server_conn: Any, request_conn: Any) -> HTTPMessageDelegate:
        delegate = self._start(server_conn, request_conn)
        watched = self._watched.get(id(server_conn.stream))
        if watched is None:
            return delegate
        watched.begin(request_conn)
        return _Guarded(delegate, watched, request_conn, self)

    def _over(self, server_conn: Any) -> None:
        """Tornado is done with a connection: it ended, or it is no longer one of HTTP."""
        watched = self._watched.pop(id(server_conn.stream), None)
        if watched is not None:
            self._connections.remove(watched)
            watched.release()
        self._end(server_conn)


class Watched(Held):
    """One connection that Tornado reads."""

    def __init__(self, stream: IOStream, address: str, watch: Watch) -> None:
        super().__init__(address)
        self._stream = stream
        self._watch = watch
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
        """Leave the stream as it was."""
        for name in ("read_from_fd", "close"):
            with contextlib.suppress(AttributeError):
                delattr(self._stream, name)

    @property
    def phase(self) -> Phase:
        stream, connection = self._stream, self._connection
        if self._phase is Phase.HEAD and self._requests > 1 and self._silent:
            return Phase.IDLE
        if self._phase is Phase.BODY and not stream.reading():
            return Phase.BUSY  # it is the server that does not go on
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
        """Whether nothing of the next request has come."""
        return self._received == self._received_before and not self._stream._read_buffer_size

    def begin(self, connection: Any) -> None:
        """The next request may come, on Tornado's object for it."""
        self._connection = connection
        self._requests += 1
        self._received_before = self._received
        self.enter(Phase.HEAD)

    def enter(self, phase: Phase) -> None:
        """Wait for something else from now on."""
        self._phase = phase
        self.heard = self._loop.time()

    def close(self, error: EasyMLNBError | None = None) -> None:
        if error is None or (self._phase is Phase.HEAD and self._silent):
            self._cut = True
        else:
            self.answer(error)
        self._stream.close()

    def answer(self, error: EasyMLNBError) -> None:
        """Answer a request that no handler has answered yet, as well as that goes."""
        if self._connection is not None and self._connection._response_start_line is None:
            with contextlib.suppress(StreamClosedError):
                self._stream.write(refusal(error))

    def _read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        size = self._read(buf)
        if size:
            self._received += size
            self.heard = self._loop.time()
        elif size == 0:
            self._cut = True  # there is nobody any more who could be answered
        return size

    def _on_close(self, exc_info: Any = False) -> None:
        stream, connection = self._stream, self._connection
        detached = connection is not None and connection.stream is None
        if not (stream.closed() or self._cut or detached):
            if isinstance(exc_info, UnsatisfiableReadError):
                self.answer(_unreadable(self._phase))
            if self._phase in (Phase.HEAD, Phase.BODY) and not self._silent:
                with contextlib.suppress(OSError):
                    self._watch.linger(socket.socket(fileno=os.dup(stream.socket.fileno())))
        self._close(exc_info)


class _Guarded(HTTPMessageDelegate):
    """Passes the parts of one request on, unless it is refused from its headers."""

    def __init__(
        self, delegate: HTTPMessageDelegate, watched: Watched, connection: Any, watch: Watch
    ) -> None:
        self._delegate = delegate
        self._watched = watched
        self._connection = connection
        self._watch = watch
        self._refused = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._watched.enter(Phase.BODY)
        assert isinstance(start_line, RequestStartLine)
        error = misframed(headers) or unwanted(
            self._watch.application, start_line, headers, self._connection
        )
        if error is not None:
            self._refused = True
            self._watched.answer(error)
            self._watched._stream.close()
            raise HTTPInputError(error.message)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._watched.enter(Phase.BUSY)
        self._delegate.finish()

    def on_connection_close(self) -> None:
        if not self._refused:
            self._delegate.on_connection_close()


def _unreadable(phase: Phase) -> EasyMLNBError:
    if phase is Phase.HEAD:
        return HeadTooLarge(HEAD_LIMIT)
    return BadRequest("Invalid chunked body: a chunk does not start with its length.")


async def _linger(taken: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with taken, contextlib.suppress(OSError, TimeoutError):
        taken.setblocking(False)
        taken.shutdown(socket.SHUT_WR)
        left = LINGERING
        async with asyncio.timeout(LINGER):
            while left > 0 and (data := await loop.sock_recv(taken, 2**16)):
                left -= len(data)
