"""The file of a backup: a tar whose last member has the checksums of all others.

::

    header.json               format, easymlnb's version, schema, time
    tables/<name>.jsonl.gz    one row per line
    files/<sha256>            content-addressed files
    checksums.json            size and SHA-256 of each member; without it, the backup is incomplete
"""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from easymlnb.contract.errors import StorageUnusable

FORMAT = 1
HEADER, CHECKSUMS = "header.json", "checksums.json"
TABLES, FILES = "tables/", "files/"
CHUNK = 1 << 20

_MEMBER = re.compile(r"header\.json|tables/[a-z0-9_]+\.jsonl\.gz|files/[0-9a-f]{64}")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first member of a backup."""

    format: int
    easymlnb: str
    schema: str
    created: str


class Checksum(msgspec.Struct, frozen=True):
    """Size and SHA-256 of a member."""

    size: int
    sha256: str


class Checksums(msgspec.Struct, frozen=True, kw_only=True):
    """The last member of a backup. ``damaged`` are files that were damaged when it was made."""

    members: dict[str, Checksum]
    damaged: list[str] = []


class HashingReader:
    """Reads a stream and hashes what it reads; ``path`` is the backup that contains it."""

    def __init__(self, stream: IO[bytes], path: Path | None = None) -> None:
        self._stream = stream
        self._path = path
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._stream.read(size)
        except (tarfile.TarError, EOFError) as error:
            if self._path is None:
                raise
            raise damaged(self._path, str(error)) from error
        self._digest.update(data)
        self.size += len(data)
        return data

    def drain(self) -> Checksum:
        """Read the rest, and return the checksum of everything."""
        while self.read(CHUNK):
            pass
        return Checksum(self.size, self._digest.hexdigest())


class ArchiveWriter:
    """Writes the members of a backup."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: dict[str, Checksum] = {}
        self.damaged: list[str] = []

    def add(self, name: str, stream: IO[bytes], size: int) -> Checksum:
        """Add ``size`` bytes of a stream; raises ``OSError`` if it is shorter."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        reader = HashingReader(stream)
        self._tar.addfile(info, reader)
        found = self.members[name] = reader.drain()
        if found.size != size:
            raise OSError(f"{name} changed while it was read")
        return found

    def add_json(self, name: str, value: Any) -> None:
        data = msgspec.json.encode(value)
        self.add(name, io.BytesIO(data), len(data))


@contextmanager
def writing(path: Path, header: Header) -> Iterator[ArchiveWriter]:
    """Write a backup that appears at ``path`` when it is complete, for this account only."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with open(unfinished, "wb", opener=_open_private) as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                writer = ArchiveWriter(tar)
                writer.add_json(HEADER, header)
                yield writer
                checksums = Checksums(members=dict(writer.members), damaged=writer.damaged)
                writer.add_json(CHECKSUMS, checksums)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def members(path: Path) -> Iterator[tuple[str, HashingReader]]:
    """Yield the members in order; each can be read until the next. Raises ``StorageUnusable``."""
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                stream = tar.extractfile(info)
                known = _MEMBER.fullmatch(info.name) or info.name == CHECKSUMS
                if stream is None or not known:
                    raise damaged(path, f"unexpected member {info.name[:80]!r}")
                yield info.name, HashingReader(stream, path)
    except OSError as error:
        raise StorageUnusable(
            f"The backup {path} cannot be read ({error.strerror or error})."
        ) from error
    except (tarfile.TarError, EOFError) as error:
        raise damaged(path, str(error)) from error


def verify(path: Path) -> tuple[Header, Checksums]:
    """Read the whole backup and compare all checksums; raises ``StorageUnusable``."""
    found: dict[str, Checksum] = {}
    header: Header | None = None
    listed: Checksums | None = None
    for name, stream in members(path):
        if name == HEADER:
            header = read_header(path, stream)
        elif name == CHECKSUMS:
            listed = _decoded(path, stream.read(), Checksums)
            continue
        elif header is None:
            raise damaged(path, "it has no header")
        if name in found or listed is not None:
            raise damaged(path, f"{name} is there twice, or after the end")
        found[name] = stream.drain()
    if header is None or listed is None:
        raise damaged(path, "its end is missing")
    differing = sorted(
        name for name in {*found, *listed.members} if found.get(name) != listed.members.get(name)
    )
    if differing:
        raise damaged(path, f"the checksum of {differing[0]} differs")
    return header, listed


def read_header(path: Path, stream: HashingReader) -> Header:
    """Return the header; raises ``StorageUnusable`` for a newer format."""
    data = stream.read()
    try:
        version = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, "its header is unreadable") from error
    if version != FORMAT:
        raise StorageUnusable(
            f"The backup {path} has format {version!r:.20}, but this easymlnb reads format "
            f"{FORMAT}. Install the release that made the backup, or a newer one."
        )
    header: Header = _decoded(path, data, Header)
    return header


def _decoded(path: Path, data: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, why: str) -> StorageUnusable:
    """Return the error for a damaged backup."""
    return StorageUnusable(
        f"The backup {path} is damaged ({why:.200}). Nothing was restored. Use another backup."
    )


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
