"""The operations of batches, as calls: scan a table, run rows, join results."""

import time
from typing import Any, TypeVar

import msgspec

from easymlnb.contract.batch_protocol import (
    JOIN,
    MSGPACK,
    ROWS,
    SCAN,
    JoinRequest,
    RowError,
    RowsReply,
    RowsRequest,
    ScanRequest,
)
from easymlnb.contract.errors import (
    CallCancelled,
    EasyMLNBError,
    ServiceNotFound,
    from_code,
)
from easymlnb.contract.message import sendable
from easymlnb.contract.worker_protocol import Call, Failure, Progress, Result
from easymlnb.runtime import body_files
from easymlnb.runtime.batch_execution import run_loaded
from easymlnb.runtime.batches import parquet_tables
from easymlnb.runtime.batches import plan as plans
from easymlnb.runtime.batches.results import ResultWriter
from easymlnb.runtime.batches.scan import Given, rows_in, scan
from easymlnb.runtime.batches.values import RowValues
from easymlnb.runtime.call_execution import CallAttempt, Guard
from easymlnb.runtime.context import Emit
from easymlnb.runtime.failures import CallInterrupted
from easymlnb.services.codec import EncodedBody
from easymlnb.services.definition import Service
from easymlnb.types.temp_files import scratch

REPORT_EVERY = 0.05
"""Seconds between two reports of the row that runs."""

MAX_LOG = 20_000
"""Characters of the output of the rows of one call."""

T = TypeVar("T")


def run_operation(
    service: Service, operation: str, call: Call, body: bytes, emit: Emit, guard: Guard
) -> tuple[Result | Failure, bytes]:
    """Run an operation in this thread, and return its ``Result`` or ``Failure``."""
    attempt = CallAttempt(call)
    with scratch(), attempt:
        data, files = body_files.received(call, body)
        attempt.encoded = EncodedBody(
            MSGPACK, _run(service, operation, call, bytes(data), files, emit, guard)
        )
    return attempt.end("")


def _run(
    service: Service,
    operation: str,
    call: Call,
    data: bytes,
    files: Given,
    emit: Emit,
    guard: Guard,
) -> bytes:
    if operation == SCAN:
        request = _decode(data, ScanRequest)
        with guard((call.id,)):
            return msgspec.msgpack.encode(scan(service.schema, request, files))
    if operation == ROWS:
        return msgspec.msgpack.encode(
            run_rows(service, call, _decode(data, RowsRequest), emit, guard)
        )
    if operation == JOIN:
        return _join(_decode(data, JoinRequest), files)
    raise ServiceNotFound(call.service)


def _decode(data: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(data, type=kind)


def _join(request: JoinRequest, files: Given) -> bytes:
    (given,) = files.values()
    whole = given if isinstance(given, bytes) else given.read_bytes()
    pieces, at = [], 0
    for size in request.sizes:
        pieces.append(whole[at : at + size])
        at += size
    return parquet_tables.join(pieces)


def run_rows(
    service: Service, call: Call, request: RowsRequest, emit: Emit, guard: Guard
) -> RowsReply:
    """Run rows of a block until the time is over, in groups as large as the service's batches."""
    plan = plans.decode(request.plan)
    cells = rows_in(plan, request.data)
    row_call = msgspec.structs.replace(
        call, progress=False, view=False, accept=_accept(service, plan)
    )
    reader = RowValues(service.schema, plan)
    writer = ResultWriter(plan, request.data, cells, request.first)
    failed = {error.row: error for error in request.failed}
    errors: list[RowError] = []
    log: list[str] = []
    batch = None if request.careful else service.spec.batch
    size = batch.max_size if batch is not None else 1
    until, reported = time.monotonic() + request.seconds, 0.0
    at = request.start
    while at < len(cells):
        if (now := time.monotonic()) - reported >= REPORT_EVERY or request.careful:
            reported = now
            emit(Progress(id=call.id, fraction=-1.0, text=str(at)), b"")
        end = min(len(cells), at + size)
        numbers = range(at, end)
        attempts = _loaded(reader, row_call, cells, numbers, request.first, failed)
        _run_group(service, [a for a in attempts if a.failure is None], emit, guard, log)
        for row, attempt in zip(numbers, attempts, strict=True):
            writer.add(row, attempt.encoded if attempt.failure is None else None)
            if attempt.failure is not None:
                errors.append(_error(request.first + row + 1, attempt.failure))
                log.append(attempt.trace)
        at = end
        if time.monotonic() >= until:
            break
    return RowsReply(
        stop=at,
        piece=writer.piece(request.start, at),
        files=writer.files,
        errors=errors,
        log=sendable("".join(log)[:MAX_LOG]),
    )


def _accept(service: Service, plan: plans.Plan) -> str:
    """Return the media types in which the results are written."""
    return f"{service.schema.produces[0]}, */*;q=0.1" if plan.kind == plans.ZIP else ""


def _loaded(
    reader: RowValues,
    call: Call,
    cells: list[list[Any]],
    rows: range,
    first: int,
    failed: dict[int, RowError],
) -> list[CallAttempt]:
    """Return the attempts of rows with their arguments, or with what is wrong with them."""
    attempts = []
    for row in rows:
        attempt = CallAttempt(call)
        if (known := failed.get(first + row + 1)) is not None:
            attempt.failure = from_code(known.code, known.message)
        else:
            with attempt:
                attempt.values = reader.load(cells[row])
        attempts.append(attempt)
    return attempts


def _run_group(
    service: Service, attempts: list[CallAttempt], emit: Emit, guard: Guard, log: list[str]
) -> None:
    if not attempts:
        return
    log.append(run_loaded(service, attempts, emit, guard))
    if any(isinstance(attempt.failure, CallCancelled) for attempt in attempts):
        raise CallInterrupted


def _error(row: int, error: EasyMLNBError) -> RowError:
    return RowError(row=row, code=error.code, message=sendable(error.message))
