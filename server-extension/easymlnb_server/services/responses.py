"""The responses about services, as structs; OpenAPI documents describe them.

A field that is ``UNSET`` is left out.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import asdict

from easymlnb.contract.environment_record import Drift
from easymlnb.contract.quality import QualitySummary
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Access


def timestamp(seconds: float) -> str:
    """Return a time in seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


FullName = Annotated[str, Meta(description="On a shared service `owner/name`.")]
Public = Annotated[
    bool, Meta(description="Whether visitors without a login may open its app, at `public/{name}`.")
]
SharedWith = Annotated[
    Access, Meta(description="Who may call it; only for its owner, on a shared service.")
]
ServiceStatus = Literal["live", "ready", "starting", "failed", "busy", "asleep"]
Reason = Annotated[str, Meta(description="Why workers that are needed are missing.")]
StartError = Annotated[
    dict[str, Any], Meta(description="Why the newest version did not start: code and message.")
]
RetryDelay = Annotated[float, Meta(description="Seconds until the next attempt to start.")]
CurrentVersion = Annotated[
    int | None, Meta(description="The published version that answers, if any.")
]
IsLive = Annotated[bool, Meta(description="Whether an author's kernel serves it now.")]
Summary = Annotated[str, Meta(description="Its purpose in one line.")]
Shape = Annotated[str, Meta(description="Its parameters and its result in words.")]
Inputs = Annotated[list[str], Meta(description="The kinds of values that it takes.")]
Thumbnail = Annotated[str | None, Meta(description="The URL of its picture.")]


PackageDrift = Annotated[
    Drift,
    Meta(description="Packages that changed since publishing, as the latest worker found them."),
]


Quality = Annotated[
    QualitySummary, Meta(description="What the quality gate found, if the version passed it.")
]


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
    retry_in: RetryDelay | UnsetType = UNSET
    drift: PackageDrift | UnsetType = UNSET
    quality: Quality | UnsetType = UNSET
    version: CurrentVersion
    live: IsLive


class ServiceText(msgspec.Struct, frozen=True, kw_only=True):
    """What lists show of a service's schema and metadata."""

    summary: Summary
    shape: Shape
    inputs: Inputs
    libraries: list[str]
    tasks: list[str]
    thumbnail: Thumbnail


class ServiceSummary(ServiceState, frozen=True, kw_only=True):
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
    license: str
    url: str
    summary: Summary
    shape: Shape
    inputs: Inputs
    libraries: list[str]
    tasks: list[str]
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


Service = msgspec.defstruct(
    "Service",
    [
        (field.name, field.type) if field.required else (field.name, field.type, UNSET)
        for part in (ServiceNames, ServiceState)
        for field in msgspec.structs.fields(part)
    ]
    + [("stats", Stats | UnsetType, UNSET)],
    bases=(ServiceSpec,),
    namespace={
        "__doc__": "A service: its schema, metadata and state. "
        "Fields with their default are left out."
    },
    frozen=True,
    kw_only=True,
    omit_defaults=True,
)


def describe(
    spec: ServiceSpec, names: ServiceNames, state: ServiceState, stats: Stats | UnsetType
) -> msgspec.Struct:
    """Return a ``Service`` without its page and picture, which have their own routes."""
    about = spec.metadata
    fields = asdict(spec) | {
        "app": None,
        "metadata": about and msgspec.structs.replace(about, thumbnail=""),
    }
    return Service(**(fields | asdict(names) | asdict(state)), stats=stats)


class VersionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A published version."""

    version: int
    bundle: Annotated[str | UnsetType, Meta(description="For its owner only.")] = UNSET
    created: str
    current: Annotated[bool, Meta(description="Whether it describes the service.")]
    weight: Annotated[float, Meta(description="Percentage of the calls that it answers.")]
    aliases: list[str]
    drift: PackageDrift | UnsetType = UNSET


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
    entry: Annotated[str, Meta(description="`http` for a call, `job` for a job.")]
    models: Annotated[str, Meta(description="The models that it used, such as `forest=4`.")]
    time: str
    outcome: Literal["answered", "stopped", "error"]


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The last calls of a service, newest last."""

    entries: list[LogEntry]


class MetadataForms(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of a service in the formats of several catalogs."""

    metadata: Annotated[dict[str, Any], Meta(description="As the author wrote it.")]
    deep: Annotated[dict[str, Any], Meta(description="DEEP's application schema v1.")]
    ai4os: Annotated[dict[str, Any], Meta(description="AI4OS's metadata schema v2.3.0.")]
    mldcat_ap: Annotated[dict[str, Any], Meta(description="MLDCAT-AP 3.0 as JSON-LD.")]
    schema_org: Annotated[dict[str, Any], Meta(description="JSON-LD.")]
    missing: Annotated[
        dict[str, Any], Meta(description="Fields that a schema requires and the author left out.")
    ]
