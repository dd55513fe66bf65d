"""Make the server's folder private to its account."""

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Permissions of the group and of all other accounts."""

log = logging.getLogger("easymlnb.storage")


def make_folder(folder: Path) -> None:
    """Make a folder, and its missing parents, for this account only."""
    for path in (*reversed(folder.parents), folder):
        path.mkdir(mode=0o700, exist_ok=True)


def make_private(folder: Path) -> None:
    """Make a folder that no other account can enter; close an existing one and its files.

    A folder that is shared on purpose, or belongs to another account, only causes a warning.
    """
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    status = folder.stat()
    if not status.st_mode & OTHERS:
        _close(folder.iterdir())
    elif status.st_mode & stat.S_ISVTX or status.st_uid != os.geteuid() or _is_home(folder):
        log.warning(
            "Other accounts can access %s (mode %04o). Set EasyMLNB.state_dir to a private folder.",
            folder,
            stat.S_IMODE(status.st_mode),
        )
    else:
        folder.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
        _close(folder.rglob("*"))


def _close(paths: Iterator[Path]) -> None:
    for path in paths:
        # Files that were removed, or belong to another account, are skipped.
        with contextlib.suppress(OSError):
            mode = path.lstat().st_mode
            if mode & OTHERS and not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(mode) & ~OTHERS)


def _is_home(folder: Path) -> bool:
    with contextlib.suppress(OSError, RuntimeError):
        return folder.samefile(Path.home())
    return False
