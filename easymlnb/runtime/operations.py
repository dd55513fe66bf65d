"""Calls that ask a kernel for more than one run of a function; their code is loaded when needed."""

from easymlnb.contract.batch_protocol import split_operation
from easymlnb.contract.scoring import SCORE
from easymlnb.contract.worker_protocol import Call, Failure, Result
from easymlnb.runtime.batch_execution import run_batch
from easymlnb.runtime.call_execution import Guard
from easymlnb.runtime.context import Emit
from easymlnb.services.definition import Service

End = tuple[Result | Failure, bytes]


def run_calls(
    service: Service, members: list[tuple[Call, bytes]], emit: Emit, guard: Guard
) -> list[End]:
    """Run calls of a service or of one of its operations; return their responses in order."""
    operation = split_operation(members[0][0].service)[1] if members else ""
    if not operation:
        return run_batch(service, members, emit, guard)
    return [run_operation(service, operation, *member, emit, guard) for member in members]


def run_operation(
    service: Service, operation: str, call: Call, body: bytes, emit: Emit, guard: Guard
) -> End:
    """Answer a call of an operation in this thread."""
    if operation == SCORE:
        from easymlnb.runtime.scoring.operation import run_scoring

        return run_scoring(service, call, body, emit, guard)
    from easymlnb.runtime.batches import operations

    return operations.run_operation(service, operation, call, body, emit, guard)
