"""What all runs of jobs share."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.jobs.events import JobEvents
from easymlnb_server.jobs.kernels import JobKernels
from easymlnb_server.jobs.logs import JobLogs
from easymlnb_server.jobs.models import Job, StoredFile
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import Spool

ResultCheck = Callable[[Job, list[StoredFile]], EasyMLNBError | None]
"""Returns why a job cannot succeed with the files that it has saved; blocks.

With ``WorkerLost`` it is tried again as after the loss of its worker.
"""

OnEnded = Callable[[Job], Awaitable[None]]
"""Called when the end of a job is stored; it must not raise."""


@dataclass(frozen=True, slots=True)
class RunParts:
    """What every run uses.

    ``record`` writes the finished call to the log and the metrics. ``retention`` is the number of
    seconds until a job that ended is deleted. ``checks`` may refuse results; ``on_ended`` follows
    the end of a job.
    """

    repository: JobRepository
    files: Files
    spool: Spool
    logs: JobLogs
    events: JobEvents
    kernels: JobKernels
    record: Callable[[Job, CallHandle, CallResult], None]
    retention: float
    checks: Sequence[ResultCheck] = ()
    on_ended: Sequence[OnEnded] = ()
