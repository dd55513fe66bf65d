"""The route that calls a service; performance matters most here.

Body bytes go to the worker as they came and results come back as they are: the server parses
neither.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import time
from types import TracebackType
from typing import Any

from tornado import web

from easymlnb.contract.errors import (
    BadRequest,
    CallCancelled,
    DeadlineExceeded,
    Draining,
    EasyMLNBError,
    NotReady,
    ServiceNotFound,
)
from easymlnb.contract.file_parameters import body_limit
from easymlnb.contract.worker_protocol import Call, Item, Progress
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.calls import options
from easymlnb_server.calls.idempotency import IdempotentCall
from easymlnb_server.calls.queue_events import answered, standing
from easymlnb_server.calls.record import note
from easymlnb_server.calls.responses import EVENTS, EventStreamResponse, Writer, writer
from easymlnb_server.calls.stream_buffer import StreamBuffer, cut_if_stuck
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.http.spooled_body import SpooledBodyHandler, send_file
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.names import plain
from easymlnb_server.observability.metrics import NOBODY, CallMetrics
from easymlnb_server.openapi.document import CALLING, JSON, TEXT, Operation, ok
from easymlnb_server.openapi.headers import CALL
from easymlnb_server.openapi.schemas import View
from easymlnb_server.services.registry import LIVE, Target
from easymlnb_server.uploads.handlers import HEADER, named, owner_of
from easymlnb_server.uploads.spool import SpooledFile


class CallHandler(SpooledBodyHandler):
    """``POST services/{name}/call`` and its siblings; ``view`` and ``live`` come from the route."""

    def initialize(self, view: bool = False, live: bool = False) -> None:
        super().initialize()
        self._view = view
        self._live = live
        self._pending: CallHandle | None = None
        self._target: Target | None = None
        self._series: CallMetrics | None = None
        self._writer: Writer | None = None
        self._outbox: StreamBuffer | None = None
        self._once: IdempotentCall | None = None
        self._patient = False
        self._began = 0.0

    def body_limit(self) -> int:
        self._target = self._find(self.path_args[0])
        spec = self._target.spec
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return body_limit(spec.input, spec.max_body, kind)

    def admits(self, held: PageToken) -> bool:
        # A page calls what is published under its name; the notebook's draft is its author's.
        return held.service == self.path_args[0] and not self._live

    def _find(self, name: str) -> Target:
        found = self.target(name, Action.CALL, live=self._live)
        if self.held is not None and self.held.public and found.version == LIVE:
            # The version was removed meanwhile.
            raise ServiceNotFound(name)
        return found

    @web.authenticated
    async def post(self, name: str) -> None:
        if self.state.services.draining:
            raise Draining
        body = self._with_uploads(self.take(), name)
        self._began = time.monotonic()
        self._patient = options.patient(self.request.headers)
        key = options.idempotency_key(self.request.headers)
        answer = await (self._run_once(key, name, body) if key else self._run(name, body))
        await self._write(answer)

    async def _run(self, name: str, body: Body) -> CallResult:
        while True:
            # Asked anew: while a large body came in, or the call stood in line, another version
            # may have taken over.
            self._target = self._find(name)
            answer = await self._ask(self._target, body)
            if answer is not None:
                return answer

    async def _run_once(self, key: str, name: str, body: Body) -> CallResult:
        """Run the call, or wait for the one that runs under this key, or repeat its answer."""
        target = self._target = self._find(name)
        if target.spec.stream:
            raise BadRequest(
                f"{name!r} is a streaming service, and a stream cannot be replayed. Remove the "
                "Idempotency-Key header."
            )
        route = f"{name} {self._view} {self._live}"
        fingerprint = await self._fingerprint(body)
        once, new = self.state.keys.join((owner_of(self), route, key), fingerprint)
        self._once = once
        if new:
            once.stop = self._cancel
            return await self.state.keys.run(once, self._run(name, body))
        out = self._open(target)
        self.set_header("Idempotency-Replayed", "true")
        self._series = self.state.metrics.series(name, target.version)  # it is counted there
        try:
            with (
                self.state.keys.waiting(once, self.request_id, owner_of(self), name) as wait,
                contextlib.suppress(TimeoutError),
            ):
                async with asyncio.timeout(self._left(target.spec.timeout)):
                    return await answered(wait.answer, out, self._ready, lambda: None)
        finally:
            if not once.answer.done():
                self._leave()
        raise DeadlineExceeded(options.seconds(self.request.headers, target.spec.timeout))

    async def _fingerprint(self, body: Body) -> bytes:
        """Return what tells this request from others; the priority and deadline do not."""
        headers = self.request.headers
        told = "\n".join(headers.get(n, "") for n in ("Content-Type", "Accept", HEADER))
        made = hashlib.sha256(told.encode())
        if isinstance(body, bytes):
            made.update(body)
        elif body.file is None:
            made.update(body.data)
        else:
            await asyncio.to_thread(body.file.feed, made.update)
        return made.digest()

    def _with_uploads(self, body: Body, name: str) -> Body:
        """Add the files to a body that the headers name."""
        ids = named(self.request)
        if not ids:
            return body
        large = body if isinstance(body, FileBody) else FileBody(data=body)
        return dataclasses.replace(large, uploads=self.state.uploads.files(ids, name))

    async def _ask(self, target: Target, body: Body) -> CallResult | None:
        """Return the answer; ``None`` if the version was replaced before the call began."""
        pending = target.pool.submit(
            self._call(target),
            body,
            self._on_event,
            spec=target.spec,
            patient=self._patient,
        )
        pending.owner = owner_of(self)
        pending.limit = options.seconds(self.request.headers, target.spec.timeout)
        self._pending = pending
        out = self._open(target)  # not before: a refusal has its own status
        series = self._series = self.state.metrics.series(target.spec.name, target.version)
        series.open.add(pending)
        self.state.activity.touch(target.kernel)
        try:
            answer = await self._answer(target, pending, out)
        finally:
            self._pending = None
            series.open.discard(pending)
            self.state.activity.touch(target.kernel)
        stopped = not pending.started and isinstance(answer.error, NotReady)
        if stopped and self.state.services.replaced(target):
            return None
        note(
            self.state,
            target,
            series,
            pending,
            answer,
            request_id=self.request_id,
            headers=self.request.headers,
            whole=self.request.request_time(),
        )
        return answer

    def _open(self, target: Target) -> Writer:
        """Return what writes the answer; an event stream begins now."""
        self.set_header("X-Easymlnb-Version", target.version)
        if self._writer is None:
            self._writer = writer(self, self.request.headers.get("Accept", ""), target.spec.stream)
            self._outbox = StreamBuffer(self._writer, self._seen)
        return self._writer

    async def _answer(self, target: Target, pending: CallHandle, out: Writer) -> CallResult:
        if not isinstance(out, EventStreamResponse):
            return await pending.answered
        return await answered(
            pending.answered, out, self._ready, lambda: standing(pending, target.pool)
        )

    def _call(self, target: Target) -> Call:
        accept = self.request.headers.get("Accept", "")
        events = EVENTS in accept
        return Call(
            id=0,
            service=plain(target.name),
            content_type=self.request.headers.get("Content-Type", ""),
            accept="" if events or target.spec.stream else accept,
            seconds=self._left(target.spec.timeout),
            request_id=self.request_id,
            view=self._view,
            progress=events,
        )

    def _left(self, limit: float) -> float:
        """Return the seconds that are left of the call's deadline."""
        # At least a moment, for a call that changes its line at its very end.
        seconds = options.seconds(self.request.headers, limit)
        return max(seconds - (time.monotonic() - self._began), 0.001)

    def _on_event(self, message: Progress | Item, body: bytes) -> None:
        if self._outbox is None:
            return
        try:
            self._outbox.event(message, body)
        except EasyMLNBError as error:
            self._cancel(error)

    def _seen(self, size: int) -> None:
        if self._pending is not None and self._target is not None:
            self._target.pool.seen(self._pending, size)

    def _ready(self) -> bool:
        return self._outbox is not None and self._outbox.empty

    def _cancel(self, error: EasyMLNBError) -> None:
        if self._pending is not None:
            self._pending.stop(error)

    async def _write(self, answer: CallResult) -> None:
        out = self._writer
        assert out is not None
        if answer.error is not None:
            answer.error.request_id = self.request_id
            out.error(answer.error)
        elif answer.result is not None:
            milliseconds = answer.result.seconds * 1000
            if not isinstance(out, EventStreamResponse):
                self.set_header("Server-Timing", f"worker;dur={milliseconds:.3f}")
                # An HTML or SVG result must not run as a page of this origin.
                self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
            if isinstance(answer.body, SpooledFile):
                out.begin(answer.result, answer.body.size)
                try:
                    await send_file(answer.body, self._send)
                finally:
                    if self._once is None:  # else others may be sent the same
                        answer.body.close()
                out.end()
            else:
                out.result(answer.result, answer.body)
        stream = self.request.connection.stream  # type: ignore[union-attr]
        unsent = self._outbox.unsent if self._outbox is not None else 0
        cut_if_stuck(stream, self.finish(), unsent + len(answer.body))

    async def _send(self, chunk: bytes) -> None:
        self.write(chunk)
        sent = self.flush()
        cut_if_stuck(self.request.connection.stream, sent, len(chunk))  # type: ignore[union-attr]
        await sent

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        super().log_exception(typ, value, tb)
        if self._series is None:  # else it was accepted, and is counted by its end
            target = self._target
            key = (target.spec.name, target.version) if target is not None else NOBODY
            self.state.metrics.series(*key).refused[self.public(value).code] += 1

    def on_finish(self) -> None:
        super().on_finish()
        # They lead back here, and so to a large result that would stay until they are collected.
        self._writer = self._outbox = self._once = None

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._once is not None:
            self._leave()
        else:
            self._cancel(CallCancelled("The caller disconnected."))

    def _leave(self) -> None:
        """Wait no longer for a call that others may wait for."""
        once, self._once = self._once, None
        if once is not None:
            once.leave()


_RESULT = ok("The result itself.", {JSON: {}, "text/event-stream": TEXT})
_VIEW = ok("What a person should see.", {JSON: View, "text/event-stream": TEXT})
_CALL: dict[str, Any] = {
    "tag": "Call",
    "body": {JSON: {"type": "object"}, "multipart/form-data": {"type": "object"}},
    "headers": CALL,
}
_LIVE = "As without `/live`, but the author's kernel answers, with its current code."

OPERATIONS = {
    "POST /services/{name}/call": Operation("call", "Call a service", _RESULT, CALLING, **_CALL),
    "POST /services/{name}/view": Operation(
        "view", "Call a service for a person", _VIEW, CALLING, **_CALL
    ),
    "POST /services/{name}/live/call": Operation(
        "callLive", "Call the live service", _RESULT, CALLING, description=_LIVE, **_CALL
    ),
    "POST /services/{name}/live/view": Operation(
        "viewLive", "Call the live service for a person", _VIEW, CALLING, description=_LIVE, **_CALL
    ),
}
