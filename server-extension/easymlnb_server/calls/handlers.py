"""The route that calls a service; performance matters most here.

Body bytes go to the worker as they came and results come back as they are: the server parses
neither.
"""

import asyncio
import contextlib
import time
from random import random
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import unquote

from msgspec import structs

from easymlnb.contract.errors import (
    BadRequest,
    CallCancelled,
    DeadlineExceeded,
    Draining,
    EasyMLNBError,
    Forbidden,
    NotLoggedIn,
)
from easymlnb.contract.file_parameters import body_limit
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.calls import options
from easymlnb_server.calls.idempotency import PAGE_PATIENCE, RESUME, IdempotentCall, fingerprint
from easymlnb_server.calls.invoker import Invocation, settle
from easymlnb_server.calls.models import MIN_TIMEOUT, CallRequest
from easymlnb_server.calls.queue_events import queue_position, wait_with_events
from easymlnb_server.calls.responses import EVENTS, EventStreamResponse, Writer, writer
from easymlnb_server.calls.shared_stream import StreamReader
from easymlnb_server.calls.stream_buffer import StreamBuffer, cut_if_stuck
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import custom_access_check
from easymlnb_server.http.spooled_body import SpooledBodyHandler, send_file
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs import promotion
from easymlnb_server.jobs.handlers import send_accepted, send_result, submission
from easymlnb_server.jobs.models import Job
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.services.models import Target
from easymlnb_server.services.registry import Selection
from easymlnb_server.uploads.handlers import owner_of, with_uploads
from easymlnb_server.uploads.spool import SpooledFile

VERSION, MODEL = "X-Easymlnb-Version", "X-Easymlnb-Model"
"""Headers that name the versions of service and models."""


class CallHandler(SpooledBodyHandler):
    """``POST services/{name}/call`` and its siblings.

    ``view`` and ``live`` come from the route. A version is pinned by the route or by a header.

    It is the ``EventSink`` of its call.
    """

    key_scopes: ClassVar = {"POST": (Scope.CALL,)}

    def initialize(self, view: bool = False, live: bool = False) -> None:
        super().initialize()
        self._view = view
        self._live = live
        self._target: Target | None = None
        self._invocation: Invocation | None = None
        self._began = 0.0
        self._submitted = False
        self._writer: Writer | None = None
        self._outbox: StreamBuffer | None = None
        self._once: IdempotentCall | None = None
        self._point = random()
        self._version = ""
        self._answering = self._models = ""
        self._shared: IdempotentCall | None = None
        self._reader: StreamReader | None = None
        self._left = False

    async def before_body(self) -> None:
        """Give a pinned version a deployment."""
        name, pinned = self.path_args[0], self.path_args[1:]
        given = pinned[0] if pinned else self.request.headers.get(VERSION, "")
        if not given:
            return
        if self.page_token is not None or self.is_visitor:
            raise Forbidden("App pages and visitors cannot choose the version that answers them.")
        self._version = unquote(given) if pinned else given.strip()
        await self._wake(name)

    async def _wake(self, name: str) -> None:
        services = self.state.services
        if not self._live and services.allows(self.caller, name, Action.CALL):
            await services.wake(name, self._version)

    def body_limit(self) -> int:
        self._target = self._find(self.path_args[0])
        spec = self._target.spec
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        limit = body_limit(spec.input, spec.max_body, kind)
        if self.is_visitor or (self.caller is not None and self.caller.key is not None):
            limit = self.state.quotas.max_body(spec.name, self.caller, limit)
        return limit

    def accepts_token(self, token: PageToken) -> bool:
        # A page calls what is published under its name; the notebook's draft is its author's.
        # It does not choose among the versions either.
        return token.service == self.path_args[0] and not self._live and not self.path_args[1:]

    def scopes_for(self, method: str) -> tuple[Scope, ...]:
        return () if self._live else super().scopes_for(method)

    def on_anonymous(self) -> None:
        """Accept calls of public services."""
        pinned = len(self.path_args) > 1
        if self._live or pinned or not self.state.services.public(self.path_args[0]):
            raise NotLoggedIn
        self.is_visitor = True

    @property
    def _published_only(self) -> bool:
        """Whether the call is a visitor's, whose service may have been unpublished meanwhile."""
        return self.is_visitor or (self.page_token is not None and self.page_token.public)

    def _find(self, name: str) -> Target:
        return self.state.invoker.find(
            name,
            self.caller,
            live=self._live,
            published_only=self._published_only,
            selection=Selection(
                version=self._version,
                owner=owner_of(self),
                headers=self.request.headers,
                point=self._point,
            ),
        )

    @custom_access_check
    async def post(self, name: str, version: str = "") -> None:
        if self.state.services.draining:
            raise Draining
        if self._version:  # it may have gone to sleep while the body arrived
            await self._wake(name)
        body = with_uploads(self, self.read_spooled_body(), name)
        self._began = time.monotonic()
        wait = options.job_wait(self.request.headers, self.caller, self._target, live=self._live)
        if wait is not None:
            await self._run_as_job(name, body, wait)
            return
        key = options.idempotency_key(self.request.headers)
        request = self._request(name, body)
        result = await (self._run_once(key, request) if key else self._run(request))
        await self._write(result)

    async def _run_as_job(self, name: str, body: Body, wait: float) -> None:
        """Submit the call as a job, and send its result if that is there in time."""
        if self._live:
            raise BadRequest("A live call cannot be a job. Remove the Prefer header.")
        jobs, target = self.state.jobs, self._target
        assert target is not None
        order = await submission(self, name, body, view=self._view, version=self._version)
        if "Prefer" in self.request.headers:
            self.set_header("Preference-Applied", f"wait={wait:g}" if wait else "respond-async")
        events = EVENTS in self.request.headers.get("Accept", "")
        if wait and not events and promotion.may_start_plain(jobs, order, target):
            found = await self._run_plain_first(order, wait)
        else:
            self._submitted = True
            job = await jobs.submit(order)
            found = await jobs.wait(job.id, job.owner, wait) if wait else job
        if isinstance(found, CallResult):
            await self._write(found)
        elif found.state.ended:
            await send_result(self, found)
        else:
            send_accepted(self, found)

    async def _run_plain_first(self, order: Submission, wait: float) -> CallResult | Job:
        """Run the call until it takes too long, and then as a job."""
        jobs = self.state.jobs
        request = structs.replace(
            self._request(order.service, order.body),
            accept=order.accept,
            timeout=jobs.check(order).timeout,
            progress=True,
            may_become_job=True,
        )
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        self._submitted = True
        call = self._invocation = self.state.invoker.start(request, settle(done), self)
        return await promotion.wait(jobs, call, done, order, wait)

    def _request(self, name: str, body: Body) -> CallRequest:
        headers = self.request.headers
        accept = headers.get("Accept", "")
        events = EVENTS in accept
        return CallRequest(
            service=name,
            body=body,
            content_type=headers.get("Content-Type", ""),
            accept="" if events else accept,
            caller=self.caller,
            owner=owner_of(self),
            request_id=self.request_id,
            headers=headers,
            received=time.monotonic() - self.request.request_time(),
            began=self._began,
            timeout=options.timeout(headers, float("inf")),
            live=self._live,
            published_only=self._published_only,
            view=self._view,
            progress=events,
            low_priority=options.is_low_priority(headers),
            version=self._version,
            point=self._point,
        )

    async def _run(self, request: CallRequest) -> CallResult:
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        self._submitted = True
        call = self._invocation = self.state.invoker.start(request, settle(done), self)
        if not isinstance(self._writer, EventStreamResponse):
            return await done
        return await wait_with_events(
            done, self._writer, self._is_ready, lambda: queue_position(call)
        )

    async def _run_once(self, key: str, request: CallRequest) -> CallResult:
        """Run the call, or return the result of the call that has the same key."""
        name = request.service
        target = self._target = self._find(name)
        if target.spec.stream and self.page_token is None:
            raise BadRequest(
                f"{name!r} is a streaming service, and a stream cannot be replayed. Remove the "
                "Idempotency-Key header."
            )
        route = f"{name} {self._view} {self._live} {self._version}"
        place, cache = (request.owner, route, key), self.state.idempotency
        if RESUME in self.request.headers:
            once, new = cache.resume(place), False
        else:
            once, new = cache.join(place, await fingerprint(self.request.headers, request.body))
        self._once = once
        if new:
            once.stop = self._cancel
            if self.page_token is not None:
                once.patience, self._shared = PAGE_PATIENCE, once
            if target.spec.stream:
                self._reader = once.share(self._acknowledge_worker)
            return await cache.run(once, self._run(request))
        return await self._wait_for(once, request, target)

    async def _wait_for(
        self, once: IdempotentCall, request: CallRequest, target: Target
    ) -> CallResult:
        """Wait for a call that another request runs, or repeat its result."""
        self._submitted = True  # the call that runs is counted, not this one
        self.on_accepted(once.target or target)
        assert self._writer is not None
        self.set_header("Idempotency-Replayed", "true")
        limit = min(request.timeout, target.spec.timeout)
        left = max(limit - (time.monotonic() - self._began), MIN_TIMEOUT)
        try:
            with (
                self.state.idempotency.waiting(
                    once, self.request_id, request.owner, request.service
                ) as waiter,
                once.following(self.on_event) as self._reader,
                contextlib.suppress(TimeoutError),
            ):
                async with asyncio.timeout(left):
                    result = await wait_with_events(
                        waiter.result, self._writer, self._is_ready, lambda: None
                    )
                self.on_accepted(once.target or target)
                return result
        finally:
            if not once.result.done():
                self._leave()
        # Not raised: an event stream may have begun.
        return CallResult(error=DeadlineExceeded(limit))

    def on_accepted(self, target: Target) -> None:
        """Begin the response; not before, as a refusal has its own status."""
        self._answering = target.version
        self.set_header(VERSION, target.version)
        if self._once is not None:
            self._once.target = target
        if self._writer is None:
            self._writer = writer(self, self.request.headers.get("Accept", ""), target.spec.stream)
            self._outbox = StreamBuffer(self._writer, self._acknowledge)

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Write progress, or an item of the stream."""
        if self._shared is not None:
            self._shared.report(message, body)
        if self._outbox is None or self._left:
            return
        try:
            self._outbox.event(message, body)
        except EasyMLNBError as error:
            self._cancel(error)

    def _acknowledge(self, size: int) -> None:
        (self._reader.acknowledge if self._reader else self._acknowledge_worker)(size)

    def _acknowledge_worker(self, size: int) -> None:
        if self._invocation is not None:
            self._invocation.acknowledge(size)

    def _is_ready(self) -> bool:
        return self._outbox is not None and self._outbox.empty and not self._left

    def _cancel(self, error: EasyMLNBError) -> None:
        if self._invocation is not None:
            self._invocation.stop(error)

    async def _write(self, result: CallResult) -> None:
        writer = self._writer
        assert writer is not None
        self._models = result.models
        if self._models:
            writer.models(self._models)
        if result.error is not None:
            result.error.request_id = self.request_id
            writer.error(result.error)
        elif result.result is not None:
            milliseconds = result.result.seconds * 1000
            if not isinstance(writer, EventStreamResponse):
                self.set_header("Server-Timing", f"worker;dur={milliseconds:.3f}")
                # An HTML or SVG result must not run as a page of this origin.
                self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
            if isinstance(result.body, SpooledFile):
                writer.begin(result.result, result.body.size)
                try:
                    await send_file(result.body, self._send)
                finally:
                    if self._once is None:  # else others may be sent the same
                        result.body.close()
                writer.end()
            else:
                writer.result(result.result, result.body)
        stream = self.request.connection.stream  # type: ignore[union-attr]
        unsent = self._outbox.unsent if self._outbox is not None else 0
        cut_if_stuck(stream, self.finish(), unsent + len(result.body))

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
        if not self._submitted:  # else the invoker counts it
            self.state.recorder.refused(self._target, self.public_error(value).code)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self._answering:  # Tornado has removed the headers
            self.set_header(VERSION, self._answering)
        if self._models:
            self.set_header(MODEL, self._models)
        super().write_error(status_code, **kwargs)

    def on_finish(self) -> None:
        super().on_finish()
        # They lead back here, and to a large result that would stay until they are collected.
        self._writer = self._outbox = self._once = self._invocation = self._shared = None

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._left = True
        if self._once is not None:
            self._leave()
        else:
            self._cancel(CallCancelled("The caller disconnected."))

    def _leave(self) -> None:
        """Wait no longer for a call that others may wait for."""
        once, self._once = self._once, None
        if self._reader is not None:
            self._reader.leave()
        if once is not None:
            once.leave()
