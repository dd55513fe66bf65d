"""Calling a service. The route everything is measured by, so it does nothing a call does not need.

Body bytes go to the worker as they came and results come back as they are: the server parses
neither.
"""

import asyncio
import contextlib
import dataclasses
import time
from types import TracebackType

from tornado import web

from easymlnb.contract.errors import BadRequest, CallCancelled, Draining, NotReady
from easymlnb.contract.frames import Call, Item, Progress
from easymlnb.contract.takers import body_limit
from easymlnb_server.apps.passes import Pass
from easymlnb_server.engine.bodies import Body, Large
from easymlnb_server.engine.pending import Answer, Pending
from easymlnb_server.handlers.answers import EVENTS, Events, Writer, writer
from easymlnb_server.handlers.ends import note
from easymlnb_server.handlers.spooled import SpooledBodyHandler, send_file
from easymlnb_server.handlers.uploads import named
from easymlnb_server.metrics import NOBODY, Series
from easymlnb_server.services import Target
from easymlnb_server.spool import Spooled

PING = 15.0
"""Seconds between two signs of life on an event stream."""


class CallHandler(SpooledBodyHandler):
    """``POST services/{name}/call`` and its siblings; ``view`` and ``live`` come from the route."""

    def initialize(self, view: bool = False, live: bool = False) -> None:
        super().initialize()
        self._view = view
        self._live = live
        self._pending: Pending | None = None
        self._target: Target | None = None
        self._series: Series | None = None
        self._writer: Writer | None = None
        self._began = 0.0

    def body_limit(self) -> int:
        self._target = self.state.services.target(self.path_args[0], live=self._live)
        spec = self._target.spec
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return body_limit(spec.input, spec.max_body, kind)

    def admits(self, held: Pass) -> bool:
        name = self.path_args[0]
        if held.service != name:
            return False
        # What is no longer public closes at once, also for pages that are open.
        return not held.public or self.state.services.target(name).spec.public

    @web.authenticated
    async def post(self, name: str) -> None:
        if self.state.services.draining:
            raise Draining
        body = self._with_uploads(self.take(), name)
        self._began = time.monotonic()
        answered = False
        while not answered:
            # Asked anew: while a large body came in, or the call stood in line, another version
            # may have taken over.
            self._target = self.state.services.target(name, live=self._live)
            answered = await self._ask(self._target, body)

    def _with_uploads(self, body: Body, name: str) -> Body:
        """Add the files to a body that the headers name."""
        ids = named(self.request)
        if not ids:
            return body
        large = body if isinstance(body, Large) else Large(data=body)
        return dataclasses.replace(large, uploads=self.state.uploads.files(ids, name))

    async def _ask(self, target: Target, body: Body) -> bool:
        """Write the answer; ``False`` if the version was replaced before the call began."""
        accept = self.request.headers.get("Accept", "")
        call = self._call(target, accept)
        pending = target.pool.submit(call, body, self._on_event, spec=target.spec)
        self._pending = pending
        series = self._series = self.state.metrics.series(target.spec.name, target.version)
        series.open.add(pending)
        self.state.activity.touch(target.kernel)
        self.set_header("X-Easymlnb-Version", target.version)
        out = self._writer = self._writer or writer(self, accept, target.spec.stream)
        try:
            answer = await self._answer(pending, out)
        finally:
            self._pending = None
            series.open.discard(pending)
            self.state.activity.touch(target.kernel)
        stopped = not pending.started and isinstance(answer.error, NotReady)
        if stopped and self.state.services.replaced(target):
            return False
        note(
            self.state,
            target,
            series,
            answer,
            request_id=self.request_id,
            headers=self.request.headers,
            whole=self.request.request_time(),
        )
        await self._write(answer, out)
        return True

    def _call(self, target: Target, accept: str) -> Call:
        events = EVENTS in accept
        return Call(
            id=0,
            service=target.spec.name,
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
        return max(self._seconds(limit) - (time.monotonic() - self._began), 0.001)

    def _seconds(self, limit: float) -> float:
        asked = self.request.headers.get("X-Timeout")
        if asked is None:
            return limit
        try:
            seconds = float(asked)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            raise BadRequest("X-Timeout must be a positive number of seconds.")
        return min(seconds, limit)

    async def _answer(self, pending: Pending, out: Writer) -> Answer:
        if not isinstance(out, Events):
            return await pending.answered
        while True:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(pending.answered), PING)
            out.ping()

    def _on_event(self, message: Progress | Item, body: bytes) -> None:
        if self._writer is not None:
            self._writer.event(message, body)

    async def _write(self, answer: Answer, out: Writer) -> None:
        if answer.error is not None:
            answer.error.request_id = self.request_id
            out.error(answer.error)
        elif answer.result is not None:
            milliseconds = answer.result.seconds * 1000
            if not isinstance(out, Events):
                self.set_header("Server-Timing", f"worker;dur={milliseconds:.3f}")
                # An HTML or SVG result must not run as a page of this origin.
                self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
            if isinstance(answer.body, Spooled):
                out.begin(answer.result, answer.body.size)
                await send_file(answer.body, self._send)
                out.end()
            else:
                out.result(answer.result, answer.body)
        self.finish()

    async def _send(self, chunk: bytes) -> None:
        self.write(chunk)
        await self.flush()

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

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._pending is not None and self._target is not None:
            self._target.pool.cancel(self._pending, CallCancelled("The caller left."))
