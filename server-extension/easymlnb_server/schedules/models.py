"""What a schedule is: its row, what callers send, and what they see."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from easymlnb_server.jobs.models import JobInput


class Overlap(StrEnum):
    """What happens at a tick while the job of the last one has not ended."""

    SKIP = "skip"
    QUEUE = "queue"


class ScheduleOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the jobs of a schedule run; as in a submitted job."""

    lane: str = ""
    attempts: int = 1
    timeout: float = 0.0


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of schedules.

    - ``user``: whose rights its jobs have
    - ``next``: the next tick; ``None`` while the schedule is paused
    - ``tick``: the last tick that made a job
    - ``reason``: why it is paused, or why the last tick made no job
    """

    id: str
    owner: str
    user: str
    service: str
    cron: str
    zone: str
    input: JobInput
    options: ScheduleOptions = ScheduleOptions()
    overlap: Overlap = Overlap.SKIP
    next: float | None = None
    tick: float | None = None
    last_job: str | None = None
    runs: int = 0
    skipped: int = 0
    reason: str = ""
    created: float = 0.0
    changed: float = 0.0


Cron = Annotated[str, Meta(max_length=200, description="Five fields, such as `0 6 * * 1-5`.")]
Zone = Annotated[str, Meta(max_length=64, description="A time zone, such as `Europe/Berlin`.")]
Inputs = Annotated[
    dict[str, Any], Meta(description="The parameters of each call, as a JSON object.")
]


class ScheduleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new schedule."""

    service: str
    cron: Cron
    zone: Zone = "UTC"
    inputs: Inputs = {}
    overlap: Overlap = Overlap.SKIP
    lane: str = ""
    attempts: int = 1
    timeout: Annotated[float, Meta(ge=0, description="Seconds of one attempt.")] = 0.0
    paused: bool = False


class ScheduleChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a schedule."""

    cron: Cron | UnsetType = UNSET
    zone: Zone | UnsetType = UNSET
    inputs: Inputs | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    lane: str | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    timeout: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class ScheduleShown(msgspec.Struct, kw_only=True):
    """A schedule as callers see it; times are seconds since 1970."""

    id: str
    service: str
    owner: Annotated[str, Meta(description="Who made it; empty on a personal server.")]
    cron: str
    zone: str
    description: Annotated[str, Meta(description="The cron expression in words.")]
    overlap: Overlap
    lane: str
    attempts: int
    timeout: float
    paused: bool
    reason: Annotated[str, Meta(description="Why it is paused, or the last tick made no job.")]
    upcoming: Annotated[list[float], Meta(description="The next ticks.")]
    last_tick: float | None
    last_job: str | None
    runs: int
    skipped: int
    created: float
    url: str


class ScheduleDetails(ScheduleShown, kw_only=True):
    """A schedule with the parameters of its calls."""

    inputs: Any


class ScheduleList(msgspec.Struct, kw_only=True):
    """Schedules, newest first."""

    schedules: list[ScheduleShown]
