"""What callers see of jobs."""

from typing import Any
from urllib.parse import quote

from msgspec import UNSET

from easymlnb_server.calls.responses import attachment
from easymlnb_server.identity.access import user_of_key
from easymlnb_server.jobs.models import (
    Attempt,
    AttemptShown,
    FileShown,
    Job,
    JobAccepted,
    JobDetails,
    JobShown,
    MetricShown,
    MetricValue,
    StoredFile,
)


def job_url(address: str, id: str) -> str:
    """Return the URL of a job below the address of all routes."""
    return f"{address}jobs/{id}"


def accepted(job: Job, address: str, webhook_secret: str) -> JobAccepted:
    """Return the response to a submitted job, with the secret of its own webhook, if any."""
    url = job_url(address, job.id)
    return JobAccepted(
        id=job.id,
        state=job.state.shown,
        url=url,
        result=f"{url}/result",
        events=f"{url}/events",
        webhook_secret=webhook_secret or UNSET,
    )


def result_headers(job: Job) -> dict[str, str]:
    """Return the headers of the response with a job's result."""
    headers = {
        "Content-Type": job.result_type or "application/json",
        # An HTML or SVG result must not run as a page of this origin.
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Easymlnb-Version": job.version,
    }
    if job.result_name:
        headers["Content-Disposition"] = attachment(job.result_name)
    if job.models:
        headers["X-Easymlnb-Model"] = job.models
    return headers


def shown(job: Job, address: str, position: int | None = None) -> JobShown:
    """Return a job as callers see it."""
    return JobShown(**_fields(job, address, position))


def details(
    job: Job,
    address: str,
    position: int | None,
    attempts: list[Attempt],
    files: list[StoredFile],
    metrics: list[MetricValue],
) -> JobDetails:
    """Return a job with its runs, files and metrics."""
    url = job_url(address, job.id)
    return JobDetails(
        **_fields(job, address, position),
        attempts=[
            AttemptShown(number=a.number, began=a.began, ended=a.ended, outcome=a.outcome)
            for a in attempts
        ],
        files=[
            FileShown(
                label=file.label,
                size=file.size,
                media_type=file.media_type,
                url=f"{url}/files/{quote(file.label, safe='')}",
            )
            for file in files
        ],
        metrics=[MetricShown(name=m.name, step=m.step, value=m.value) for m in metrics],
    )


def _fields(job: Job, address: str, position: int | None) -> dict[str, Any]:
    url = job_url(address, job.id)
    same = (
        *("id", "service", "version", "kind", "lane", "progress", "progress_text", "reason"),
        *("attempt", "created", "began", "ended", "expires", "error", "retry_of", "models"),
    )
    return {name: getattr(job, name) for name in same} | {
        "state": job.state.shown,
        "owner": user_of_key(job.owner) or "",
        "position": position,
        "schedule": job.options.schedule,
        "cancelling": job.cancel and not job.state.ended,
        "url": url,
        "result": f"{url}/result",
        "events": f"{url}/events",
        "log": f"{url}/log",
    }
