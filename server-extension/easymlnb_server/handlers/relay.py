"""One request as another process is asked it: its parts there, the parts of the answer back."""

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import Iterable
from typing import Any, Protocol
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient

from easymlnb_server.store.leases import Process, View
from easymlnb_server.store.sharing import mark_of

HOP = "X-Easymlnb-Hop"
"""Says that a request was sent on, and the mark of the process that it is meant for."""

MOVED = "X-Easymlnb-Moved"
"""Says that this process does not answer for it and has done nothing."""

CONNECT = 3.0
"""Seconds another process has to take a connection."""

IDLE = 8
"""Connections to one process that are kept for the next requests."""

UNHEARD = 20.0
"""Seconds after which an unused one is closed."""

SINGLE = ("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade")
"""Headers that are about one connection, not about the request or the answer."""

PARAMETERS = HTTP1ConnectionParameters(max_body_size=2**62, decompress=False)


class Ways:
    """Connections to other processes. ``cafile`` is trusted for those that are encrypted."""

    def __init__(self, cafile: str = "") -> None:
        self._cafile = cafile
        self._tls: ssl.SSLContext | None = None
        self._client = TCPClient()
        self._free: dict[str, list[tuple[IOStream, float]]] = {}
        self.open: set[Relay] = set()
        self._changed = asyncio.Event()
        self._joined: set[asyncio.Task[None]] = set()

    async def take(self, process: Process, *, fresh: bool = False) -> IOStream:
        """Return a connection; raises ``OSError`` if it cannot be made."""
        now = asyncio.get_running_loop().time()
        free = self._free.get(process.address, [])
        while free and not fresh:
            stream, since = free.pop()
            stream.set_close_callback(None)
            if not stream.closed() and now - since < UNHEARD and not process.leaving:
                return stream
            stream.close()
        parts = urlsplit(process.address)
        secure = parts.scheme == "https"
        try:
            async with asyncio.timeout(CONNECT):
                stream = await self._client.connect(
                    parts.hostname or "",
                    parts.port or (443 if secure else 80),
                    ssl_options=self._context() if secure else None,
                )
        except (TimeoutError, StreamClosedError) as error:
            raise OSError(f"{process.address} takes no connection") from error
        stream.set_nodelay(True)
        return stream

    def give_back(self, process: Process, stream: IOStream) -> None:
        """Keep a connection on which nothing is under way."""
        free = self._free.setdefault(process.address, [])
        if stream.closed() or len(free) >= IDLE:
            stream.close()
            return
        free.append((stream, asyncio.get_running_loop().time()))
        stream.set_close_callback(stream.close)  # so that its end is noticed

    def followed(self, view: View) -> None:
        """Give up what was asked of processes that are gone, and their connections."""
        alive = {mark_of(holder) for holder in view.processes}
        for relay in [one for one in self.open if mark_of(one.process.holder) not in alive]:
            relay.close()
            relay.lost()
        addresses = {one.address for one in view.processes.values()}
        for address in self._free.keys() - addresses:
            for stream, _ in self._free.pop(address):
                stream.close()

    async def join(self, request: HTTPServerRequest, process: Process) -> bool:
        """Join a caller's websocket to a process; says whether that one could be reached."""
        try:
            there = await self.take(process, fresh=True)
        except OSError:
            return False
        lines = [f"{request.method} {request.uri} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers.get_all() if name != HOP]
        lines.append(f"{HOP}: {mark_of(process.holder)}")
        here: IOStream = request.connection.detach()  # type: ignore[union-attr]
        here.set_nodelay(True)
        task = asyncio.create_task(_join(here, there, "\r\n".join(lines) + "\r\n\r\n"))
        self._joined.add(task)
        task.add_done_callback(self._joined.discard)
        return True

    def over(self, relay: "Relay") -> None:
        """Nothing is under way for it any more."""
        self.open.discard(relay)
        self._changed.set()

    async def drained(self, seconds: float) -> None:
        """Wait until nothing is under way to others, for so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.open:
                    self._changed.clear()
                    await self._changed.wait()

    async def close(self) -> None:
        """Cut the websockets that lead to others: their pages come back by another process."""
        for task in self._joined:
            task.cancel()
        await asyncio.gather(*self._joined, return_exceptions=True)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._cafile:
                self._tls.load_verify_locations(self._cafile)
        return self._tls


class Owner(Protocol):
    """Whoever asks: takes the answer, or that there is none."""

    request: HTTPServerRequest

    def wants(self, status: int, headers: HTTPHeaders) -> bool: ...
    async def begin(self, start_line: ResponseStartLine, headers: HTTPHeaders) -> None: ...
    async def write(self, chunk: bytes) -> None: ...
    def end(self) -> None: ...
    def refused(self, relay: "Relay") -> None: ...
    def lost(self, relay: "Relay") -> None: ...


class Relay(HTTPMessageDelegate):
    """One attempt at one process. ``begun``: a part of the answer is on its way to the caller."""

    def __init__(self, owner: Owner, process: Process, ways: Ways) -> None:
        self.process = process
        self.begun = False
        self._owner = owner
        self._ways = ways
        self._connection: Any = None
        self._stream: IOStream | None = None
        self._swallow = self._answered = self._sent = self._closed = self._once = False
        self._told = self._bodied = False
        self._task: asyncio.Task[None] | None = None

    async def open(self, body: Iterable[bytes], ended: bool) -> bool:
        """Send what there is of the request; says whether that process could be reached."""
        request = self._owner.request
        try:
            self._stream = await self._ways.take(self.process)
        except OSError:
            return False
        self._ways.open.add(self)
        self._connection = HTTP1Connection(self._stream, True, PARAMETERS)
        start = RequestStartLine(request.method or "", request.uri or "", "HTTP/1.1")
        headers = _carried(request.headers)
        headers[HOP] = mark_of(self.process.holder)
        headers.setdefault("X-Request-Id", uuid.uuid4().hex)
        # Of another body nothing would tell where it ends: it would be read as the next request on
        # this connection, which is somebody else's. No route of ours reads one.
        self._bodied = "Content-Length" in headers or request.method in ("POST", "PUT", "PATCH")
        with contextlib.suppress(StreamClosedError):  # who reads the answer will see it
            await self._connection.write_headers(start, headers)
        self._task = asyncio.create_task(self._read())
        for chunk in body:
            await self.send(chunk)
        if ended:
            self.end()
        return True

    async def send(self, chunk: bytes) -> None:
        """Send a part of the body, once the one before is on its way."""
        if self._bodied and not self._answered and not self._closed:
            with contextlib.suppress(StreamClosedError):
                await self._connection.write(chunk)

    def end(self) -> None:
        """The body was sent."""
        if not self._answered and not self._closed:
            self._sent = True
            self._connection.finish()

    def close(self) -> None:
        """Nobody wants the answer any more; that process sees it."""
        self._closed = True
        self._ways.over(self)
        if self._stream is not None:
            self._stream.close()

    def lost(self) -> None:
        """Tell that no answer comes, once."""
        if not self._told:
            self._told = True
            self._owner.lost(self)

    async def _read(self) -> None:
        assert self._stream is not None
        stream = self._stream
        try:
            alive = await self._connection.read_response(self)
        except StreamClosedError:  # before a word of the answer
            alive = False
        self._ways.over(self)
        if self._closed:
            return
        if not self._answered:
            stream.close()
            self.lost()
        elif alive and self._sent and not self._once and not stream.closed():
            self._ways.give_back(self.process, stream)
        else:
            stream.close()

    async def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        assert isinstance(start_line, ResponseStartLine)
        if start_line.code < 200:
            return
        self._once = headers.get("Connection", "").lower() == "close"
        self._swallow = not self._owner.wants(start_line.code, headers)
        if not self._swallow:
            self.begun = True
            await self._owner.begin(start_line, _carried(headers))

    async def data_received(self, chunk: bytes) -> None:
        if not self._swallow:
            await self._owner.write(chunk)

    def finish(self) -> None:
        self._answered = self._told = True
        if not self._sent and self._stream is not None:
            self._stream.close()  # the rest of the body is not wanted
        if self._swallow:
            self._owner.refused(self)
        else:
            self._owner.end()

    def on_connection_close(self) -> None:
        """The end of reading tells what came of it."""


def _carried(headers: HTTPHeaders) -> HTTPHeaders:
    """Return the headers that go from one connection to the next."""
    found = HTTPHeaders()
    for name, value in headers.get_all():
        if name.lower() not in SINGLE and name.lower() not in ("expect", HOP.lower()):
            found.add(name, value)
    return found


async def _join(here: IOStream, there: IOStream, first: str) -> None:
    there.write(first.encode("latin-1"))
    ways = [asyncio.create_task(_pump(here, there)), asyncio.create_task(_pump(there, here))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # What the one that ended had to say was written before; it goes out, then the end.
        for stream in (here, there):
            stream.close()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pump(source: IOStream, target: IOStream) -> None:
    with contextlib.suppress(StreamClosedError):
        while True:
            await target.write(await source.read_bytes(2**16, partial=True))
