"""The SQLite file: where it may lie, how it is opened, what is checked before it is used.

A damaged, foreign or misplaced file is refused at the start with the reason and the fix; nothing
is ever repaired in silence or replaced by an empty database.
"""

import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import StorageUnusable

BUSY_SECONDS = 10.0
"""How long a write waits for another one before it gives up."""

# Locks and shared memory, which WAL needs, do not work reliably over these.
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre"}
NETWORK |= {"beegfs", "gpfs", "ncpfs", "virtiofs"}
# File systems in user space are taken for network ones but for these, which are local.
LOCAL_FUSE = {"fuse.fuse-overlayfs", "fuse.bindfs", "fuse.mergerfs", "fuse.gocryptfs"}

_FIX = (
    "Set EasyMLNB.database_url to a file on a local disk, for example "
    "sqlite:////var/lib/easymlnb/easymlnb.sqlite, or to a PostgreSQL server, postgresql://..."
)


def has_content(path: Path) -> bool:
    """Say whether there is a file at ``path`` that is not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def prepare(path: Path) -> None:
    """Make sure that ``path`` is a sound SQLite file in WAL mode, for its owner only.

    Makes it when it is not there. Raises ``StorageUnusable`` with reason and fix.
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
    connection.isolation_level = None  # SQLAlchemy's BEGIN is ours, see ``database``
    for pragma in (
        f"busy_timeout={int(BUSY_SECONDS * 1000)}",
        "synchronous=FULL",
        "foreign_keys=ON",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


def backup(path: Path, revision: str) -> Path:
    """Copy the database beside itself before its schema is changed; return the copy's path."""
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


def filesystem(folder: Path, mounts: str) -> str:
    """Return the type of the file system that ``folder`` is on, given the text of /proc/mounts."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        at = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[1])
        # Of two mounts at one place the later one counts.
        if len(at) >= len(best) and folder.is_relative_to(at):
            best, kind = at, fields[2]
    return kind


def is_network(kind: str) -> bool:
    """Say whether a file system of that type can lie on another machine."""
    return kind in NETWORK or (kind.startswith("fuse.") and kind not in LOCAL_FUSE)


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # not Linux; nothing is known


def _examine(path: Path) -> None:
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found == "ok":
                _to_wal(connection)
                # Shows a read-only disk now, not at the first publish.
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    if found != "ok":
        raise _damaged(path, found)


def _to_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; another server that starts now may be doing the same, so try for a while."""
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
