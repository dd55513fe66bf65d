"""The states of a job: which changes there are, and what each one writes. Pure functions.

A job has two budgets: ``attempts`` for what its function raised, ``losses`` for workers and nodes
that were lost. A preempted run costs neither. A claim gives the job a new fencing token; every
later write of that attempt names the token, so a process that was paused cannot write after another
one has taken over.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from easymlnb.contract.errors import (
    BadRequest,
    CallCancelled,
    CallerError,
    InvalidInput,
    JobEnded,
    NotAcceptable,
    Preempted,
    TooLarge,
    UnsupportedMediaType,
    WorkerLost,
)
from easymlnb_server.jobs.models import HELD, Job, JobState

FINAL = frozenset(
    kind.code
    for kind in (
        BadRequest,
        CallerError,
        InvalidInput,
        NotAcceptable,
        TooLarge,
        UnsupportedMediaType,
        CallCancelled,
    )
)
"""Errors that another attempt would raise again, so there is none."""

NODE_LOST = (
    "The node that ran this job ended before the job had saved a checkpoint; maybe its time limit "
    "was reached. Save checkpoints with ml.checkpoint(), or use a lane whose nodes run longer."
)

LONGEST_PAUSE = 60.0
"""Maximum seconds between two attempts."""

LONGEST_WAIT = 300.0
"""Maximum seconds until a job whose kernel could not start is tried again."""

PREEMPTED = "preempted"
"""The outcome of an attempt whose node ended."""

START_LOSSES = 2
"""Kernels that any job may lose at their start, when its function has not begun."""

IN_VAIN = 5
"""Runs in a row that may be preempted without a new checkpoint; the next one fails the job."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a step of a job writes.

    - ``values``: the columns of the job
    - ``outcome``: how the running attempt ends, empty if it does not
    - ``is_new_attempt``: whether an attempt begins
    - ``event``: the new state for who follows the job, empty if it did not change
    - ``undoes_attempt``: whether the attempt that the claim began is forgotten
    """

    values: dict[str, Any]
    outcome: str = ""
    is_new_attempt: bool = False
    event: str = ""
    undoes_attempt: bool = False


def claim(job: Job, holder: str, now: float) -> Change:
    """Give a queued job to a server process, which starts an attempt."""
    values = {
        "state": JobState.STARTING,
        "attempt": job.attempt + 1,
        "token": job.token + 1,
        "holder": holder,
        "worker": None,
        "reason": "",
        "changed": now,
    }
    return Change(values, is_new_attempt=True)


def begin(job: Job, worker: str, now: float) -> Change:
    """Note that the function of a job runs in a worker."""
    values = {
        "state": JobState.RUNNING,
        "worker": worker,
        "began": job.began or now,
        "reason": "",
        "changed": now,
    }
    if job.checkpoint is None:
        values |= {"progress": 0.0, "progress_text": ""}
    return Change(values, event=JobState.RUNNING)


def promoted(job: Job, holder: str, worker: str) -> Job:
    """Return a new job whose first attempt is a call that runs already."""
    held = {"state": JobState.RUNNING, "attempt": 1, "token": 1, "holder": holder, "worker": worker}
    return msgspec.structs.replace(job, began=job.created, **held)


def was_call(job: Job) -> bool:
    """Return whether the attempt of a job began as a plain call, see ``promoted``."""
    return job.attempt == 1 and job.began == job.created


def adopt(job: Job, holder: str, now: float) -> Change:
    """Give a running job to another server process; the attempt stays the same."""
    return Change({"token": job.token + 1, "holder": holder, "changed": now})


def put_back(job: Job, reason: str, now: float, pause: float = 0.0) -> Change:
    """Return a job to its queue because it could not start; this costs no attempt.

    A claim whose kernel never was there is no attempt at all.
    """
    values = _released(JobState.QUEUED, now) | {"reason": reason, "not_before": now + pause}
    if job.state is JobState.STARTING:
        values["attempt"] = job.attempt - 1
        change = Change(values, event=JobState.QUEUED, undoes_attempt=True)
    else:
        change = Change(values, "put back", event=JobState.QUEUED)
    return _end_if_cancelled(job, change, now)


def start_pause(job: Job, first: float) -> float:
    """Return the seconds until the next start of a job; they grow with each claim in vain."""
    return float(min(first * 2.0 ** min(job.token - job.attempt, 10), LONGEST_WAIT))


def preempt(job: Job, in_vain: int, now: float) -> Change:
    """End an attempt whose node ended; the job continues elsewhere, which costs no budget.

    ``in_vain`` is how many runs were preempted since the last checkpoint: a job that never gets to
    its next one would run indefinitely.
    """
    if in_vain >= IN_VAIN:
        text = (
            f"The job was preempted {in_vain + 1} times without a new checkpoint. Save checkpoints "
            "more often, or use a lane whose nodes run longer."
        )
        error = {"code": Preempted.code, "message": text}
        values = _released(JobState.FAILED, now) | {"error": error, "reason": ""}
        failed = Change(values, PREEMPTED, event=JobState.FAILED)
        return _end_if_cancelled(job, failed, now)
    how = "continues from its checkpoint" if job.checkpoint else "starts again"
    reason = f"The node of attempt {job.attempt} ended; the job {how}."
    values = _released(JobState.QUEUED, now) | {"reason": reason}
    values["not_before"] = now + (min(2.0**in_vain, LONGEST_PAUSE) if in_vain else 0.0)
    return _end_if_cancelled(job, Change(values, PREEMPTED, event=JobState.QUEUED), now)


def succeed(job: Job, result: dict[str, Any], now: float) -> Change:
    """End a job with its result, also if somebody has asked to cancel it meanwhile."""
    values = _released(JobState.SUCCEEDED, now) | {"progress": 1.0, "reason": ""} | result
    return Change(values, "succeeded", event=JobState.SUCCEEDED)


def fail(job: Job, error: dict[str, Any], now: float) -> Change:
    """End an attempt that raised an error: try again, or fail."""
    if error.get("code") == CallCancelled.code and job.cancel:
        return _cancelled(now, "cancelled")
    raised = job.raised + 1
    retries = raised < job.attempts and error.get("code") not in FINAL
    if retries:
        return _end_if_cancelled(job, _retry(job, "failed", raised, now, raised=raised), now)
    values = _released(JobState.FAILED, now) | {"raised": raised, "error": error, "reason": ""}
    return _end_if_cancelled(job, Change(values, "failed", event=JobState.FAILED), now)


def lose(job: Job, now: float, why: str = "") -> Change:
    """End an attempt whose worker was lost: try again, or fail with ``why``."""
    error = {"code": WorkerLost.code, "message": why or WorkerLost().message}
    return _lose(job, error, job.losses, now)


def lose_start(job: Job, error: dict[str, Any], now: float) -> Change:
    """End an attempt whose kernel ended at its start: try again, or fail with ``error``."""
    return _lose(job, error, max(job.losses, START_LOSSES), now)


def cancel(job: Job, now: float) -> Change:
    """Cancel a job: at once if it is queued, else by its holder; raises ``JobEnded``."""
    if job.state.ended:
        raise JobEnded(job.state.value)
    if job.state is JobState.QUEUED:
        return _cancelled(now, "")
    return Change({"cancel": True, "changed": now})


def end_cancelled(now: float) -> Change:
    """End a running job that was canceled."""
    return _cancelled(now, "cancelled")


def fail_unstarted(error: dict[str, Any], now: float) -> Change:
    """Fail a job that cannot start at all, such as one of a deleted service."""
    values = _released(JobState.FAILED, now) | {"error": error, "reason": ""}
    return Change(values, "failed", event=JobState.FAILED)


def is_held(job: Job) -> bool:
    """Return whether a server process has claimed the job."""
    return job.state in HELD


def _lose(job: Job, error: dict[str, Any], budget: int, now: float) -> Change:
    lost = job.lost + 1
    if lost <= budget:
        return _end_if_cancelled(job, _retry(job, "lost", lost, now, lost=lost), now)
    values = _released(JobState.FAILED, now) | {"lost": lost, "error": error, "reason": ""}
    return _end_if_cancelled(job, Change(values, "lost", event=JobState.FAILED), now)


def _retry(job: Job, outcome: str, count: int, now: float, **counted: int) -> Change:
    pause = min(2.0**count, LONGEST_PAUSE)
    reason = f"Attempt {job.attempt} {'was lost' if outcome == 'lost' else outcome}; trying again."
    values = (
        _released(JobState.QUEUED, now) | {"not_before": now + pause, "reason": reason} | counted
    )
    return Change(values, outcome, event=JobState.QUEUED)


def _end_if_cancelled(job: Job, change: Change, now: float) -> Change:
    """Let a cancellation decide over another attempt or an error."""
    return _cancelled(now, change.outcome or "cancelled") if job.cancel else change


def _cancelled(now: float, outcome: str) -> Change:
    error = {"code": CallCancelled.code, "message": "The job was canceled."}
    values = _released(JobState.CANCELLED, now) | {"error": error, "reason": ""}
    return Change(values, outcome, event=JobState.CANCELLED)


def _released(state: JobState, now: float) -> dict[str, Any]:
    values: dict[str, Any] = {"state": state, "holder": None, "changed": now}
    return values | {"ended": now} if state.ended else values
