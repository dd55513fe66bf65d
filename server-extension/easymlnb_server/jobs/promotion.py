"""A call that is a plain one at first, and a job as soon as it takes long.

Who gets a result quickly pays nothing for the job: there is no row, and no statement. A call that
runs continues where it is: its worker leaves those that serve, and becomes the kernel of the job.
"""

import asyncio
import time

from easymlnb.contract.errors import (
    BadRequest,
    CallCancelled,
    CallNotFound,
    EasyMLNBError,
    InternalError,
    LaneFull,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import Entry
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import Job
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.services.models import Target

PLAIN_SECONDS = 20.0
"""Maximum seconds of a plain call whose caller waits longer; a version that was replaced ends its
calls after 30."""

ROOM_EVERY = 0.5
"""Seconds between two attempts to make a call a job while its lane is full."""


def may_start_plain(jobs: Jobs, submission: Submission, target: Target) -> bool:
    """Return whether a call that may become a job can be a plain one at first.

    A row is written first where the caller asks for what only a job has, or the call would share
    its worker with others, or the lane has workers of its own.
    """
    spec = target.spec
    simple = not (submission.key or submission.lane or submission.not_before)
    small = isinstance(submission.body, bytes) and len(submission.body) <= spec.max_body
    own = spec.training is None and not jobs.lanes[jobs.check(submission).lane].placement
    return _runs_alone(spec) and simple and small and own and submission.attempts == 1


def _runs_alone(spec: ServiceSpec) -> bool:
    """Return whether a call of a service has a worker to itself."""
    return spec.batch is None and spec.concurrency == 1 and not spec.stream


def _check_movable(jobs: Jobs, call: Invocation, submission: Submission) -> None:
    """Raise ``BadRequest`` with the reason why a running call cannot become a job."""
    spec, request = call.target.spec, call.request
    job = jobs.check(submission)
    why = ""
    if not _runs_alone(spec):
        why = "it shares its worker with other calls"
    elif spec.training is not None:
        why = "trainings begin as jobs"
    elif request.live or request.operation or request.entry is not Entry.HTTP:
        why = "only calls of published services over HTTP can"
    elif isinstance(request.body, FileBody) and request.body.file is not None:
        why = "its body is too large"
    elif jobs.lanes[job.lane].placement:
        why = f"jobs of the lane {job.lane!r} have kernels of their own"
    if why:
        raise BadRequest(
            f"The running call cannot become a job: {why}. Submit it as a job with "
            "'POST services/{name}/jobs'."
        )


async def hand_over(jobs: Jobs, call: Invocation, submission: Submission) -> Job:
    """Make a call that runs, or waits, a job, and end it for the caller who waits for it.

    Raises ``LaneFull`` if the call stays a plain one for now, ``CallNotFound`` if it has just
    ended, ``BadRequest`` if it cannot become a job, and what ``Jobs.submit`` does.
    """
    _check_movable(jobs, call, submission)
    try:
        job = await jobs.promote(call, submission)
    except BaseException as error:
        if call.handle is None:  # it was detached, so nothing else answers its caller
            public = error if isinstance(error, EasyMLNBError) else InternalError()
            call.answer(CallResult(error=public))
        raise
    if job is None:
        raise CallNotFound if call.handle is None else LaneFull
    call.answer(CallResult(error=CallCancelled(f"The call continues as the job {job.id}.")))
    return job


async def wait(
    jobs: Jobs,
    call: Invocation,
    done: "asyncio.Future[CallResult]",
    submission: Submission,
    seconds: float,
) -> CallResult | Job:
    """Wait ``seconds`` for a call; return its result, or the job that it has become.

    Without room in its lane, a running call stays a plain one until there is.
    """
    until = time.monotonic() + seconds
    limit = min(seconds, PLAIN_SECONDS, call.target.spec.timeout)
    while not (await asyncio.wait({done}, timeout=limit))[0]:
        try:
            job = await jobs.promote(call, submission)
        except BaseException:
            call.stop(CallCancelled())
            raise
        if job is not None:
            return await jobs.wait(job.id, job.owner, max(0.0, until - time.monotonic()))
        limit = ROOM_EVERY
    return done.result()
