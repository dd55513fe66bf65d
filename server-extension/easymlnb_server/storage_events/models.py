"""Data of sources: configuration, rows of files, and the state that callers see."""

import itertools
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from easymlnb_server.identity.principals import parse_configured

MAX_SETTLE = 3600.0


class ItemState(StrEnum):
    """The state of a file: taken, its job is stored, and how that ended."""

    TAKEN = "taken"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder or a bucket whose new files a service gets.

    - ``service``: the service's name; on a shared server with its owner
    - ``user``: whose rights the jobs have; only on a shared server
    - ``folder``: an absolute path, or ``bucket``: the name of a bucket
    - ``pattern``: names of files, such as ``*.csv``
    - ``recursive``: take files of subfolders too; results get the same relative paths
    - ``results``: another folder, or another prefix of the bucket, for results
    - ``parameter``: the parameter that gets the file; by default the first that takes files
    - ``inputs``: values of other parameters
    - ``accept``: the media type of results
    - ``lane``, ``attempts``: as of a submitted job
    - ``max_jobs``: files whose jobs may be unfinished at a time
    - ``settle``: seconds for which a file must not change before it is taken
    - ``polling``: list the folder at intervals, for network file systems
    - ``queue``, ``endpoint``, ``region``, ``prefix``: of a bucket: the URL of the SQS queue with
      its notifications, the URL of S3 and SQS if they are not Amazon's, and a prefix of keys
    """

    service: str
    user: str = ""
    folder: str = ""
    bucket: str = ""
    pattern: str = "*"
    recursive: bool = False
    results: str = ""
    parameter: str = ""
    inputs: dict[str, Any] = {}
    accept: str = ""
    lane: str = ""
    attempts: int = 1
    max_jobs: Annotated[int, Meta(ge=1, le=10_000)] = 50
    settle: Annotated[float, Meta(ge=0.05, le=MAX_SETTLE)] = 1.0
    polling: bool = False
    queue: str = ""
    endpoint: str = ""
    region: str = ""
    prefix: str = ""

    def __post_init__(self) -> None:
        if bool(self.folder) == bool(self.bucket):
            raise ValueError("set either folder or bucket")
        if not self.service:
            raise ValueError("service is missing")
        if self.bucket and self.recursive:
            raise ValueError("recursive is for folders; a bucket's prefix covers all keys below it")
        if self.folder:
            _check_folder(Path(self.folder), Path(self.results) if self.results else None)
        elif self.results and self.prefix.startswith(self.results):
            raise ValueError("results must not be a prefix of the watched objects")

    @property
    def place(self) -> str:
        """The folder or bucket, for people."""
        return self.folder or f"s3://{self.bucket}/{self.prefix}"


def _check_folder(folder: Path, results: Path | None) -> None:
    if not folder.is_absolute():
        raise ValueError(f"folder must be an absolute path, not {str(folder)!r}")
    if results is None:
        return
    if not results.is_absolute():
        raise ValueError(f"results must be an absolute path, not {str(results)!r}")
    if results == folder:
        raise ValueError("results must be another folder than the watched one")


def parse_sources(configured: Mapping[str, Any], *, shared: bool) -> dict[str, Source]:
    """Return the sources of a setting; raises ``ValueError`` that names the source."""
    sources = parse_configured(configured, Source, "source", shared=shared)
    folders = [(Path(one.folder), one.recursive) for one in sources.values() if one.folder]
    for one, other in itertools.permutations(folders, 2):
        if one[0] == other[0]:
            raise ValueError(f"two sources have the same folder {str(one[0])!r}")
        if one[1] and other[0].is_relative_to(one[0]):
            raise ValueError(
                f"the folder {str(other[0])!r} is also watched by the recursive source of "
                f"{str(one[0])!r}"
            )
    return sources


class TakenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of files: one file that was taken.

    - ``identity``: what tells the file from every other file of its source
    - ``path``: its name in the source
    - ``place``: where the source has it: the folder of the claim, or the version of an object
    - ``target``: the name under which its input and result are left
    """

    id: str
    source: str
    identity: str
    path: str
    place: str
    size: int
    state: ItemState = ItemState.TAKEN
    job: str | None = None
    target: str | None = None
    error: dict[str, Any] | None = None
    created: float = 0.0
    ended: float | None = None


class Found(msgspec.Struct, frozen=True):
    """A file that this source has claimed."""

    id: str
    identity: str
    path: str
    place: str
    size: int


class FileOutcome(msgspec.Struct, frozen=True):
    """What is left of a job: the stored file of its result, or its error."""

    file: str = ""
    media_type: str = ""
    filename: str = ""
    error: dict[str, Any] | None = None


class ItemShown(msgspec.Struct, kw_only=True):
    """A file as callers see it; times are seconds since 1970."""

    id: str
    path: str
    size: int
    state: ItemState
    job: str | None
    target: Annotated[
        str | None, Meta(description="Name to which the ending of its result is added.")
    ]
    error: dict[str, Any] | None
    created: float
    ended: float | None


class SourceShown(msgspec.Struct, kw_only=True):
    """A source as callers see it."""

    name: str
    service: str
    user: str
    place: Annotated[str, Meta(description="The folder, or the bucket with its prefix.")]
    pattern: str
    state: Annotated[str, Meta(description="`watching`, `waiting` with a reason, or `stopped`.")]
    reason: str
    counts: Annotated[dict[str, int], Meta(description="Files by state.")]


class SourceDetails(SourceShown, kw_only=True):
    """A source with its latest files."""

    files: list[ItemShown]


class SourceList(msgspec.Struct, kw_only=True):
    """All sources that the caller may see."""

    sources: list[SourceShown]


class EventsTaken(msgspec.Struct, kw_only=True):
    """The response to a notification: how many objects were new."""

    taken: int
