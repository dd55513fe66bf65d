"""Check and open the SQLite file.

A file that is damaged, foreign or on a network file system is refused at the start, with the
reason and a fix. It is never repaired silently or replaced by an empty database.
"""

import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from easymlnb.contract.errors import StorageUnusable

BUSY_SECONDS = 10.0
"""Seconds that a write waits for another one."""

# WAL needs locks and shared memory, which do not work reliably on these.
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre"}
NETWORK |= {"beegfs", "gpfs", "ncpfs", "virtiofs"}
# Local file systems in user space; all others are treated as network file systems.
LOCAL_FUSE = {"fuse.fuse-overlayfs", "fuse.bindfs", "fuse.mergerfs", "fuse.gocryptfs"}

_FIX = (
    "Set EasyMLNB.database_url to a file on a local disk, for example "
    "sqlite:////var/lib/easymlnb/easymlnb.sqlite, or to a PostgreSQL server, postgresql://..."
)


def has_content(path: Path) -> bool:
    """Return whether ``path`` is a file that is not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def prepare(path: Path) -> None:
    """Create or check the SQLite file ``path``: intact, in WAL mode, private to its owner.

    Raises ``StorageUnusable`` with the reason and a fix.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = filesystem(path.parent.resolve(), _mounts())
        if is_network(kind):
            raise StorageUnusable(
                f"The database {path} is on a network file system ({kind}), where SQLite can "
                f"lose or damage data. {_FIX}"
            )
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        os.chmod(path, 0o600)
    except OSError as error:
        raise StorageUnusable(
            f"The database {path} is not writable ({error.strerror}). Make the server's user the "
            f"owner of its folder, or choose another folder. {_FIX}"
        ) from error
    _examine(path)


def connect_pragmas(connection: Any) -> None:
    """Set up one new DBAPI connection."""
    connection.isolation_level = None  # ``database`` emits BEGIN
    for pragma in (
        f"busy_timeout={int(BUSY_SECONDS * 1000)}",
        "synchronous=FULL",
        "foreign_keys=ON",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


def backup(path: Path, revision: str) -> Path:
    """Copy the database within its folder before a migration; return the copy's path."""
    copy = path.with_name(f"{path.name}.before-upgrade-from-{revision}")
    unfinished = copy.with_name(copy.name + ".part")
    unfinished.unlink(missing_ok=True)
    source = sqlite3.connect(path)
    try:
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT, 0o600))
        target = sqlite3.connect(unfinished)
        try:
            source.backup(target)
        finally:
            target.close()
    finally:
        source.close()
    unfinished.replace(copy)
    return copy


def filesystem(folder: Path, mounts: Mapping[str, str]) -> str:
    """Return the type of the file system that contains ``folder``, given types by mount point."""
    containing = [mount for mount in mounts if folder.is_relative_to(mount)]
    return mounts[max(containing, key=len)] if containing else ""


def is_network(kind: str) -> bool:
    """Return whether a file system of this type can be on another machine."""
    return kind in NETWORK or (kind.startswith("fuse.") and kind not in LOCAL_FUSE)


def _mounts() -> dict[str, str]:
    try:
        # Of two mounts at one mount point, the later one counts.
        return {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    except OSError:
        return {}


def _examine(path: Path) -> None:
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if result == "ok":
                _to_wal(connection)
                # Detects a read-only disk now, not at the first publish.
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    if result != "ok":
        raise _damaged(path, result)


def _to_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; retry while another server that is starting does the same."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                raise
        else:
            if mode == "wal":
                return
            if time.monotonic() > until:
                raise sqlite3.OperationalError("the file system does not allow WAL mode")
        time.sleep(0.02)


def _refusal(path: Path, error: sqlite3.Error) -> StorageUnusable:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _damaged(path, str(error))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageUnusable(
            f"The database {path} has been locked by another program for {BUSY_SECONDS:g} s. "
            "End that program and start again."
        )
    return StorageUnusable(
        f"The database {path} cannot be used ({error}). Check that the server's user can write "
        f"the file and the disk has free space. {_FIX}"
    )


def _damaged(path: Path, what: str) -> StorageUnusable:
    return StorageUnusable(
        f"The database {path} is damaged ({what.splitlines()[0]:.200}). Restore it from a "
        "backup, or move the database and its folder 'files' away to start without published "
        "services."
    )
