"""Run one call, from its bytes to its response.

Workers, live services and the form under a cell share this code. They differ only in the thread
of the call, and in how that thread can be interrupted (``guard``).
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from types import TracebackType
from typing import Any

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, ResultNotEncodable
from easymlnb.contract.message import all_sendable, sendable
from easymlnb.contract.spec import VIEW, WHOLE_VIEW
from easymlnb.contract.tensors import is_tensors
from easymlnb.contract.worker_protocol import Call, Failure, Item, Result
from easymlnb.runtime import body_files, event_loop
from easymlnb.runtime.context import Context, Emit, NewModels, call_context
from easymlnb.runtime.credentials import CREDENTIALS
from easymlnb.runtime.failures import CallInterrupted, UserCodeError, to_public
from easymlnb.runtime.figures import own_figures
from easymlnb.runtime.tqdm_progress import report_bars
from easymlnb.services import codec, presentation
from easymlnb.services.definition import Service
from easymlnb.types.temp_files import scratch

Guard = Callable[[tuple[int, ...]], AbstractContextManager[None]]
"""Returns the context in which the calls with these ids can be interrupted."""

RESULT_IN_VIEW = 2**20
"""Bytes of JSON up to which a view also contains the raw result."""


def _no_guard(calls: tuple[int, ...]) -> AbstractContextManager[None]:
    return nullcontext()


NO_RESULT = codec.EncodedBody("", b"")


class CallAttempt:
    """The outcome of one call. As a context manager it stores the error of its block."""

    __slots__ = ("call", "encoded", "failure", "models", "started", "trace", "values")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.started = time.perf_counter()
        self.values: dict[str, Any] = {}
        self.encoded = NO_RESULT
        self.failure: EasyMLNBError | None = None
        self.trace = ""
        self.models: tuple[tuple[str, int], ...] = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        if isinstance(error, CallInterrupted):
            self.failure = CallCancelled()
        else:
            self.failure, self.trace = to_public(error)
        return True

    def end(self, log: str) -> tuple[Result | Failure, bytes]:
        """Return the call's one response; never raises."""
        seconds = time.perf_counter() - self.started
        if self.failure is None:
            with self:
                return self._result(seconds, log)
        assert self.failure is not None
        failure = Failure(
            id=self.call.id,
            code=self.failure.code,
            message=CREDENTIALS.mask(self.failure.message),
            details=self.failure.details,
            seconds=seconds,
            log=CREDENTIALS.mask(log),
            trace=CREDENTIALS.mask(self.trace),
            models=self.models,
        )
        return failure, b""

    def _result(self, seconds: float, log: str) -> tuple[Result, bytes]:
        encoded = self.encoded
        file = body_files.store_result(self.call, encoded.body)
        result = Result(
            id=self.call.id,
            content_type=sendable(encoded.content_type),
            seconds=seconds,
            filename=sendable(encoded.filename),
            log=CREDENTIALS.mask(log),
            file=file,
            models=self.models,
        )
        return result, b"" if file else bytes(encoded.body)


def run_call(
    service: Service, call: Call, body: bytes, emit: Emit, guard: Guard = _no_guard
) -> tuple[Result | Failure, bytes]:
    """Run one call in this thread: emit its events, return its ``Result`` or ``Failure``."""
    attempt = CallAttempt(call)
    context = Context(call, emit)
    with call_context(context), own_figures(context), scratch(), attempt:
        report_bars()
        values = body_files.read_arguments(service, call, body)
        # Only the author's code runs under the guard: an interrupt breaks nothing else.
        with guard((call.id,)):
            value = run_function(service, values, call, emit)
            seen = view_of(service, values, value) if has_view(service, call) else None
        attempt.encoded = encode_result(service, call, value, seen)
    attempt.models = context.used_models()
    return attempt.end(context.log.text())


def has_view(service: Service, call: Call) -> bool:
    """Return whether the caller wants a view of the result."""
    return call.view and not service.spec.stream


def encode_result(service: Service, call: Call, value: Any, seen: Any) -> codec.EncodedBody:
    """Encode a result, or the view's result ``seen``, as the caller wants it."""
    if service.spec.stream:
        return codec.EncodedBody("application/json", b"")
    if call.view:
        return codec.EncodedBody(VIEW, _view_json(service, value, seen, call.accept))
    return codec.encode_response(service.schema, value, call.accept)


def run_function(service: Service, values: dict[str, Any], call: Call, emit: Emit) -> Any:
    """Call the function; emit the items of a generator as they come."""
    try:
        value = event_loop.await_result(service.function(**values))
        if not service.spec.stream:
            return value
        # An interrupted generator is closed, so that its clean-up runs before the response.
        with closing(event_loop.iterate(value)) as items:
            named = NewModels()
            for item in items:
                emit(Item(id=call.id, models=named.take()), encode_item(service, call, item))
        return None
    except (CallInterrupted, ResultNotEncodable):
        raise
    except BaseException as error:
        raise UserCodeError(error) from error


def encode_item(service: Service, call: Call, item: Any) -> bytes:
    """Encode one item of a stream as the caller wants it: as JSON, or as tensors."""
    if is_tensors(call.accept):
        return codec.encode_item(service.schema, item, call.accept)
    return _json({"parts": presentation.to_parts(item)}) if call.view else service.schema.dump(item)


def view_of(service: Service, values: dict[str, Any], value: Any) -> Any:
    """Return the value to show: the view's return value, else the result."""
    if service.view_function is None:
        return value
    wanted = service.view_parameters
    try:
        seen = service.view_function(
            **{k: v for k, v in values.items() if k in wanted}, result=value
        )
        return event_loop.await_result(seen)
    except CallInterrupted:
        raise
    except BaseException as error:
        raise UserCodeError(error) from error


def _view_json(service: Service, value: Any, seen: Any, accept: str) -> bytes:
    schema = service.schema if service.view_function is None else None
    try:
        raw = service.schema.dump(value)
    except ResultNotEncodable:
        if service.view_function is None:
            raise
        raw = b"null"
    is_small = len(raw) <= RESULT_IN_VIEW or accept == WHOLE_VIEW
    result = raw if is_small else b"null"
    return b'{"parts":' + _json(presentation.to_parts(seen, schema)) + b',"result":' + result + b"}"


def _json(value: Any) -> bytes:
    try:
        text = _dumped(value)
        # A lone surrogate may be in it: views show it as escaped text.
        return (_dumped(all_sendable(value)) if "\\ud" in text else text).encode()
    except ValueError as error:  # a number with more digits than Python writes
        raise ResultNotEncodable(f"The result cannot be displayed: {error}") from error


def _dumped(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
