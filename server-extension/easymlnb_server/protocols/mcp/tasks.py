"""Jobs as tasks of the protocol, and as results of tools. Pure functions."""

from datetime import UTC, datetime
from typing import Any

from easymlnb_server.jobs.models import Job, JobState

POLL_MS = 2000
"""Milliseconds between two requests for a task that clients should keep."""

_STATUS = {
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "completed",
    JobState.CANCELLED: "cancelled",
}


def task(job: Job) -> dict[str, Any]:
    """Return a job as a task, without its result."""
    found: dict[str, Any] = {
        "taskId": job.id,
        "status": _STATUS.get(job.state, "working"),
        "createdAt": _moment(job.created),
        "lastUpdatedAt": _moment(max(job.changed, job.created)),
        "ttlMs": None if job.expires is None else int((job.expires - job.created) * 1000),
        "pollIntervalMs": POLL_MS,
    }
    if words := message(job):
        found["statusMessage"] = words
    return found


def message(job: Job) -> str:
    """Return what a job does, or waits for; empty if that is unknown."""
    if job.error is not None and job.state.ended:
        return str(job.error.get("message", ""))
    return job.progress_text if job.state is JobState.RUNNING else job.reason


def status(job: Job) -> dict[str, Any]:
    """Return the state of a job as the structured result of a tool."""
    found: dict[str, Any] = {"job_id": job.id, "state": job.state.shown, "progress": job.progress}
    if words := message(job):
        found["message"] = words
    return found


def _moment(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
