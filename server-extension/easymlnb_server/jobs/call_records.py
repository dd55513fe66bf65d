"""Record the runs of jobs as calls: log, metrics, usage and limits."""

import time

from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.calls.models import CallRequest, Entry
from easymlnb_server.calls.record import run_seconds
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.jobs.admission import limited_owner, submitter
from easymlnb_server.jobs.models import Job
from easymlnb_server.services.models import Target
from easymlnb_server.services.published import PublishedServices


class JobCallRecorder:
    """Writes the call of a job to the log, the metrics and the usage, as any other call."""

    def __init__(self, invoker: Invoker, published: PublishedServices) -> None:
        self._invoker = invoker
        self._published = published

    def record(self, job: Job, handle: CallHandle, result: CallResult) -> None:
        """Record a run that has ended."""
        service = self._published.get(job.service)
        if service is None:
            return
        version = service.versions.get(int(job.version))
        current, caller = service.current, submitter(job.options)
        now = time.monotonic()
        request = CallRequest(
            service=job.service,
            body=b"",
            content_type=job.input_type,
            caller=caller,
            owner=job.owner,
            request_id=job.options.request_id or job.id,
            received=now,
            began=now,
            entry=Entry.JOB,
        )
        spec = version.spec if version is not None else current.spec
        target = Target(spec, current.deployment.dispatcher, job.version)
        self._invoker.recorder.record(request, target, handle, result, now - handle.started)
        seconds = run_seconds(handle, result)
        self._invoker.quotas.charge(job.service, caller, limited_owner(job), seconds)
