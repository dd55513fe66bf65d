"""Run calls that came together: one run of the function if the service is batched.

Every call is decoded and encoded separately, so an invalid one fails alone. If the function raises
for several calls, each runs once more alone: one bad input does not fail the others.
"""

from collections.abc import Sequence
from typing import Any

from easymlnb.contract.errors import EasyMLNBError, ResultNotEncodable
from easymlnb.contract.spec import Batch
from easymlnb.contract.tensors import is_tensors
from easymlnb.contract.worker_protocol import Call, Failure, Result
from easymlnb.runtime import body_files, event_loop
from easymlnb.runtime.call_execution import (
    CallAttempt,
    Guard,
    encode_result,
    run_call,
    run_function,
    view_of,
)
from easymlnb.runtime.context import Context, Emit, call_context
from easymlnb.runtime.credentials import CREDENTIALS
from easymlnb.runtime.failures import CallInterrupted, UserCodeError, defect, trace_of
from easymlnb.runtime.figures import own_figures
from easymlnb.runtime.tqdm_progress import report_bars
from easymlnb.services import codec
from easymlnb.services.definition import Service
from easymlnb.types.temp_files import scratch

End = tuple[Result | Failure, bytes]


def failed(call: int, error: EasyMLNBError, trace: str = "") -> End:
    """Return the response of a call that did not run."""
    trace = CREDENTIALS.mask(trace)
    return Failure(id=call, code=error.code, message=error.message, trace=trace), b""


def run_batch(
    service: Service, members: list[tuple[Call, bytes]], emit: Emit, guard: Guard
) -> list[End]:
    """Run calls in this thread: emit their events, return their responses in order."""
    try:
        return _run_batch(service, members, emit, guard)
    except Exception as error:
        # A defect of easymlnb: it must fail these calls only, not their worker.
        public, trace = defect(error), trace_of(error)
        return [failed(call.id, public, trace) for call, _ in members]


def _run_batch(
    service: Service, members: list[tuple[Call, bytes]], emit: Emit, guard: Guard
) -> list[End]:
    if service.spec.batch is None:
        return [run_call(service, call, body, emit, guard) for call, body in members]
    attempts = [_Rows(call) if _has_rows(call) else CallAttempt(call) for call, _ in members]
    with scratch():
        for attempt, (call, body) in zip(attempts, members, strict=True):
            with attempt:
                if isinstance(attempt, _Rows):
                    attempt.add(body_files.read_rows(service, call, body))
                else:
                    attempt.values = body_files.read_arguments(service, call, body)
        logs: dict[int, str] = {}
        readable = [attempt for attempt in attempts if attempt.failure is None]
        for group in _groups(service, _runs(readable)):
            _run(service, group, emit, guard, logs)
        for attempt in readable:
            if isinstance(attempt, _Rows):
                attempt.join(service)
    return [attempt.end(logs.get(attempt.call.id, "")) for attempt in attempts]


def run_rows(service: Service, rows: list[dict[str, Any]]) -> list[Any]:
    """Run a batched function once for all rows of values, or once for each kind of array."""
    attempts = [CallAttempt(Call(id=0, service=service.name)) for _ in rows]
    for attempt, row in zip(attempts, rows, strict=True):
        attempt.values = row
    results: dict[int, Any] = {}
    for group in _groups(service, attempts):
        found = event_loop.await_result(service.function(**_columns(service, group)))
        results.update(zip(map(id, group), _results(service, found, len(group)), strict=True))
    return [results[id(attempt)] for attempt in attempts]


def run_loaded(service: Service, attempts: list[CallAttempt], emit: Emit, guard: Guard) -> str:
    """Run attempts that have their values, in one run if the service is batched.

    Returns what they printed.
    """
    logs: dict[int, str] = {}
    if service.spec.batch is not None:
        for group in _groups(service, attempts):
            _run(service, group, emit, guard, logs)
        return "".join(logs.values())
    for attempt in attempts:
        context = Context(attempt.call, emit)
        with call_context(context), own_figures(context), attempt:
            with guard((attempt.call.id,)):
                value = run_function(service, attempt.values, attempt.call, emit)
            attempt.encoded = encode_result(service, attempt.call, value, None)
        attempt.models = context.used_models()
        logs[attempt.call.id] = logs.get(attempt.call.id, "") + context.log.text()
    return "".join(logs.values())


class _Rows(CallAttempt):
    """A call whose tensors have several rows, each of which is a call of the function."""

    __slots__ = ("rows",)

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.rows: list[_Row] = []

    def add(self, rows: list[dict[str, Any]]) -> None:
        for values in rows:
            row = _Row(self.call)
            row.values = values
            self.rows.append(row)

    def join(self, service: Service) -> None:
        """Take the results of the rows, or the first failure."""
        self.models = self.rows[0].models
        failed = next((row for row in self.rows if row.failure is not None), None)
        if failed is not None:
            self.failure, self.trace = failed.failure, failed.trace
            return
        with self:
            values = [row.result for row in self.rows]
            self.encoded = codec.encode_rows(service.schema, values, self.call.accept)


class _Row(CallAttempt):
    """One row of a call."""

    __slots__ = ("result",)

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.result: Any = None


def _has_rows(call: Call) -> bool:
    return is_tensors(call.content_type)


def _runs(attempts: Sequence[CallAttempt]) -> list[CallAttempt]:
    """Return the calls, with the rows of those that have rows in their place."""
    runs: list[CallAttempt] = []
    for attempt in attempts:
        runs += attempt.rows if isinstance(attempt, _Rows) else [attempt]
    return runs


class _BatchContext(Context):
    """Calls that run as one: they share their output, and each gets the progress."""

    def __init__(self, calls: list[Call], emit: Emit) -> None:
        super().__init__(calls[0], emit)
        self._calls = calls
        self._each: list[Context] = []

    def progress(self, fraction: float, text: str) -> None:
        if not self._each:
            each = {call.id: call for call in self._calls if call.progress}
            self._each = [Context(call, self._emit) for call in each.values()]
        for context in self._each:
            context.progress(fraction, text)


def _run(
    service: Service, group: list[CallAttempt], emit: Emit, guard: Guard, logs: dict[int, str]
) -> None:
    """Run the function on a group; add its output to ``logs``, by call."""
    context = _BatchContext([attempt.call for attempt in group], emit)
    raised: BaseException | None = None
    columns = _columns(service, group)
    with call_context(context), own_figures(context):
        report_bars()
        try:
            with guard(tuple({attempt.call.id: None for attempt in group})):
                found = event_loop.await_result(service.function(**columns))
            results = _results(service, found, len(group))
        except (CallInterrupted, ResultNotEncodable) as error:
            raised = error
        except BaseException as error:
            raised = UserCodeError(error)
        else:
            for attempt, result in zip(group, results, strict=True):
                _encode(service, attempt, result, guard)
    if isinstance(raised, UserCodeError) and len(parts := _by_call(group)) > 1:
        for part in parts:
            _run(service, part, emit, guard, logs)
        return
    for attempt in group:
        attempt.models = context.used_models()
        logs[attempt.call.id] = context.log.text()
        if raised is not None:
            with attempt:
                raise raised


def _by_call(group: list[CallAttempt]) -> list[list[CallAttempt]]:
    """Return each attempt alone, and the rows of one call together."""
    parts: dict[int, list[CallAttempt]] = {}
    for attempt in group:
        whole = attempt.call if isinstance(attempt, _Row) else attempt
        parts.setdefault(id(whole), []).append(attempt)
    return list(parts.values())


def _encode(service: Service, attempt: CallAttempt, result: Any, guard: Guard) -> None:
    if isinstance(attempt, _Row):
        attempt.result = result
        return
    seen: Any = None
    with attempt:
        if attempt.call.view:
            with guard((attempt.call.id,)):
                seen = view_of(service, attempt.values, result)
        attempt.encoded = encode_result(service, attempt.call, result, seen)


def _groups(service: Service, attempts: list[CallAttempt]) -> list[list[CallAttempt]]:
    """Return which calls run together: all, or those whose arrays can be stacked.

    Only rows of tensors can be more than one run takes.
    """
    batch = service.spec.batch
    assert batch is not None
    return [
        group[at : at + batch.max_size]
        for group in _alike(batch, attempts)
        for at in range(0, len(group), batch.max_size)
    ]


def _alike(batch: Batch, attempts: list[CallAttempt]) -> list[list[CallAttempt]]:
    if not batch.stack:
        return [attempts]
    groups: dict[Any, list[CallAttempt]] = {}
    for attempt in attempts:
        key = tuple(
            (type(value), getattr(value, "shape", None), str(getattr(value, "dtype", "")))
            for _, value in sorted(attempt.values.items())
        )
        groups.setdefault(key, []).append(attempt)
    return list(groups.values())


def _columns(service: Service, group: list[CallAttempt]) -> dict[str, Any]:
    """Return the function's arguments: for each parameter the values of all calls."""
    assert service.spec.batch is not None
    columns = {name: [one.values[name] for one in group] for name in group[0].values}
    if not service.spec.batch.stack:
        return columns
    return {name: _stacked(values) for name, values in columns.items()}


def _stacked(values: list[Any]) -> Any:
    if type(values[0]).__module__.partition(".")[0] == "torch":
        import torch

        return torch.stack(values)
    import numpy

    return numpy.stack(values)


def _results(service: Service, found: Any, wanted: int) -> Sequence[Any]:
    """Return one result for each call; an array is split along its first axis.

    Raises ``ResultNotEncodable`` for any other result.
    """
    expected = (
        f"{service.name!r} must return a list with one result for each of {wanted} calls, not"
    )
    array = bool(getattr(found, "shape", ())) and not hasattr(found, "columns")
    if not array and not isinstance(found, list | tuple):
        raise ResultNotEncodable(f"{expected} a {type(found).__name__}.")
    if len(found) != wanted:
        raise ResultNotEncodable(f"{expected} {len(found)}.")
    return list(found)
