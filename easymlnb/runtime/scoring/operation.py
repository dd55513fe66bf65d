"""Answer a request of the scoring protocol: run its calls, and collect the predictions."""

from collections.abc import Iterator
from dataclasses import replace
from inspect import isawaitable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.scoring import PREDICTIONS
from easymlnb.contract.worker_protocol import Call, Failure, Result
from easymlnb.runtime.batch_execution import run_loaded
from easymlnb.runtime.call_execution import CallAttempt, Guard
from easymlnb.runtime.context import Emit
from easymlnb.runtime.failures import CallInterrupted
from easymlnb.runtime.scoring import request
from easymlnb.runtime.scoring.arguments import calls_of, in_row
from easymlnb.services.codec import EncodedBody
from easymlnb.services.definition import Service
from easymlnb.types.base import is_a
from easymlnb.types.media_types import JSON
from easymlnb.types.temp_files import scratch
from easymlnb.types.uploaded_files import Data, contents


def run_scoring(
    service: Service, call: Call, body: bytes, emit: Emit, guard: Guard
) -> tuple[Result | Failure, bytes]:
    """Answer a request in this thread; never raises."""
    whole = CallAttempt(call)
    scoring = _Scoring(service, call, emit, guard)
    with scratch(), whole:
        asked = request.read(call.content_type, _received(call, body))
        with guard((call.id,)):
            calls = calls_of(service, asked)
        found = scoring.run(iter(calls.values), single=calls.single)
        whole.encoded = EncodedBody(JSON, f'{{"{PREDICTIONS}":'.encode() + found + b"}")
    whole.models = tuple(scoring.models)
    whole.trace = scoring.trace or whole.trace
    return whole.end("".join(scoring.log))


def _with_lists(service: Service) -> Service:
    """Return a service whose results without names of columns are lists, as in MLflow."""

    def function(**values: Any) -> Any:
        found = service.function(**values)
        return _later(found) if isawaitable(found) else _as_list(found)

    async def _later(found: Any) -> Any:
        return _as_list(await found)

    return replace(service, function=function)


def _as_list(value: Any) -> Any:
    return value.to_list() if is_a(type(value), "pandas.Series") else value


def _received(call: Call, body: bytes) -> Data:
    if not call.file:
        return body
    try:
        return contents(Path(call.file))
    except FileNotFoundError:
        # The server removes the file only after the caller has left.
        raise CallCancelled from None


class _Scoring:
    """The calls of one request."""

    def __init__(self, service: Service, call: Call, emit: Emit, guard: Guard) -> None:
        self.models: dict[tuple[str, int], None] = {}
        self.log: list[str] = []
        self.trace = ""
        self._service = service if service.schema.result else _with_lists(service)
        self._call = msgspec.structs.replace(call, progress=False, view=False, accept="")
        self._emit = emit
        self._guard = guard

    def run(self, values: Iterator[dict[str, Any]], *, single: bool) -> bytes:
        """Return the predictions as JSON; raises the error of the first call that fails."""
        batch = self._service.spec.batch
        size = batch.max_size if batch is not None else 1
        results: list[bytes] = []
        while group := list(islice(values, size)):
            for attempt in self._run_group(group):
                if attempt.failure is not None:
                    self.trace = attempt.trace
                    raise (attempt.failure if single else in_row(len(results) + 1, attempt.failure))
                results.append(bytes(attempt.encoded.body))
        return results[0] if single else b"[" + b",".join(results) + b"]"

    def _run_group(self, group: list[dict[str, Any]]) -> list[CallAttempt]:
        attempts = []
        for arguments in group:
            attempt = CallAttempt(self._call)
            attempt.values = arguments
            attempts.append(attempt)
        self.log.append(run_loaded(self._service, attempts, self._emit, self._guard))
        for attempt in attempts:
            self.models.update(dict.fromkeys(attempt.models))
            if isinstance(attempt.failure, CallCancelled):
                raise CallInterrupted
        return attempts
