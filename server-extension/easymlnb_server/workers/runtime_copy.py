"""A copy of easymlnb alone, for workers in locked environments.

Such an environment has the packages that easymlnb needs. easymlnb itself must speak the protocol of
the server, so it is the server's, in a folder without other packages.
"""

import contextlib
import hashlib
import os
import shutil
import uuid
from functools import cache
from importlib import metadata
from pathlib import Path

from easymlnb import contract
from easymlnb._version import __version__

NAME = "runtime-"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def folder_of(parent: Path) -> Path:
    """Return the folder of the present copy below ``parent``; it may not exist."""
    return parent / f"{NAME}{_digest()}"


def copy_runtime(parent: Path) -> Path:
    """Copy easymlnb to a folder below ``parent`` unless that was done; return the folder."""
    target = folder_of(parent)
    if target.is_dir():
        with contextlib.suppress(OSError):
            os.utime(target)
        return target
    partial = parent / f"new-{uuid.uuid4().hex}"
    shutil.copytree(_source(), partial / "easymlnb", ignore=_IGNORED)
    info = partial / f"easymlnb-{__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(_metadata(), encoding="utf-8")
    try:
        os.rename(partial, target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not target.is_dir():
            raise
    return target


def _source() -> Path:
    return Path(contract.__path__[0]).parent


def _metadata() -> str:
    try:
        return metadata.distribution("easymlnb").read_text("METADATA") or ""
    except metadata.PackageNotFoundError:
        return f"Metadata-Version: 2.1\nName: easymlnb\nVersion: {__version__}\n"


@cache
def _digest() -> str:
    """Return a hash of easymlnb's files, computed once."""
    digest = hashlib.sha256()
    for path in sorted(_source().rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.relative_to(_source()).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
