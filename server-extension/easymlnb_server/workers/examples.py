"""Call a new worker with the examples of its services, before it serves."""

import asyncio
from typing import Any

import msgspec
from nbformat import NotebookNode

from easymlnb.contract import units
from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.workers.cell_lines import final_exception, locate
from easymlnb_server.workers.worker_set import Worker


async def run_examples(
    dispatcher: Dispatcher,
    worker: Worker,
    specs: tuple[ServiceSpec, ...],
    limit: int,
    notebook: NotebookNode,
) -> None:
    """Call the worker with each example, and check its memory against ``limit`` in bytes.

    Raises ``DeploymentFailed`` with the cell and line of ``notebook`` where an example failed.
    """
    for spec in specs:
        if spec.training is not None:
            continue  # an example of a training fills its form
        for number, example in enumerate(spec.examples):
            body = msgspec.json.encode(example)
            call = Call(id=0, service=spec.name, seconds=spec.timeout, view=spec.view)
            answer = await dispatcher.submit(call, body, spec=spec, worker=worker.link).answered
            if answer.error is not None:
                trace = answer.failure.trace if answer.failure else ""
                shown = body[:10_000].decode(errors="replace")
                where, details = _locate(notebook, trace)
                why = final_exception(trace) or answer.error.message
                raise DeploymentFailed(
                    f"Example {number + 1} of {spec.name!r} failed{where}: {why}",
                    details={"source": shown, "example": shown, **details, "traceback": trace},
                )
    used = await asyncio.to_thread(worker.kernel.memory) if limit else 0
    if used > limit:
        raise DeploymentFailed(
            f"The worker uses {units.format_size(used)} of memory before its first call; its limit "
            f"is {units.format_size(limit)}. Load less data, or raise memory= of the service."
        )


def _locate(notebook: NotebookNode, trace: str) -> tuple[str, dict[str, Any]]:
    """Return where an example failed, as text and as details; empty if that is unknown."""
    location = locate(notebook, trace)
    if location is None:
        return "", {}
    cell, line = location
    source = str(notebook.cells[cell].source)[:10_000]
    return f" in cell {cell + 1}, line {line}", {"cell": cell, "line": line, "source": source}
