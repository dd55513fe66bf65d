"""The second entry of the fast path: Tornado reads simple calls, which skip its application."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application

from easymlnb_server.context import ServerContext
from easymlnb_server.http.fastpath.call import FastCall
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.eligibility import Eligibility
from easymlnb_server.http.fastpath.request_head import RequestHead
from easymlnb_server.http.fastpath.routes import FastRoute

SKIP = "easymlnb_by_handler"
"""Attribute of a request whose body showed that only a handler can answer it."""


class TornadoEntry(Router):
    """Finds simple calls; returns ``None`` for all others, so that the next rule applies."""

    def __init__(
        self,
        eligibility: Eligibility,
        state: ServerContext,
        route: FastRoute,
        application: Application,
    ) -> None:
        self._eligibility = eligibility
        self._state = state
        self._call = route.call
        self._application = application

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        if request.method != "POST" or request.version != "HTTP/1.1" or request.query:
            return None
        if getattr(request, SKIP, False):
            return None
        arguments = kwargs["path_args"]
        name = arguments[0].decode() if arguments else ""
        headers = {name.lower(): value for name, value in request.headers.items()}
        eligible = self._eligibility.check(name, headers, kind=self._call.kind)
        if eligible is None:
            return None
        head = RequestHead(name, headers, time.monotonic(), request.path)
        return _FastRequest(
            self._state, eligible.caller, head, self._call, request, self._application
        )


class _FastRequest(HTTPMessageDelegate):
    """One simple call that Tornado reads."""

    def __init__(
        self,
        state: ServerContext,
        caller: KnownCaller,
        head: RequestHead,
        kind: type[FastCall],
        request: HTTPServerRequest,
        application: Application,
    ) -> None:
        self._state = state
        self._caller = caller
        self._head = head
        self._kind = kind
        self._request = request
        self._application = application
        self._start_line: Any = None
        self._connection: Any = request.connection
        self._handing_over: asyncio.Task[None] | None = None
        self._chunks: list[bytes] = []

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        """Keep the first line for a handler; ``TornadoEntry`` has checked the headers."""
        self._start_line = start_line

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        body = b"".join(self._chunks)
        call = self._kind.create(self._state, self._caller, self._head, body, self)
        if call is None:
            self._handing_over = asyncio.create_task(self._hand_over(body))
            return
        self._connection.set_close_callback(call.on_disconnect)
        call.start()

    async def _hand_over(self, body: bytes) -> None:
        """Let a handler answer the request, whose body has arrived."""
        setattr(self._request, SKIP, True)
        handler = self._application.find_handler(self._request)
        begun = handler.headers_received(self._start_line, self._request.headers)
        if begun is not None:
            await begun
        taken = handler.data_received(body)
        if taken is not None:
            await taken
        handler.finish()

    def on_connection_close(self) -> None:
        """Do nothing: the call has not started before the end of the body."""

    def write(self, data: bytes) -> Awaitable[None]:
        written: Awaitable[None] = self._connection.write(data)
        return written

    def end(self) -> None:
        self._connection.finish()
