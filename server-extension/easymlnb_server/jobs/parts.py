"""What all runs of jobs share."""

from collections.abc import Callable
from dataclasses import dataclass

from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.jobs.events import JobEvents
from easymlnb_server.jobs.kernels import JobKernels
from easymlnb_server.jobs.logs import JobLogs
from easymlnb_server.jobs.models import Job
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import Spool


@dataclass(frozen=True, slots=True)
class RunParts:
    """What every run uses.

    ``record`` writes the finished call to the log and the metrics. ``retention`` is the number of
    seconds until a job that ended is deleted.
    """

    repository: JobRepository
    files: Files
    spool: Spool
    logs: JobLogs
    events: JobEvents
    kernels: JobKernels
    record: Callable[[Job, CallHandle, CallResult], None]
    retention: float
