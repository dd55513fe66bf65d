"""Run one call, from its bytes to its response.

The same code serves workers, live services and the form under a cell; they differ only in the
thread it runs on and in how that thread can be interrupted (``guard``).
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from types import TracebackType
from typing import Any

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, ResultNotEncodable
from easymlnb.contract.spec import VIEW
from easymlnb.contract.texts import all_sendable, sendable
from easymlnb.contract.worker_protocol import Call, Failure, Item, Result
from easymlnb.runtime import body_files, event_loop
from easymlnb.runtime.context import Context, Emit, running
from easymlnb.runtime.failures import Raised as Raised
from easymlnb.runtime.failures import Stopped as Stopped
from easymlnb.runtime.failures import told
from easymlnb.runtime.figures import own_figures
from easymlnb.runtime.tqdm_progress import report_bars
from easymlnb.services import codec, presentation
from easymlnb.services.definition import Service
from easymlnb.types.temp_files import scratch

Guard = Callable[[tuple[int, ...]], AbstractContextManager[None]]
"""Makes the block in which the calls of these ids can be interrupted."""

RESULT_IN_VIEW = 2**20
"""Bytes of JSON up to which a view also carries the raw result."""


def _no_guard(calls: tuple[int, ...]) -> AbstractContextManager[None]:
    return nullcontext()


class CallAttempt:
    """What becomes of one call: used as a context manager, it keeps the error of its block."""

    __slots__ = ("call", "failure", "started", "trace", "values", "written")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.started = time.perf_counter()
        self.values: dict[str, Any] = {}
        self.written = codec.EncodedBody("", b"")
        self.failure: EasyMLNBError | None = None
        self.trace = ""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        if isinstance(error, Stopped):
            self.failure = CallCancelled()
        else:
            self.failure, self.trace = told(error)
        return True

    def end(self, log: str) -> tuple[Result | Failure, bytes]:
        """Return the call's one answer, whatever it is; it never raises."""
        seconds = time.perf_counter() - self.started
        if self.failure is None:
            with self:
                return self._result(seconds, log)
        assert self.failure is not None
        failure = Failure(
            id=self.call.id,
            code=self.failure.code,
            message=self.failure.message,
            details=self.failure.details,
            seconds=seconds,
            log=log,
            trace=self.trace,
        )
        return failure, b""

    def _result(self, seconds: float, log: str) -> tuple[Result, bytes]:
        written = self.written
        file = body_files.leave(self.call, written.body)
        result = Result(
            id=self.call.id,
            content_type=sendable(written.content_type),
            seconds=seconds,
            filename=sendable(written.filename),
            log=log,
            file=file,
        )
        return result, b"" if file else bytes(written.body)


def answer(
    service: Service, call: Call, body: bytes, emit: Emit, guard: Guard = _no_guard
) -> tuple[Result | Failure, bytes]:
    """Run one call in this thread: emit its events, return its one ``Result`` or ``Failure``."""
    attempt = CallAttempt(call)
    context = Context(call, emit)
    with running(context), own_figures(context), scratch(), attempt:
        report_bars()
        values = body_files.read(service, call, body)
        # Only the author's code runs under the guard: an interrupt breaks nothing of ours.
        with guard((call.id,)):
            value = _run(service, values, call, emit)
            seen = view_of(service, values, value) if viewed(service, call) else None
        attempt.written = write(service, call, value, seen)
    return attempt.end(context.log.text())


def viewed(service: Service, call: Call) -> bool:
    """Say whether a view is to be made of the result."""
    return call.view and not service.spec.stream


def write(service: Service, call: Call, value: Any, seen: Any) -> codec.EncodedBody:
    """Turn a result, and what the view made of it, into the body that the caller asked for."""
    if service.spec.stream:
        return codec.EncodedBody("application/json", b"")
    if call.view:
        return codec.EncodedBody(VIEW, _view_json(service, value, seen))
    return codec.encode_response(service.schema, value, call.accept)


def _run(service: Service, values: dict[str, Any], call: Call, emit: Emit) -> Any:
    """Call the function; a generator's items are emitted as they come."""
    try:
        value = event_loop.plain(service.function(**values))
        if not service.spec.stream:
            return value
        # A stopped generator is closed here, so that its own clean-up runs before the answer.
        with closing(event_loop.items(value)) as items:
            for item in items:
                emit(Item(id=call.id), item_of(service, call, item))
        return None
    except (Stopped, ResultNotEncodable):
        raise
    except BaseException as error:
        raise Raised(error) from error


def item_of(service: Service, call: Call, item: Any) -> bytes:
    """Turn one item of a stream into the JSON that the caller asked for."""
    return _json({"parts": presentation.to_parts(item)}) if call.view else service.schema.dump(item)


def view_of(service: Service, values: dict[str, Any], value: Any) -> Any:
    """Return what the author wants people to see: the view's return value, else the result."""
    if service.view_function is None:
        return value
    wanted = service.view_parameters
    try:
        seen = service.view_function(
            **{k: v for k, v in values.items() if k in wanted}, result=value
        )
        return event_loop.plain(seen)
    except Stopped:
        raise
    except BaseException as error:
        raise Raised(error) from error


def _view_json(service: Service, value: Any, seen: Any) -> bytes:
    schema = service.schema if service.view_function is None else None
    try:
        raw = service.schema.dump(value)
    except ResultNotEncodable:
        if service.view_function is None:
            raise
        raw = b"null"
    result = raw if len(raw) <= RESULT_IN_VIEW else b"null"
    return b'{"parts":' + _json(presentation.to_parts(seen, schema)) + b',"result":' + result + b"}"


def _json(value: Any) -> bytes:
    try:
        text = _dumped(value)
        # Perhaps a lone surrogate. What people are shown is shown in any case, escaped as text.
        return (_dumped(all_sendable(value)) if "\\ud" in text else text).encode()
    except ValueError as error:  # a number of more digits than Python writes
        raise ResultNotEncodable(f"The result cannot be displayed: {error}") from error


def _dumped(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
