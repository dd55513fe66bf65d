"""A call on the fast path, from its body to its response."""

import asyncio
import contextlib
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Iterator, Mapping
from email.utils import formatdate
from functools import lru_cache, partial
from http.client import responses
from typing import Protocol

from tornado.iostream import StreamClosedError

from easymlnb.contract.errors import CallCancelled, Draining, EasyMLNBError, InternalError, NotReady
from easymlnb.contract.worker_protocol import Call, Result
from easymlnb_server.calls.record import note
from easymlnb_server.calls.responses import attachment
from easymlnb_server.context import ServerContext
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.http.base import REQUEST_ID, retry_after
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.spooled_body import send_file
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.names import plain
from easymlnb_server.observability.metrics import CallMetrics
from easymlnb_server.services.registry import Target
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
        self,
        state: ServerContext,
        sender: KnownCaller,
        name: str,
        headers: Mapping[str, str],
        body: bytes,
        way: ResponseWriter,
    ) -> None:
        self._state = state
        self._sender = sender
        self._name = name
        self._headers = headers
        self._body = body
        self._way = way
        self._target: Target | None = None
        self._pending: CallHandle | None = None
        self._series: CallMetrics | None = None
        self._sending: asyncio.Task[None] | None = None
        self._gone = False
        given = headers.get("x-request-id", "")
        self._id = given if REQUEST_ID.match(given) else uuid.uuid4().hex
        self._began = time.monotonic()

    def start(self) -> None:
        with self._answering():
            self._ask()

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Answer what goes wrong inside; nothing of one call may reach those who carry others."""
        try:
            yield
        except StreamClosedError:
            pass  # the caller left just now; `leave` comes next
        except Exception as error:
            with contextlib.suppress(StreamClosedError):
                self._fail(error)

    def leave(self) -> None:
        """The caller is gone: nothing is written any more."""
        self._gone = True
        if self._pending is not None and self._target is not None:
            self._target.pool.cancel(self._pending, CallCancelled("The caller disconnected."))

    def _ask(self) -> None:
        """Hand the call in; asked again when another version took over before it began."""
        state = self._state
        if state.services.draining:
            raise Draining
        target = state.services.target_for(self._sender.caller, self._name, Action.CALL)
        self._target = target
        spec = target.spec
        if spec.stream or len(self._body) > spec.max_body:
            raise NotReady("A new version has just been deployed. Retry the request.")
        headers = self._headers
        call = Call(
            id=0,
            service=plain(target.name),
            content_type=headers.get("content-type", ""),
            accept=headers.get("accept", ""),
            seconds=max(spec.timeout - (time.monotonic() - self._began), 0.001),
            request_id=self._id,
        )
        pending = self._pending = target.pool.submit(call, self._body, spec=spec)
        pending.owner = self._sender.owner
        pending.timeout = spec.timeout
        series = self._series = state.metrics.series(spec.name, target.version)
        series.open.add(pending)
        state.activity.touch(target.kernel)
        if pending.answered.done():
            self._answered(pending.answered.result())
        else:
            pending.on_done = self._answered

    def _answered(self, answer: CallResult) -> None:
        with self._answering():
            self._end(answer)

    def _end(self, answer: CallResult) -> None:
        target, pending, series, state = self._target, self._pending, self._series, self._state
        assert target is not None and pending is not None and series is not None
        self._pending = None
        series.open.discard(pending)
        state.activity.touch(target.kernel)
        stopped = not pending.started and isinstance(answer.error, NotReady)
        if stopped and state.services.replaced(target):
            self._ask()
            return
        whole = time.monotonic() - self._began
        # All callers of a batch first; nobody can look before it is noted.
        asyncio.get_running_loop().call_soon(partial(
            note, state, target, series, pending, answer,
            request_id=self._id, headers=self._headers, whole=whole,
        ))  # fmt: skip
        if answer.result is not None:
            self._write(answer.result, answer.body)
        elif answer.error is not None:
            self._refuse(answer.error)

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
        told = {"request_id": self._id}
        if isinstance(error, EasyMLNBError):
            log.info("refused", extra={**told, "code": error.code})
        else:
            log.error("failed", exc_info=error, extra=told)
            error = InternalError()
        if self._series is None and self._target is not None:
            series = self._state.metrics.series(self._target.spec.name, self._target.version)
            series.refused[error.code] += 1
        self._refuse(error)

    def _refuse(self, error: EasyMLNBError) -> None:
        more = ""
        if (seconds := retry_after(error)) is not None:
            more = f"Retry-After: {seconds}\r\n"
        body = json.dumps(error.to_dict(self._id)).encode()
        self._send(self._head(error.status, "application/json", REFUSAL, more, len(body)), body)

    def _head(self, status: int, media_type: str, policy: str, more: str, size: int) -> bytes:
        if self._series is not None and self._target is not None:
            more += f"X-Easymlnb-Version: {self._target.version}\r\n"
        head = HEAD.format(
            status, responses[status], media_type, policy, _date(int(time.time())), self._id,
            more, size,
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
