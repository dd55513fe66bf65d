"""The states of a job: which changes there are, and what each one writes. Pure functions.

A job has two budgets: ``attempts`` for what its function raised, ``losses`` for workers and nodes
that were lost. A claim gives the job a new fencing token; every later write of that attempt names
the token, so a process that was paused cannot write after another one has taken over.
"""

from dataclasses import dataclass
from typing import Any

from easymlnb.contract.errors import (
    BadRequest,
    CallCancelled,
    CallerError,
    InvalidInput,
    JobEnded,
    NotAcceptable,
    TooLarge,
    UnsupportedMediaType,
    WorkerLost,
)
from easymlnb_server.jobs.models import HELD, Job, State

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

LONGEST_PAUSE = 60.0
"""Maximum seconds between two attempts."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a step of a job writes.

    - ``values``: the columns of the job
    - ``outcome``: how the running attempt ends, empty if it does not
    - ``is_new_attempt``: whether an attempt begins
    - ``event``: the new state for who follows the job, empty if it did not change
    """

    values: dict[str, Any]
    outcome: str = ""
    is_new_attempt: bool = False
    event: str = ""


def claim(job: Job, holder: str, now: float) -> Change:
    """Give a queued job to a server process, which starts an attempt."""
    values = {
        "state": State.STARTING,
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
        "state": State.RUNNING,
        "worker": worker,
        "began": job.began or now,
        "reason": "",
        "progress": 0.0,
        "progress_text": "",
        "changed": now,
    }
    return Change(values, event=State.RUNNING)


def adopt(job: Job, holder: str, now: float) -> Change:
    """Give a running job to another server process; the attempt stays the same."""
    return Change({"token": job.token + 1, "holder": holder, "changed": now})


def put_back(job: Job, reason: str, now: float, pause: float = 0.0) -> Change:
    """Return a job to its queue because it could not start; this costs no attempt."""
    values = _released(State.QUEUED, now) | {"reason": reason, "not_before": now + pause}
    return _end_if_cancelled(job, Change(values, "put back", event=State.QUEUED), now)


def succeed(job: Job, result: dict[str, Any], now: float) -> Change:
    """End a job with its result, also if somebody has asked to cancel it meanwhile."""
    values = _released(State.SUCCEEDED, now) | {"progress": 1.0, "reason": ""} | result
    return Change(values, "succeeded", event=State.SUCCEEDED)


def fail(job: Job, error: dict[str, Any], now: float) -> Change:
    """End an attempt that raised an error: try again, or fail."""
    if error.get("code") == CallCancelled.code and job.cancel:
        return _cancelled(now, "cancelled")
    raised = job.raised + 1
    retries = raised < job.attempts and error.get("code") not in FINAL
    if retries:
        return _end_if_cancelled(job, _retry(job, "failed", raised, now, raised=raised), now)
    values = _released(State.FAILED, now) | {"raised": raised, "error": error, "reason": ""}
    return _end_if_cancelled(job, Change(values, "failed", event=State.FAILED), now)


def lose(job: Job, now: float) -> Change:
    """End an attempt whose worker was lost: try again, or fail."""
    lost = job.lost + 1
    if lost <= job.losses:
        return _end_if_cancelled(job, _retry(job, "lost", lost, now, lost=lost), now)
    error = {"code": WorkerLost.code, "message": WorkerLost().message}
    values = _released(State.FAILED, now) | {"lost": lost, "error": error, "reason": ""}
    return _end_if_cancelled(job, Change(values, "lost", event=State.FAILED), now)


def cancel(job: Job, now: float) -> Change:
    """Cancel a job: at once if it is queued, else by its holder; raises ``JobEnded``."""
    if job.state.ended:
        raise JobEnded(job.state.value)
    if job.state is State.QUEUED:
        return _cancelled(now, "")
    return Change({"cancel": True, "changed": now})


def end_cancelled(now: float) -> Change:
    """End a running job that was canceled."""
    return _cancelled(now, "cancelled")


def fail_unstarted(error: dict[str, Any], now: float) -> Change:
    """Fail a job that cannot start at all, such as one of a deleted service."""
    values = _released(State.FAILED, now) | {"error": error, "reason": ""}
    return Change(values, "failed", event=State.FAILED)


def is_held(job: Job) -> bool:
    """Return whether a server process has claimed the job."""
    return job.state in HELD


def _retry(job: Job, outcome: str, count: int, now: float, **counted: int) -> Change:
    pause = min(2.0**count, LONGEST_PAUSE)
    reason = f"Attempt {job.attempt} {'was lost' if outcome == 'lost' else outcome}; trying again."
    values = _released(State.QUEUED, now) | {"not_before": now + pause, "reason": reason} | counted
    return Change(values, outcome, event=State.QUEUED)


def _end_if_cancelled(job: Job, change: Change, now: float) -> Change:
    """Let a cancellation decide over another attempt or an error."""
    return _cancelled(now, change.outcome) if job.cancel else change


def _cancelled(now: float, outcome: str) -> Change:
    error = {"code": CallCancelled.code, "message": "The job was canceled."}
    values = _released(State.CANCELLED, now) | {"error": error, "reason": ""}
    return Change(values, outcome, event=State.CANCELLED)


def _released(state: State, now: float) -> dict[str, Any]:
    values: dict[str, Any] = {"state": state, "holder": None, "changed": now}
    return values | {"ended": now} if state.ended else values
