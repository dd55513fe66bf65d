"""Names of files and of their results, and when a file is complete. Pure functions."""

import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest, NotReady, TooLarge
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.jsonschema import properties
from easymlnb.contract.spec import ServiceSpec

ERROR = ".error.json"
RESULT = ".result"
JSON = "application/json"

LONGEST_NAME = 180
"""Bytes of a file's name that stays as it is; most file systems allow 255."""

LONGEST_START, LONGEST_SUFFIX = 30, 20

PARTIAL = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".swp", "~")
"""Endings of files that other programs are still writing."""

Stamp = tuple[int, int]
"""The size and the time of the last change of a file."""


def is_wanted(name: str, pattern: str) -> bool:
    """Return whether a file with this name is an input, and not one of our own files."""
    if name.startswith(".") or name.endswith(PARTIAL) or is_ours(name):
        return False
    return fnmatchcase(name, pattern)


def is_ours(name: str) -> bool:
    """Return whether a name is that of a result or an error."""
    return name.endswith(ERROR) or PurePosixPath(name).stem.endswith(RESULT)


class Settling:
    """Which files have not changed for a while.

    ``seconds`` is that while. The times are of a monotonic clock, because the clocks of file
    servers differ.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, tuple[Stamp, float]] = {}

    def settled(self, found: Mapping[str, Stamp], now: float) -> list[str]:
        """Return which of these files are complete; ``found`` are all that there are."""
        self._seen = {
            name: known if (known := self._seen.get(name)) and known[0] == stamp else (stamp, now)
            for name, stamp in found.items()
        }
        return sorted(
            name for name, (_, since) in self._seen.items() if now - since >= self._seconds
        )

    @property
    def pending(self) -> bool:
        """Whether files wait to be complete."""
        return bool(self._seen)


def safe_name(name: str, id: str) -> str:
    """Return the name of a file as text that can be stored, with room for the result's ending."""
    shown = name.encode(errors="surrogateescape").decode(errors="replace")
    if len(shown.encode()) <= LONGEST_NAME:
        return shown
    suffix = PurePosixPath(shown).suffix
    return f"{shown[:LONGEST_START]}-{id}{suffix if len(suffix) < LONGEST_SUFFIX else ''}"


def safe_path(path: str, id: str) -> str:
    """Return a relative path as text that can be stored; see ``safe_name``."""
    return str(PurePosixPath(*(safe_name(part, id) for part in PurePosixPath(path).parts)))


def numbered_name(path: str, id: str) -> str:
    """Return the name of a file whose own name is taken already."""
    name = PurePosixPath(path)
    return str(name.with_name(f"{name.stem}-{id}{name.suffix}"))


def result_name(target: str, media_type: str, filename: str) -> str:
    """Return the name of the result of a file; ``filename`` is what the service calls it."""
    kind = media_type.partition(";")[0].strip().lower()
    suffix = PurePosixPath(filename).suffix
    if not suffix.isprintable() or len(suffix.encode()) > LONGEST_SUFFIX:
        suffix = ""
    suffix = suffix or mimetypes.guess_extension(kind) or ".bin"
    return f"{target}{RESULT}{'.json' if kind == JSON else suffix}"


def media_type_of(path: str) -> str:
    """Return the media type of a file by its name."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def file_parameter(spec: ServiceSpec, wanted: str, path: str) -> str:
    """Return the parameter that gets a file, or ``""`` for a file with all parameters as JSON.

    Raises ``NotReady`` if the service lacks the ``wanted`` parameter, so that no file can be
    taken, and ``BadRequest`` for a file of a kind that it does not take.
    """
    known = properties(spec.input)
    if wanted:
        if wanted not in known:
            raise NotReady(
                f"{spec.name!r} has no parameter {wanted[:80]!r}. Its parameters: "
                f"{', '.join(known) or 'none'}. Change the source's setting."
            )
        return wanted
    media_type = media_type_of(path)
    takers = file_parameters(spec.input)
    chosen = next((one.name for one in takers if one.accepts(path, media_type)), "")
    if chosen or media_type == JSON:
        return chosen
    if takers:
        return takers[0].name
    raise BadRequest(
        f"{spec.name!r} takes no files of the type {media_type!r}, only JSON files with all "
        "parameters. Or name the parameter that gets the file's text in the source's setting."
    )


def check_size(size: int, spec: ServiceSpec) -> None:
    """Raise ``TooLarge`` for a file that a service does not accept."""
    if size > spec.max_body:
        raise TooLarge(
            f"The file has at least {size:,} bytes; {spec.name!r} accepts at most "
            f"{spec.max_body:,}."
        )


def limited(chunks: Iterable[bytes], spec: ServiceSpec) -> Iterator[bytes]:
    """Yield the content of a file, which may be larger than a notification said."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        check_size(size, spec)
        yield chunk


def multipart(
    parameter: str, path: str, inputs: Mapping[str, Any], content: Iterable[bytes], boundary: str
) -> Iterator[bytes]:
    """Yield a form with a file and the other parameters of a call."""
    for name, value in inputs.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        yield f"{head}Content-Type: {JSON}\r\n\r\n".encode()
        yield msgspec.json.encode(value) + b"\r\n"
    filename = PurePosixPath(path).name.replace("\\", "_").replace('"', "%22")
    filename = filename.replace("\r", "_").replace("\n", "_")
    disposition = f'form-data; name="{parameter}"; filename="{filename}"'
    head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n"
    yield f"{head}Content-Type: {media_type_of(path)}\r\n\r\n".encode("utf-8", "replace")
    yield from content
    yield f"\r\n--{boundary}--\r\n".encode()
