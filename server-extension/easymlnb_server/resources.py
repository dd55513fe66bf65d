"""The bodies of responses, as structs: handlers return them, and OpenAPI documents describe them.

A field that is ``UNSET`` is left out.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.calls.log import CallRecord
from easymlnb_server.identity.access import Access


def timestamp(seconds: float) -> str:
    """Return a time in seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


Count = Annotated[int, Meta(ge=0)]
FullName = Annotated[str, Meta(description="On a shared service `owner/name`.")]
Public = Annotated[
    bool, Meta(description="Whether visitors without a login may open its app, at `public/{name}`.")
]
SharedWith = Annotated[
    Access, Meta(description="Who may call it; only for its owner, on a shared service.")
]
ServiceStatus = Literal["live", "ready", "starting", "failed", "busy", "asleep"]
BundleStatus = Literal["starting", "ready", "failed"]
Reason = Annotated[str, Meta(description="Why workers that are needed are missing.")]
StartError = Annotated[
    dict[str, Any], Meta(description="Why the newest version did not start: code and message.")
]
RetryIn = Annotated[float, Meta(description="Seconds until the next attempt to start.")]
CurrentVersion = Annotated[
    int | None, Meta(description="The published version that answers, if any.")
]
IsLive = Annotated[bool, Meta(description="Whether an author's kernel serves it now.")]
Summary = Annotated[str, Meta(description="Its purpose in one line.")]
Shape = Annotated[str, Meta(description="Its parameters and its result in words.")]
Inputs = Annotated[list[str], Meta(description="The kinds of values that it takes.")]
Thumbnail = Annotated[str | None, Meta(description="The URL of its picture.")]


# errors


class ErrorDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong."""

    code: Annotated[str, Meta(description="Stable and machine-readable.")]
    message: Annotated[str, Meta(description="One sentence for people.")]
    details: Annotated[
        Any, Meta(description="More about the error; the fields of a validation error.")
    ] = UNSET
    request_id: Annotated[str, Meta(description="The id of the request in the server's log.")]


class ErrorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every response with a status from 400."""

    error: ErrorDetails


# services


class ServiceNames(msgspec.Struct, frozen=True, kw_only=True):
    """The names of a service, its owner, and who may call it."""

    name: str
    full_name: FullName
    owner: str
    public: Public
    shared: SharedWith | UnsetType = UNSET


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a service; the bundle, the error and the reason are for its owner."""

    state: ServiceStatus
    bundle: str | UnsetType = UNSET
    error: StartError | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    retry_in: RetryIn | UnsetType = UNSET
    version: CurrentVersion
    live: IsLive


class ServiceText(msgspec.Struct, frozen=True, kw_only=True):
    """What lists show of a service's schema and metadata."""

    summary: Summary
    shape: Shape
    inputs: Inputs
    thumbnail: Thumbnail


class ServiceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A service in a list."""

    name: str
    full_name: FullName
    owner: str
    public: Public
    shared: SharedWith | UnsetType = UNSET
    title: str
    description: str
    tags: list[str]
    author: str
    url: str
    state: ServiceStatus
    bundle: str | UnsetType = UNSET
    error: StartError | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    retry_in: RetryIn | UnsetType = UNSET
    version: CurrentVersion
    live: IsLive
    summary: Summary
    shape: Shape
    inputs: Inputs
    thumbnail: Thumbnail
    called: Annotated[str | None, Meta(description="The time of the last call.")]
    created: Annotated[str | None, Meta(description="When it was published or made live.")]


class ServiceList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list of services."""

    services: list[ServiceSummary]
    total: Annotated[int, Meta(ge=0, description="The number of services on all pages.")]
    next: Annotated[str | None, Meta(description="The URL of the next page, or null.")]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the calls of one version, and of its workers."""

    calls: Annotated[int, Meta(ge=0, description="Calls that have ended.")]
    errors: Annotated[int, Meta(ge=0, description="Calls that ended in an error.")]
    stopped: Annotated[int, Meta(ge=0, description="Calls that their callers stopped or left.")]
    refused: Annotated[int, Meta(ge=0, description="Calls that were not accepted.")]
    p50: Annotated[float | None, Meta(description="Median duration in seconds.")]
    p95: Annotated[float | None, Meta(description="95th percentile of the duration in seconds.")]
    waiting: Annotated[int, Meta(ge=0, description="Calls in the queue.")]
    running: Annotated[int, Meta(ge=0, description="Calls in a worker.")]
    workers: Annotated[int | None, Meta(description="Null for a live service.")] = None
    workers_wanted: int | None = None
    restarts: Annotated[int | None, Meta(description="Workers lost and replaced.")] = None
    memory_bytes: Annotated[int | None, Meta(description="Resident memory of the workers.")] = None


class Service(ServiceSpec, frozen=True, kw_only=True, omit_defaults=True):
    """A service: its schema, metadata and state. Fields with their default are left out."""

    full_name: FullName
    owner: str
    public: Public
    shared: SharedWith | UnsetType = UNSET
    state: ServiceStatus
    bundle: str | UnsetType = UNSET
    error: StartError | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    retry_in: RetryIn | UnsetType = UNSET
    version: CurrentVersion
    live: IsLive
    stats: Stats | UnsetType = UNSET

    @classmethod
    def describe(
        cls,
        spec: ServiceSpec,
        names: ServiceNames,
        state: ServiceState,
        stats: Stats | UnsetType,
    ) -> "Service":
        """Return a service without its page and picture, which have routes of their own."""
        about = spec.metadata
        fields = msgspec.structs.asdict(spec) | {
            "app": None,
            "metadata": about and msgspec.structs.replace(about, thumbnail=""),
        }
        more = msgspec.structs.asdict(names) | msgspec.structs.asdict(state)
        return cls(**(fields | more), stats=stats)


class VersionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A published version."""

    version: int
    bundle: Annotated[str | UnsetType, Meta(description="For its owner only.")] = UNSET
    created: str
    current: bool


class VersionList(msgspec.Struct, frozen=True, kw_only=True):
    """The published versions of a service, oldest first."""

    versions: list[VersionSummary]


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A call that ended."""

    request_id: str
    version: Annotated[str, Meta(description="A number, or `live`.")]
    status: int
    seconds: float
    log: Annotated[str, Meta(description="What the call printed.")]
    trace: Annotated[str, Meta(description="The traceback, when the function raised.")]
    code: Annotated[str, Meta(description="The code of the error; empty for none.")]
    time: str
    outcome: Literal["answered", "stopped", "error"]


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The last calls of a service, newest last."""

    entries: list[LogEntry]

    @classmethod
    def of(cls, entries: list[CallRecord]) -> "Log":
        """Return the log with these entries."""
        return cls(
            entries=[
                LogEntry(**{name: getattr(one, name) for name in LogEntry.__struct_fields__})
                for one in entries
            ]
        )


class MetadataForms(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of a service in the formats of several catalogs."""

    metadata: Annotated[dict[str, Any], Meta(description="As the author wrote it.")]
    deep: Annotated[dict[str, Any], Meta(description="DEEP's application schema v1.")]
    ai4os: Annotated[dict[str, Any], Meta(description="AI4OS's metadata schema v2.3.0.")]
    schema_org: Annotated[dict[str, Any], Meta(description="JSON-LD.")]
    missing: Annotated[
        dict[str, Any], Meta(description="Fields that a schema requires and the author left out.")
    ]


class ViewPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what a person should see; further fields depend on the kind."""

    kind: str
    title: str | UnsetType = UNSET
    data: Any = UNSET


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a person should see of a result."""

    parts: list[ViewPart]
    result: Annotated[Any, Meta(description="The JSON result, or null when it is large.")] = UNSET


# publishing


class BundleService(msgspec.Struct, frozen=True, kw_only=True):
    """A service of a bundle."""

    name: str
    full_name: FullName
    version: int
    public: Public


class BundleSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A published bundle, its state and its services."""

    bundle: str
    state: BundleStatus
    created: str
    files: list[str]
    requirements: list[str]
    environment: dict[str, Any]
    unchanged: Annotated[
        bool | UnsetType, Meta(description="Whether this content was published before.")
    ] = UNSET
    error: Annotated[
        dict[str, Any] | UnsetType,
        Meta(description="Why it failed: code, message, and the cell with its traceback."),
    ] = UNSET
    notebook: Annotated[str | UnsetType, Meta(description="The URL of the executed notebook.")] = (
        UNSET
    )
    reason: Annotated[
        str | UnsetType, Meta(description="What the start of its worker waits for.")
    ] = UNSET
    services: list[BundleService]


# uploads, callers, placements, health


class UploadStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A new upload."""

    id: str
    offset: Count
    chunk: Annotated[int, Meta(ge=0, description="Bytes that a part should have.")]


class UploadProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The number of bytes that have arrived."""

    offset: Count
    size: Count | UnsetType = UNSET


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The caller."""

    name: str
    groups: list[str]
    admin: bool
    shared: Annotated[bool, Meta(description="Whether this is the shared service of a Hub.")]


class PlacementSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A placement, and its nodes unless they were not asked for."""

    name: str
    user: str
    profile: dict[str, Any]
    proxy: str
    nodes: list[dict[str, Any]] | UnsetType = UNSET
    error: Annotated[str | UnsetType, Meta(description="Why the nodes are not known.")] = UNSET


class PlacementList(msgspec.Struct, frozen=True, kw_only=True):
    """Where workers may run."""

    placements: list[PlacementSummary]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the server."""

    status: Literal["ok", "not_ready"]
