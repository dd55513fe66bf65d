"""Jobs as DEEPaaS shows trainings. Pure functions."""

from datetime import datetime, timedelta
from typing import Any

from easymlnb.contract.deepaas import DeepaasRequest
from easymlnb.contract.errors import BadRequest
from easymlnb_server.jobs.models import ALPHABET, Job, JobState

Json = dict[str, Any]

WORDS = {
    JobState.SUCCEEDED: "done",
    JobState.FAILED: "error",
    JobState.CANCELLED: "cancelled",
}
"""DEEPaaS's words; all other states are ``running``."""


def uuid_of(job: str) -> str:
    """Return the id of a job, which has 128 bits, in the form of a UUID without dashes."""
    number = 0
    for character in job:
        number = number * len(ALPHABET) + ALPHABET.index(character)
    return f"{number:032x}"


def job_of(uuid: str) -> str | None:
    """Return the id of the job with a UUID; ``None`` if it is none."""
    digits = uuid.replace("-", "")
    if len(digits) != 32 or not digits.isascii() or not digits.isalnum():
        return None
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_gone(job: Job) -> bool:
    """Return whether a training was canceled, after which clients find it no more."""
    return job.cancel or job.state is JobState.CANCELLED


def shown(job: Job, output: Any = None, status: str = "") -> Json:
    """Return a training; ``output`` is what the method returned."""
    made: Json = {
        "date": _time(job.created),
        "args": arguments(job.input_type),
        "uuid": uuid_of(job.id),
        "status": status or WORDS.get(job.state, "running"),
    }
    if job.state is JobState.FAILED and job.error is not None:
        made["message"] = job.error.get("message", "")
    if job.state is JobState.SUCCEEDED and job.ended is not None:
        made["result"] = {
            "finish_date": _time(job.ended),
            "output": output,
            "duration": str(timedelta(seconds=round(job.ended - job.created, 6))),
        }
    return made


def arguments(media_type: str) -> Json:
    """Return the arguments of a training from the media type of its job."""
    try:
        return DeepaasRequest.from_media_type(media_type).arguments
    except BadRequest:
        return {}  # a job that was submitted by another route


def _time(seconds: float) -> str:
    """Return a time in the server's zone, with microseconds, which clients parse."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S.%f")
