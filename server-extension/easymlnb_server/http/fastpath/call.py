"""A call on the fast path, from its body to its response."""

import asyncio
import contextlib
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable
from email.utils import formatdate
from functools import lru_cache
from http.client import responses
from typing import Any, ClassVar, Protocol

from tornado.iostream import StreamClosedError

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InternalError
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.calls.responses import attachment
from easymlnb_server.context import ServerContext
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import REQUEST_ID, retry_after
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.eligibility import JSON, PLAIN, RouteKind
from easymlnb_server.http.fastpath.request_head import RequestHead
from easymlnb_server.http.rate_limits import rate_limit_headers
from easymlnb_server.http.spooled_body import send_file
from easymlnb_server.uploads.spool import SpooledFile

RESULT_POLICY = "default-src 'none'; sandbox"
"""Policy for results: HTML or SVG must not run as a page of this origin."""
ERROR_POLICY = "default-src 'none'; frame-ancestors 'self'"

HEAD = (
    "HTTP/1.1 {} {}\r\n"
    "Content-Type: {}\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: {}\r\n"
    "Cache-Control: no-store\r\n"
    "Date: {}\r\n"
    "X-Request-Id: {}\r\n"
    "{}"
    "Content-Length: {}\r\n\r\n"
)

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")

log = logging.getLogger("easymlnb.requests")


class ResponseWriter(Protocol):
    """The connection of a call."""

    def write(self, data: bytes) -> Awaitable[None]:
        """Send a part of the response; await it to wait for the caller."""

    def end(self) -> None:
        """Finish the response."""


class FastCall:
    """One call; ``on_disconnect`` cancels it."""

    kind: ClassVar[RouteKind] = PLAIN

    @classmethod
    def create(
        cls, state: ServerContext, known: KnownCaller, head: RequestHead, body: bytes,
        writer: ResponseWriter,
    ) -> "FastCall | None":  # fmt: skip
        """Return the call of a request; ``None`` if only the handlers can answer its body."""
        return cls(state, known, head, body, writer)

    def __init__(
        self, state: ServerContext, known: KnownCaller, head: RequestHead, body: bytes,
        writer: ResponseWriter,
    ) -> None:  # fmt: skip
        self._state = state
        self._known = known
        self._head = head
        self._body = body
        self._writer = writer
        self._call: Invocation | None = None
        self._version = self._models = ""
        self._sending: asyncio.Task[None] | None = None
        self._disconnected = False
        request_id = head.headers.get("x-request-id", "")
        self.request_id = request_id if REQUEST_ID.match(request_id) else uuid.uuid4().hex

    def start(self) -> None:
        try:
            self._call = self._state.invoker.start(self._request(), self._on_result)
        except Exception as error:
            self._fail(error)

    def _request(self) -> CallRequest:
        headers = self._head.headers
        return self.call_request(
            self._head.service,
            self._body,
            headers.get("content-type", ""),
            accept=headers.get("accept", ""),
        )

    def call_request(
        self, service: str, body: Body, content_type: str = JSON, **fields: Any
    ) -> CallRequest:
        """Return the call of a service; ``fields`` are fields of a ``CallRequest``."""
        return CallRequest(
            service=service,
            body=body,
            content_type=content_type,
            caller=self._known.caller,
            owner=self._known.owner,
            request_id=self.request_id,
            headers=self._head.headers,
            received=self._head.received,
            began=time.monotonic(),
            **fields,
        )

    def on_disconnect(self) -> None:
        """Cancel the call; nothing more is written."""
        self._disconnected = True
        if self._call is not None:
            self._call.stop(CallCancelled("The caller disconnected."))

    def _on_result(self, call: Invocation, outcome: CallResult) -> None:
        """Write the response; errors of one call must not affect other calls."""
        self._call, self._version, self._models = None, call.target.version, outcome.models
        try:
            if outcome.result is not None:
                self._write(outcome.result, outcome.body, call)
            elif outcome.error is not None:
                self._refuse(outcome.error)
        except StreamClosedError:
            pass  # the caller disconnected; `on_disconnect` follows
        except Exception as error:
            self._fail(error)

    def _write(self, result: Result, body: bytes | SpooledFile, call: Invocation) -> None:
        extra_headers = f"Server-Timing: worker;dur={result.seconds * 1000:.3f}\r\n"
        if result.filename:
            extra_headers += f"Content-Disposition: {attachment(result.filename)}\r\n"
        if CONTROL_CHARACTER.search(result.content_type):
            raise ValueError(f"Invalid media type {result.content_type!r}.")
        size = len(body) if isinstance(body, bytes) else body.size
        self._send(
            self._response(200, result.content_type, RESULT_POLICY, extra_headers, size), body
        )

    def _fail(self, error: Exception) -> None:
        """Send an error from before the call was accepted, or an internal error."""
        extra = {"request_id": self.request_id}
        if isinstance(error, EasyMLNBError):
            log.info("refused", extra={**extra, "code": error.code})
        else:
            log.error("failed", exc_info=error, extra=extra)
            error = InternalError()
        with contextlib.suppress(StreamClosedError):
            self._refuse(error)

    def _refuse(self, error: EasyMLNBError) -> None:
        extra_headers = ""
        if (seconds := retry_after(error)) is not None:
            extra_headers = f"Retry-After: {seconds}\r\n"
        for name, value in rate_limit_headers(error).items():
            extra_headers += f"{name}: {value}\r\n"
        status, media_type, body = self._error(error)
        self._send(self._response(status, media_type, ERROR_POLICY, extra_headers, len(body)), body)

    def _error(self, error: EasyMLNBError) -> tuple[int, str, bytes]:
        """Return the status, the media type and the body of the response to a failed call."""
        return error.status, JSON, json.dumps(error.to_dict(self.request_id)).encode()

    def _response(
        self, status: int, media_type: str, policy: str, extra_headers: str, size: int
    ) -> bytes:
        if self._version:
            extra_headers += f"X-Easymlnb-Version: {self._version}\r\n"
        if self._models:
            extra_headers += f"X-Easymlnb-Model: {self._models}\r\n"
        head = HEAD.format(
            status, responses.get(status, "Error"), media_type, policy, _date(int(time.time())),
            self.request_id, extra_headers, size,
        )  # fmt: skip
        return head.encode("latin-1")

    def _send(self, head: bytes, body: bytes | SpooledFile, offset: int = 0) -> None:
        """Send a response; of a file from ``offset`` on."""
        if isinstance(body, SpooledFile):
            self._sending = asyncio.create_task(self._send_file(head, body, offset))
        elif not self._disconnected:
            self._writer.write(head + body)
            self._writer.end()

    async def _send_file(self, head: bytes, file: SpooledFile, offset: int) -> None:
        try:
            if not self._disconnected:
                self._writer.write(head)
                await send_file(file, self._writer.write, offset)
                self._writer.end()
        except StreamClosedError:
            self._disconnected = True
        finally:
            file.close()


def find_spec(
    state: ServerContext, known: KnownCaller, head: RequestHead, body: bytes
) -> ServiceSpec | None:
    """Return the service of a call; ``None`` if only the handlers can answer it.

    They also answer bodies over the limit of the caller.
    """
    try:
        spec = state.invoker.find(head.service, known.caller).spec
    except EasyMLNBError:
        return None
    limit = state.invoker.quotas.max_body(spec.name, known.caller, spec.max_body)
    return spec if len(body) <= limit else None


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
