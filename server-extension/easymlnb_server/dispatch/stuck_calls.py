"""Find calls that do not stop after they were canceled."""

import logging
from collections.abc import Callable

from easymlnb_server.dispatch.call import Execution
from easymlnb_server.dispatch.worker_link import WorkerLink

log = logging.getLogger("easymlnb.pool")


def settle(run: Execution, worker: WorkerLink, end: Callable[[WorkerLink], None] | None) -> None:
    """End the worker of a run that should have stopped, or, where it is not ours to end, leave it.

    A run goes on for those of its calls that are still wanted.
    """
    if not all(pending.answered.done() for pending in run.calls):
        return
    if end is not None:
        end(worker)
        return
    log.warning(
        "A call of %r did not stop; its function continues in the kernel, next to other calls.",
        run.service,
    )
    for pending in list(run.calls):
        worker.give_up(pending.call.id)
