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
from typing import Protocol

from tornado.iostream import StreamClosedError

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InternalError
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.calls.responses import attachment
from easymlnb_server.context import ServerContext
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import REQUEST_ID, retry_after
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.request_head import RequestHead
from easymlnb_server.http.spooled_body import send_file
from easymlnb_server.uploads.spool import SpooledFile

RESULT = "default-src 'none'; sandbox"
"""Policy of a result: an HTML or SVG one must not run as a page of this origin."""
REFUSAL = "default-src 'none'; frame-ancestors 'self'"

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

CONTROL = re.compile(r"[\x00-\x1f\x7f]")

log = logging.getLogger("easymlnb.requests")


class ResponseWriter(Protocol):
    """The connection that a call came by."""

    def write(self, data: bytes) -> Awaitable[None]:
        """Send a part of the answer; awaited, it is taken by then."""

    def end(self) -> None:
        """The answer is whole."""


class FastCall:
    """One call; ``start`` it, and ``leave`` when its caller does."""

    def __init__(
        self, state: ServerContext, sender: KnownCaller, head: RequestHead, body: bytes,
        way: ResponseWriter,
    ) -> None:  # fmt: skip
        self._state = state
        self._way = way
        self._call: Invocation | None = None
        self._version = ""
        self._sending: asyncio.Task[None] | None = None
        self._gone = False
        headers = head.headers
        given = headers.get("x-request-id", "")
        self._request = CallRequest(
            service=head.service,
            body=body,
            content_type=headers.get("content-type", ""),
            accept=headers.get("accept", ""),
            caller=sender.caller,
            owner=sender.owner,
            request_id=given if REQUEST_ID.match(given) else uuid.uuid4().hex,
            headers=headers,
            received=head.received,
            began=time.monotonic(),
        )

    def start(self) -> None:
        try:
            self._call = self._state.invoker.start(self._request, self._answered)
        except Exception as error:
            self._fail(error)

    def leave(self) -> None:
        """The caller is gone: nothing is written any more."""
        self._gone = True
        if self._call is not None:
            self._call.stop(CallCancelled("The caller disconnected."))

    def _answered(self, call: Invocation, answer: CallResult) -> None:
        """Answer; nothing that goes wrong with one call may reach those who carry others."""
        self._call, self._version = None, call.target.version
        try:
            if answer.result is not None:
                self._write(answer.result, answer.body)
            elif answer.error is not None:
                self._refuse(answer.error)
        except StreamClosedError:
            pass  # the caller left just now; `leave` comes next
        except Exception as error:
            self._fail(error)

    def _write(self, result: Result, body: bytes | SpooledFile) -> None:
        more = f"Server-Timing: worker;dur={result.seconds * 1000:.3f}\r\n"
        if result.filename:
            more += f"Content-Disposition: {attachment(result.filename)}\r\n"
        if CONTROL.search(result.content_type):
            raise ValueError(f"Invalid media type {result.content_type!r}.")
        size = len(body) if isinstance(body, bytes) else body.size
        self._send(self._head(200, result.content_type, RESULT, more, size), body)

    def _fail(self, error: Exception) -> None:
        """Answer an error that came before the call was accepted, or one of ours."""
        extra = {"request_id": self._request.request_id}
        if isinstance(error, EasyMLNBError):
            log.info("refused", extra={**extra, "code": error.code})
        else:
            log.error("failed", exc_info=error, extra=extra)
            error = InternalError()
        with contextlib.suppress(StreamClosedError):
            self._refuse(error)

    def _refuse(self, error: EasyMLNBError) -> None:
        more = ""
        if (seconds := retry_after(error)) is not None:
            more = f"Retry-After: {seconds}\r\n"
        body = json.dumps(error.to_dict(self._request.request_id)).encode()
        self._send(self._head(error.status, "application/json", REFUSAL, more, len(body)), body)

    def _head(self, status: int, media_type: str, policy: str, more: str, size: int) -> bytes:
        if self._version:
            more += f"X-Easymlnb-Version: {self._version}\r\n"
        head = HEAD.format(
            status, responses[status], media_type, policy, _date(int(time.time())),
            self._request.request_id, more, size,
        )  # fmt: skip
        return head.encode("latin-1")

    def _send(self, head: bytes, body: bytes | SpooledFile) -> None:
        if isinstance(body, SpooledFile):
            self._sending = asyncio.create_task(self._send_file(head, body))
        elif not self._gone:
            self._way.write(head + body)
            self._way.end()

    async def _send_file(self, head: bytes, file: SpooledFile) -> None:
        try:
            if not self._gone:
                self._way.write(head)
                await send_file(file, self._way.write)
                self._way.end()
        except StreamClosedError:
            self._gone = True
        finally:
            file.close()


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
