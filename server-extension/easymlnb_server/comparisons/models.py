"""Comparisons as data: what requests and responses contain, and what is stored of each item."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from easymlnb_server.comparisons.findings import Difference, Outcome, ResultFinding, Tolerance

MAX_ITEMS, DEFAULT_ITEMS = 1000, 200

State = Literal["queued", "running", "succeeded", "failed"]
Source = Literal["examples", "recorded", "flagged", "upload"]


class UploadedTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of inputs that was uploaded with ``field=:rows``: CSV or JSON lines."""

    upload: str


class ComparisonRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two versions to compare, and the inputs."""

    versions: Annotated[
        tuple[int | str, int | str], Meta(description="Version numbers or aliases.")
    ]
    on: Annotated[
        Literal["examples", "recorded", "flagged"] | UploadedTable,
        Meta(description="Where the inputs come from."),
    ] = "examples"
    limit: Annotated[
        int, Meta(ge=1, le=MAX_ITEMS, description="Inputs at most; of calls, the newest.")
    ] = DEFAULT_ITEMS
    tolerance: Tolerance = Tolerance()


class AnswerSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one version answered one input."""

    status: int
    seconds: Annotated[float, Meta(description="Seconds in the worker.")] = 0.0
    code: Annotated[str, Meta(description="The code of the error; empty for none.")] = ""
    message: str = ""


class ItemResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of one input."""

    outcome: Outcome
    inputs: str = ""
    note: str = ""
    before: AnswerSummary | None = None
    after: AnswerSummary | None = None
    finding: ResultFinding | None = None


class ItemResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input and what the two versions made of it."""

    number: int
    outcome: Outcome
    inputs: Annotated[str, Meta(description="The start of the inputs.")] = ""
    record: Annotated[str, Meta(description="The recorded call that it is from.")] = ""
    note: str = ""
    before: AnswerSummary | None = None
    after: AnswerSummary | None = None
    count: Annotated[int, Meta(ge=0, description="Values of the result that differ.")] = 0
    differences: Annotated[list[Difference], Meta(description="The first of them.")] = []


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds in the worker of one version's successful calls."""

    version: int
    calls: int
    errors: int
    mean: float | None
    p50: float | None
    p95: float | None


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """How often one label became another."""

    before: str
    after: str
    count: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison in numbers."""

    outcomes: Annotated[dict[str, int], Meta(description="Inputs by outcome.")]
    latency: list[Latency]
    flips: Annotated[list[Flip], Meta(description="The most frequent first.")]
    largest: Annotated[float | None, Meta(description="Largest difference of two numbers.")]
    iou: Annotated[float | None, Meta(description="Mean IoU of label images.")]
    errors: Annotated[
        dict[str, list[int]], Meta(description="Errors by code: of the first and second version.")
    ]


class ComparisonSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison in a list."""

    id: str
    service: str
    versions: tuple[int, int]
    on: Source
    state: State
    total: int
    done: int
    created: str
    ended: str | None
    made_by: str
    error: dict[str, Any] | UnsetType = UNSET


class Comparison(ComparisonSummary, frozen=True, kw_only=True):
    """A comparison with what is known so far."""

    tolerance: Tolerance
    summary: Summary
    items: list[ItemResponse]


class ComparisonList(msgspec.Struct, frozen=True, kw_only=True):
    """The comparisons of a service, newest first."""

    comparisons: list[ComparisonSummary]


class ShadowDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that a version and its shadow answered differently."""

    request_id: str
    error: Annotated[str, Meta(description="The code of the version's error, if any.")] = ""
    shadow_error: str = ""
    differences: list[Difference] = []


class ShadowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a version and its shadow answered since the server started."""

    version: str
    shadow: str
    outcomes: Annotated[dict[str, int], Meta(description="Calls by outcome.")]
    p50: Annotated[float | None, Meta(description="Median seconds of the last calls.")]
    shadow_p50: float | None
    dropped: Annotated[int, Meta(ge=0, description="Calls that were not compared.")]
    recent: Annotated[
        list[ShadowDifference], Meta(description="The last calls that differed, newest last.")
    ]


class ShadowList(msgspec.Struct, frozen=True, kw_only=True):
    """The shadows of a service."""

    shadows: list[ShadowSummary]
