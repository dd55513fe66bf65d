"""Sends requests on to the process that they are for, before any handler has seen them.

Whole and as they came: that process asks who it is from. Bodies pass through in parts. What was
sent on once is never sent on again, so there are no circles.
"""

import asyncio
import contextlib
import json
import uuid
from http.client import responses
from typing import Any
from weakref import WeakSet

from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError
from tornado.routing import Router
from tornado.web import Application

from easymlnb.contract.errors import EasyMLNBError, WorkerLost
from easymlnb_server.cluster import routing
from easymlnb_server.cluster.cluster import Cluster
from easymlnb_server.cluster.keeper import MARK
from easymlnb_server.cluster.routing import Subject
from easymlnb_server.engine.absent import RETRY, away
from easymlnb_server.handlers.relay import HOP, MOVED, Relay, Ways
from easymlnb_server.state import State
from easymlnb_server.store.leases import Process

KEPT = 2**20
"""Bytes of a body that are kept, to be sent again when the service has just moved."""

LINGER = 1.0
"""Seconds that the rest of a body may still come once it is answered. Closed before that, a
connection is reset, and the answer can be lost with it."""

LOST = (
    "The server process that answered for this service was lost. What was asked may have been done."
)


class Forward(Router):
    """Takes what is for another process; ``None`` for everything else: its handlers come next."""

    def __init__(
        self, application: Application, root: str, state: State, cluster: Cluster, ways: Ways
    ) -> None:
        self.application = application
        self.cluster = cluster
        self.ways = ways
        self._root = root
        self._state = state
        self._decided: WeakSet[HTTPServerRequest] = WeakSet()

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        if request in self._decided:
            return None
        subject = self._subject(request)
        hop = request.headers.get(HOP)
        if subject.call and (hop or self._state.metrics.under_way(subject.call, None)):
            return None
        if hop in (None, self.cluster.keeper.mark) and self.cluster.here(subject):
            return None
        return _Forwarded(self, request, subject, hop)

    def locally(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return what answers a request here."""
        self._decided.add(request)
        found = self.application.find_handler(request)
        assert found is not None
        return found

    def _subject(self, request: HTTPServerRequest) -> Subject:
        return routing.read(
            request.method or "",
            request.path.removeprefix(self._root),
            request.query_arguments.get("service", [b""])[-1].decode("utf-8", "replace"),
            request.headers.get("Authorization", ""),
            owned=self._state.services.shared,
            mark=MARK,
        )


class _Forwarded(HTTPMessageDelegate):
    """One request on its way; when no other process takes it, it is answered here."""

    def __init__(
        self, forward: Forward, request: HTTPServerRequest, subject: Subject, hop: str | None
    ) -> None:
        self.request = request
        self._forward = forward
        self._subject = subject
        self._hop = hop
        self._connection: Any = request.connection
        self._order = asyncio.Lock()
        self._left: list[Process] = []
        self._again = True
        self._kept: list[bytes] | None = []
        self._size = 0
        self._ended = False
        self._whole = asyncio.Event()
        self._relay: Relay | None = None
        self._inner: HTTPMessageDelegate | None = None
        self._over = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        cluster = self._forward.cluster
        if self._hop is not None:
            here = self._hop == cluster.keeper.mark and await cluster.arrives(self._subject)
            if here:
                await self._locally()
            else:
                self._soon(self._refuse(away(), {MOVED: "1"}))
            return
        self._left = await cluster.where(self._subject)
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            for process in self._left:
                if await self._forward.ways.join(self.request, process):
                    return
            await self._locally()
            return
        self._connection.set_close_callback(self.on_connection_close)
        async with self._order:
            await self._next()

    async def data_received(self, chunk: bytes) -> None:
        async with self._order:
            if self._inner is not None:
                await _finished(self._inner.data_received(chunk))
            elif not self._over:
                self._keep(chunk)
                if self._relay is not None:
                    await self._relay.send(chunk)

    def finish(self) -> None:
        if self._inner is not None:
            self._inner.finish()
            return
        self._ended = True
        self._whole.set()
        self._soon(self._end())

    def on_connection_close(self) -> None:
        if self._inner is not None:
            self._inner.on_connection_close()
        self._over = True
        self._whole.set()
        if self._relay is not None:
            self._relay.close()

    # What the relay says.

    def wants(self, status: int, headers: HTTPHeaders) -> bool:
        """Say whether an answer is to be sent to the caller; else another process is asked."""
        if MOVED in headers:
            return False
        return not (self._subject.call and status == 404 and self._left)

    async def begin(self, start_line: ResponseStartLine, headers: HTTPHeaders) -> None:
        self._kept = None
        await self._written(self._connection.write_headers, start_line, headers)

    async def write(self, chunk: bytes) -> None:
        await self._written(self._connection.write, chunk)

    def end(self) -> None:
        self._over = True
        self._soon(self._finish())

    async def _finish(self) -> None:
        """End the answer, after the body if that is still to come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._whole.wait(), LINGER)
        if not self._connection.stream.closed():
            self._connection.finish()

    def refused(self, relay: Relay) -> None:
        """That process was not the one, and has done nothing."""
        self._soon(self._try_again())

    def lost(self, relay: Relay) -> None:
        """That process is gone, and nobody knows what it has done."""
        if self._over:
            return
        if relay.begun:
            self._over = True
            self._connection.stream.close()
        elif self.request.method in ("GET", "HEAD"):
            self._soon(self._try_again())
        else:
            self._soon(self._refuse(WorkerLost(LOST)))

    async def _try_again(self) -> None:
        async with self._order:
            if self._kept is not None:
                await self._next()
                return
        await self._refuse(away())

    async def _next(self) -> None:
        """Ask the next process; without one, where the service is by now; then answer here."""
        absent: set[str] = set()
        while not self._over:
            while self._left:
                relay = Relay(self, self._left.pop(0), self._forward.ways)
                if await relay.open(self._kept or (), self._ended):
                    self._relay = relay
                    return
                absent.add(relay.process.holder)
            if self._subject.call or not self._again:
                await self._locally()
                return
            self._again = False
            await self._forward.cluster.look()
            there = await self._forward.cluster.where(self._subject)
            self._left = [one for one in there if one.holder not in absent]

    async def _locally(self) -> None:
        """Let the handlers here have the request, with what has come of it."""
        self._connection.set_close_callback(None)
        inner = self._forward.locally(self.request)
        start = RequestStartLine(
            self.request.method or "", self.request.uri or "", self.request.version
        )
        await _finished(inner.headers_received(start, self.request.headers))
        for chunk in self._kept or ():
            await _finished(inner.data_received(chunk))
        self._inner, self._kept = inner, None
        if self._ended:
            inner.finish()

    async def _end(self) -> None:
        async with self._order:
            if self._relay is not None and not self._over:
                self._relay.end()

    async def _refuse(self, error: EasyMLNBError, more: dict[str, str] | None = None) -> None:
        if self._over:
            return
        id = self.request.headers.get("X-Request-Id") or uuid.uuid4().hex
        body = json.dumps(error.to_dict(id)).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Retry-After": str(RETRY),
            **(more or {}),
        }
        start = ResponseStartLine("HTTP/1.1", error.status, responses[error.status])
        await self.begin(start, HTTPHeaders(headers))
        await self.write(body)
        self.end()

    async def _written(self, write: Any, *values: Any) -> None:
        if self._over:
            return
        try:
            await write(*values)
        except StreamClosedError:
            self.on_connection_close()

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._kept is None or self._size > KEPT:
            self._kept = None
        else:
            self._kept.append(chunk)

    def _soon(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _finished(result: Any) -> None:
    if result is not None:
        await result
