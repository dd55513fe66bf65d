"""Read zip files that are not trusted.

Names, sizes and offsets in a zip are checked before it is unpacked, and the sizes again while
unpacking.
"""

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from easymlnb.contract.errors import BundleRejected, TooLarge

MAX_ZIP = 200 * 2**20
"""Limit of a zip in bytes, compressed."""

MAX_UNPACKED = 500 * 2**20
"""Limit of all its files together in bytes, unpacked."""

MAX_ENTRIES = 5000
"""Limit of the number of files in it."""

MAX_RATIO = 200
"""Limit of the compression ratio of data over ``RATIO_FROM`` bytes."""

RATIO_FROM = 20 * 2**20


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Limits of a zip: its bytes, those of its files unpacked, and what it is in messages."""

    packed: int
    unpacked: int
    what: str = "bundle"


MAX_PATH = 1024
CHUNK = 1 << 20

# A directory entry is 46 bytes plus the name; zip64 is only for sizes over these limits.
_MAX_DIRECTORY = MAX_ENTRIES * (46 + MAX_PATH)
_END = struct.Struct("<4s4H2LH")
_DRIVE = re.compile(r"[A-Za-z]:")
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
)


def check_path(path: str) -> str:
    """Return ``path`` if it is a relative path inside its folder, else raise ``BundleRejected``.

    Components are separated by ``/``; none is empty, ``.`` or ``..``; no drive letters,
    backslashes, control characters or text that is not Unicode.
    """
    parts = path.split("/")
    bad = (
        not path
        or any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or _DRIVE.match(path)
        or any(ord(letter) < 32 or ord(letter) == 127 for letter in path)
        or any(0xD800 <= ord(letter) < 0xE000 for letter in path)
    )
    if bad:
        raise BundleRejected(
            f"Invalid file path {_quoted(path)} in the bundle. Use relative paths inside the "
            "notebook's folder."
        )
    if len(path.encode()) > MAX_PATH or any(len(part.encode()) > 255 for part in parts):
        raise BundleRejected(
            f"A file path in the bundle is too long: {_quoted(path)}. Use shorter names."
        )
    return path


class Archive:
    """A zip whose directory passed all checks; a context manager.

    ``sizes`` maps the path of every file to its unpacked size in bytes.
    """

    def __init__(self, data: bytes | Path, limits: ArchiveLimits | None = None) -> None:
        """Open a zip; raises ``BundleRejected`` or ``TooLarge`` with the reason."""
        limits = limits or ArchiveLimits(MAX_ZIP, MAX_UNPACKED)
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        check_size(size, limits.packed, "The zip")
        stream = io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")
        try:
            _check_end(stream, size)
            self._zip = zipfile.ZipFile(stream)
            self._entries = _entries(self._zip.infolist(), limits)
        except (BundleRejected, TooLarge):
            stream.close()
            raise
        except _DAMAGED as error:
            stream.close()
            raise BundleRejected("The body is not a valid zip file.") from error
        self._stream = stream
        self.sizes = {path: entry.file_size for path, entry in self._entries.items()}

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()
        self._stream.close()

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield the content of one file, at most ``CHUNK`` bytes at a time."""
        entry = self._entries[path]
        left = entry.file_size
        try:
            with self._zip.open(entry) as file:
                while chunk := file.read(CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise BundleRejected(f"{_quoted(path)} is larger than declared in the zip.")
                    yield chunk
        except _DAMAGED as error:
            raise BundleRejected(f"{_quoted(path)} in the zip is damaged.") from error
        if left:
            raise BundleRejected(f"{_quoted(path)} is smaller than declared in the zip.")

    def read(self, path: str, limit: int) -> bytes:
        """Return the content of one file of at most ``limit`` bytes."""
        check_size(self.sizes[path], limit, path)
        return b"".join(self.chunks(path))


def check_size(size: int, limit: int, what: str) -> None:
    """Raise ``TooLarge`` when ``size`` is over ``limit``, both in bytes."""
    if size > limit:
        raise TooLarge(f"{what} has {size / 2**20:.1f} MB, over the limit of {limit / 2**20:g} MB.")


def _check_end(stream: io.BytesIO | io.BufferedReader, size: int) -> None:
    """Refuse a directory that is too large to read into memory with ``zipfile``."""
    stream.seek(max(0, size - _END.size - 65535 - 20))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise BundleRejected("The body is not a valid zip file.")
    directory = _END.unpack_from(tail, at)[5]
    if directory > _MAX_DIRECTORY or tail[max(0, at - 20) :].startswith(b"PK\x06\x07"):
        raise TooLarge(f"The zip has too many files; the limit is {MAX_ENTRIES}.")


def _entries(infos: list[zipfile.ZipInfo], limits: ArchiveLimits) -> dict[str, zipfile.ZipInfo]:
    if len(infos) > MAX_ENTRIES:
        raise TooLarge(f"The zip has {len(infos)} files; the limit is {MAX_ENTRIES}.")
    _check_sizes(infos, limits)
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        # In the other name, zipfile cuts at NUL and rewrites separators.
        path = info.orig_filename
        folder = path.endswith("/") and info.file_size == 0
        check_path(path[:-1] if folder else path)
        _check_kind(info, folder)
        if folder:
            continue
        if path in entries:
            raise BundleRejected(f"The zip contains {_quoted(path)} twice.")
        entries[path] = info
    for path in entries:
        parents = path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if (parent := "/".join(parents[:depth])) in entries:
                raise BundleRejected(f"{_quoted(parent)} is both a file and a folder in the zip.")
    return entries


def _check_kind(info: zipfile.ZipInfo, folder: bool) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
        raise BundleRejected(
            f"{_quoted(info.filename)} is not a regular file; links are not supported."
        )
    if info.flag_bits & 0x1:
        raise BundleRejected("The zip is encrypted. Send an unencrypted zip.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleRejected("The zip has an unsupported compression method. Use 'deflate'.")


def _check_sizes(infos: list[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    total = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    check_size(total, limits.unpacked, f"The unpacked {limits.what}")
    if total > RATIO_FROM and total > MAX_RATIO * packed:
        raise TooLarge(
            f"The zip unpacks to {total // max(packed, 1)} times its size; the limit is "
            f"{MAX_RATIO} times."
        )
    # Overlapping entries can make a small zip unpack to many times its size.
    placed = sorted(infos, key=lambda info: info.header_offset)
    for first, second in pairwise(placed):
        if first.header_offset + 30 + first.compress_size > second.header_offset:
            raise BundleRejected("The zip is damaged: its entries overlap.")


def _quoted(path: str) -> str:
    return repr(path if len(path) <= 80 else path[:77] + "...")
