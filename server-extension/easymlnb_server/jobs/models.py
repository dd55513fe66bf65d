"""What a job is: its row, and what callers see of it."""

import os
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

CALL = "call"
"""The kind of a job that is one call of a service."""

BATCH = "batch"
"""The kind of a job that runs the rows of a table."""

SWEEP, TRIAL = "sweep", "trial"
"""The kinds of a job that runs a service with many parameters, and of each of these runs."""
TRAIN = "train"
"""The kind of a job that trains a model: its success adds a version to the model."""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class JobState(StrEnum):
    """The state of a job.

    ``starting`` has a claim and no running function yet; callers see it as ``queued``.
    """

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in ENDED

    @property
    def shown(self) -> str:
        """The word for callers."""
        return JobState.QUEUED.value if self is JobState.STARTING else self.value


ENDED = frozenset((JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED))
HELD = (JobState.STARTING, JobState.RUNNING)
"""The states in which a server process holds the job."""


STATES = tuple(dict.fromkeys(state.shown for state in JobState))
"""The words for states that callers see."""


class JobInput(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a job's call: a stored file, and stored uploads as id, file and size."""

    file: str
    uploads: tuple[tuple[str, str, int], ...] = ()


class JobOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the call of a job is made, who submitted it, and under which ID it is logged.

    ``api_key`` is the id of the key that was used, if any; ``schedule`` that of the schedule that
    made the job. ``webhook`` is a URL that is called at the ``webhook_events`` of this job only,
    ``webhook_secret`` the encrypted secret that signs.
    """

    request_id: str = ""
    view: bool = False
    user: str = ""
    api_key: str = ""
    schedule: str = ""
    webhook: str = ""
    webhook_events: tuple[str, ...] = ()
    webhook_secret: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of jobs; the columns are described there."""

    id: str
    owner: str
    service: str
    version: str
    bundle: str
    author: str
    lane: str
    input: JobInput
    kind: str = CALL
    rank: int = 0
    key: str | None = None
    fingerprint: str = ""
    state: JobState = JobState.QUEUED
    attempt: int = 0
    attempts: int = 1
    raised: int = 0
    losses: int = 0
    lost: int = 0
    token: int = 0
    holder: str | None = None
    worker: str | None = None
    not_before: float = 0.0
    timeout: float = 0.0
    cancel: bool = False
    input_type: str = ""
    accept: str = ""
    options: JobOptions = JobOptions()
    result: str | None = None
    result_type: str = ""
    result_name: str = ""
    models: str = ""
    error: dict[str, Any] | None = None
    log: str | None = None
    checkpoint: str | None = None
    former_checkpoint: str | None = None
    progress: float = 0.0
    progress_text: str = ""
    reason: str = ""
    parent: str | None = None
    item: int | None = None
    retry_of: str | None = None
    created: float = 0.0
    began: float | None = None
    ended: float | None = None
    changed: float = 0.0
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A step of a job that is replayed to who follows it; ``n`` counts from 1."""

    n: int
    time: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job. ``outcome`` is empty while it runs."""

    number: int
    worker: str
    began: float
    ended: float | None
    outcome: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a job saved under a label."""

    label: str
    file: str
    size: int
    media_type: str
    attempt: int


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A value that a job reported at a step."""

    name: str
    step: int
    value: float
    time: float


class FileShown(msgspec.Struct, kw_only=True):
    """A file of a job, as callers see it."""

    label: str
    size: int
    media_type: str
    url: str


class MetricShown(msgspec.Struct, kw_only=True):
    """A value that a job reported, as callers see it."""

    name: str
    step: int
    value: float


class AttemptShown(msgspec.Struct, kw_only=True):
    """A run of a job, as callers see it; times are seconds since 1970."""

    number: int
    began: float
    ended: float | None
    outcome: str


class JobShown(msgspec.Struct, kw_only=True):
    """A job as callers see it; times are seconds since 1970."""

    id: str
    service: str
    version: str
    kind: str
    lane: str
    state: Annotated[str, Meta(description=", ".join(STATES))]
    owner: Annotated[str, Meta(description="Who submitted it; empty on a personal server.")]
    progress: float
    progress_text: str
    reason: Annotated[str, Meta(description="What a queued job waits for.")]
    position: Annotated[int | None, Meta(description="Place in the lane of a queued job, from 1.")]
    attempt: int
    cancelling: bool
    created: float
    began: float | None
    ended: float | None
    expires: float | None
    error: dict[str, Any] | None
    retry_of: str | None
    models: Annotated[str, Meta(description="Models that it used, such as `forest=4`.")]
    schedule: Annotated[str, Meta(description="The schedule that made it, if any.")]
    url: str
    result: str
    events: str
    log: str


class JobModelShown(msgspec.Struct, kw_only=True):
    """The version of a model that a job has made."""

    name: str
    version: int
    file: Annotated[str, Meta(description="Label of the job's file with the model.")]
    may_use: Annotated[bool, Meta(description="Whether you may put it in production.")]
    used: Annotated[bool, Meta(description="Whether it is in production.")]


class JobDetails(JobShown, kw_only=True):
    """A job with its runs, files and metrics."""

    attempts: list[AttemptShown]
    files: list[FileShown]
    metrics: list[MetricShown]
    model: Annotated[
        JobModelShown | None, Meta(description="What a training that succeeded has made.")
    ] = None


class JobAccepted(msgspec.Struct, kw_only=True):
    """The response to a submitted job."""

    id: str
    state: str
    url: str
    result: str
    events: str
    webhook_secret: Annotated[
        str | UnsetType, Meta(description="The secret that signs the messages of its webhook.")
    ] = UNSET


class JobPage(msgspec.Struct, kw_only=True):
    """A part of the list of jobs; ``next`` is the ``start`` of the next part."""

    jobs: list[JobShown]
    total: int
    next: str | None


def new_id(now: float | None = None) -> str:
    """Return a ULID: 26 characters that sort by time."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    number = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
