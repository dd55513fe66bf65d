"""Files of models on this machine, by the hash of their content."""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from easymlnb.contract.archive import check_path
from easymlnb.contract.errors import BundleRejected, ModelDamaged

LIMIT, SHARE = 10 * 2**30, 0.1
"""Bytes of the cache at most, and as a share of the free disk."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

Fetch = Callable[[str, Path], None]
"""Writes the file of a version with this path to a path on this machine."""


def folder() -> Path:
    """Return the folder of the cache."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "easymlnb" / "models"


@contextmanager
def files_of(version: Mapping[str, Any], fetch: Fetch) -> Iterator[Path]:
    """Give a folder with the files of a version, which are complete and undamaged.

    The folder is removed afterwards. Raises ``ModelDamaged``.
    """
    root = _ready()
    with tempfile.TemporaryDirectory(prefix="version-", dir=root) as name:
        target = Path(name)
        for file in version["files"]:
            _check(file)
            stored = root / file["sha256"]
            if not _is_intact(stored, file["sha256"]):
                _download(root, file, fetch)
            path = target / file["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            _link(stored, path)
        _trim(root, {file["sha256"] for file in version["files"]})
        yield target


def _check(file: Mapping[str, Any]) -> None:
    """Raise ``ModelDamaged`` unless the names of a file stay in their folders."""
    try:
        check_path(file["path"])
    except BundleRejected as error:
        raise ModelDamaged(f"Invalid path {file['path']!r:.80} of a file of the model.") from error
    if not _SHA256.match(file["sha256"]):
        raise ModelDamaged(f"Invalid SHA-256 {file['sha256']!r:.80} of a file of the model.")


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ready() -> Path:
    root = folder()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def _is_intact(path: Path, sha256: str) -> bool:
    try:
        intact = hash_of(path) == sha256
        os.utime(path)
    except FileNotFoundError:
        return False
    if not intact:
        path.unlink(missing_ok=True)
    return intact


def _download(root: Path, file: Mapping[str, Any], fetch: Fetch) -> None:
    handle, name = tempfile.mkstemp(prefix="new-", dir=root)
    os.close(handle)
    part = Path(name)
    try:
        fetch(file["path"], part)
        if hash_of(part) != file["sha256"]:
            raise ModelDamaged(
                f"The file {file['path']!r} of the model is damaged: its content does not match "
                "its SHA-256. Load the version again, or save the model again."
            )
        part.replace(root / file["sha256"])
    finally:
        part.unlink(missing_ok=True)


def _link(stored: Path, path: Path) -> None:
    try:
        os.link(stored, path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(stored, path)


def _trim(root: Path, used: set[str]) -> None:
    """Remove the files that were not used for the longest time, above the limit."""
    found = []
    for path in root.iterdir():
        with contextlib.suppress(OSError):
            if path.is_file():
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in found)
    limit = min(LIMIT, int((shutil.disk_usage(root).free + total) * SHARE))
    for _, size, path in sorted(found):
        if total <= limit:
            return
        if path.name not in used and not path.name.startswith("new-"):
            path.unlink(missing_ok=True)
            total -= size
