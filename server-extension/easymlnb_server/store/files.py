"""Files named by the hash of their content: bundles and executed notebooks.

Each read is checked against the name, a repeated write is harmless, and no path comes from outside.
"""

import contextlib
import errno
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

import fsspec  # type: ignore[import-untyped]  # has no hints
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from easymlnb.contract.errors import StorageDamaged, StorageFull, StorageUnusable

_NAME = re.compile(r"[0-9a-f]{64}\Z")
_CHUNK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Files:
    """Content-addressed files below one folder of a local disk or an object store. Thread-safe."""

    def __init__(self, url: str) -> None:
        """Use the folder ``url``: a path, ``file://...``, or any URL that fsspec knows.

        Raises ``StorageUnusable`` if the storage is unknown or cannot be used.
        """
        try:
            self._storage, self._root = fsspec.core.url_to_fs(url)
            self._local = isinstance(self._storage, LocalFileSystem)
            if self._local:
                Path(self._root).mkdir(mode=0o700, parents=True, exist_ok=True)
        except (ValueError, ImportError, OSError) as error:
            raise StorageUnusable(
                f"Cannot store files at {_shown(url)} ({error}). Set a writable folder, or a URL "
                "whose fsspec driver is installed."
            ) from error

    def put(self, data: bytes) -> str:
        """Store ``data`` on disk and return its name; raises ``StorageFull``.

        A damaged file with that name is replaced.
        """
        name = hashlib.sha256(data).hexdigest()
        with contextlib.suppress(StorageDamaged, OSError):
            self._check(name)
            return name
        try:
            if self._local:
                _write(Path(self._path(name)), [data])
            else:
                self._storage.pipe_file(self._path(name), data)
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull from error
            raise
        return name

    def get(self, name: str) -> bytes:
        """Return the content; raises ``StorageDamaged`` if it is missing or damaged."""
        try:
            with self.open(name) as file:
                data = file.read()
        except OSError as error:
            raise StorageDamaged(name) from error
        if hashlib.sha256(data).hexdigest() != name:
            raise StorageDamaged(name)
        return data

    def open(self, name: str) -> BinaryIO:
        """Open for reading, without a check of the content; raises ``StorageDamaged``."""
        try:
            return cast(BinaryIO, self._storage.open(self._path(name), "rb"))
        except OSError as error:
            raise StorageDamaged(name) from error

    def size(self, name: str) -> int:
        """Return the bytes of a file; raises ``FileNotFoundError``."""
        return int(self._storage.size(self._path(name)))

    def put_stream(self, name: str, stream: IO[bytes]) -> None:
        """Store a file of any size that has this name already, such as one of a backup.

        Raises ``StorageDamaged`` if the content does not match, and ``StorageFull``.
        """
        with contextlib.suppress(StorageDamaged, OSError):
            self._check(name)
            return
        digest = hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                yield chunk
            if digest.hexdigest() != name:
                raise StorageDamaged(name)

        try:
            if self._local:
                _write(Path(self._path(name)), chunks())
            else:
                with self._storage.open(self._path(name), "wb") as file:
                    file.writelines(chunks())
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull from error
            raise

    def remove(self, name: str) -> None:
        """Delete a file that nothing else needs; it may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            self._storage.rm_file(self._path(name))

    def names(self) -> list[str]:
        """Return the names of all files."""
        paths = self._storage.find(self._root)
        return sorted(name for path in paths if _NAME.match(name := path.rsplit("/", 1)[-1]))

    def unused(self, needed: set[str], *, before: float) -> dict[str, int]:
        """Return name and size of the files that ``sweep`` would remove."""
        found = {}
        for path, about in self._storage.find(self._root, detail=True).items():
            name = path.rsplit("/", 1)[-1]
            if name not in needed and self._written(path) < before:
                found[name] = int(about.get("size") or 0)
        return found

    def sweep(self, needed: set[str], *, before: float) -> int:
        """Remove files that were written before ``before``, except ``needed``; return how many.

        The age protects files that have been stored and not recorded yet.
        """
        removed = 0
        for path in self._storage.find(self._root):
            if path.rsplit("/", 1)[-1] in needed or self._written(path) >= before:
                continue
            with contextlib.suppress(FileNotFoundError):
                self._storage.rm_file(path)
                removed += 1
        return removed

    def _path(self, name: str) -> str:
        if not _NAME.match(name):
            raise StorageDamaged(name)
        return f"{self._root}/{name[:2]}/{name}"

    def _check(self, name: str) -> None:
        with self.open(name) as file:
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != name:
            raise StorageDamaged(name)

    def _written(self, path: str) -> float:
        try:
            if self._local:
                return os.stat(path).st_mtime
            return float(self._storage.modified(path).timestamp())
        except (FileNotFoundError, NotImplementedError):
            return time.time()  # removed already, or of unknown age


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file so that a crash leaves either the whole file or none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix="new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    for folder in (path.parent, path.parent.parent):
        _sync(folder)


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _shown(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)
