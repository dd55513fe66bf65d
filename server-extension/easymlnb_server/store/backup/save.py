"""Write a backup, also while servers use the state."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, text

from easymlnb.contract.errors import StorageDamaged, StorageUnusable
from easymlnb_server.store import migrate
from easymlnb_server.store.backup import archive, rows
from easymlnb_server.store.backup.archive import FORMAT, ArchiveWriter, Header
from easymlnb_server.store.database import Database, relax_timeouts
from easymlnb_server.store.files import Files

ATTEMPTS = 3
"""Snapshots until all files of one are complete: a server may remove unused files meanwhile."""

Progress = Callable[[str, int, int], None]
"""Receives what is copied, how much of it is done, and how much there is."""


class FilesChanged(Exception):
    """Files were removed between the snapshot and their copies."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup contains.

    rows: the number of rows by table.
    damaged: files whose content does not match their name; they are in no restored state.
    """

    rows: dict[str, int]
    files: int
    size: int
    damaged: list[str]


def save(database: Database, files: Files, target: Path, progress: Progress) -> BackupReport:
    """Write one consistent state of the database, and all files, to ``target``.

    The database is read in one snapshot, so that servers can write meanwhile. Raises
    ``StorageUnusable``; then ``target`` is unchanged.
    """
    try:
        for _ in range(ATTEMPTS):
            try:
                return _save(database, files, target, progress)
            except FilesChanged:
                continue
    except OSError as error:
        raise StorageUnusable(
            f"The backup {target} cannot be written ({error.strerror or error}). Choose a file in "
            "a writable folder with enough space."
        ) from error
    raise StorageUnusable(
        "Files are being removed faster than they are copied. Try again when nothing is being "
        "published or removed."
    )


def _save(database: Database, files: Files, target: Path, progress: Progress) -> BackupReport:
    before = set(files.names())
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        schema, counts = database.read(
            lambda one: _dump(one, Path(folder), progress), seconds=rows.LONGEST
        )
        names = files.names()
        if before - set(names):
            raise FilesChanged
        header = Header(
            format=FORMAT,
            easymlnb=version("easymlnb"),
            schema=schema,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with archive.writing(target, header) as writer:
            for name in counts:
                path = Path(folder) / name
                with path.open("rb") as file:
                    member = f"{archive.TABLES}{name}.jsonl.gz"
                    writer.add(member, file, path.stat().st_size)
            size = _copy_files(writer, files, names, progress)
            return BackupReport(counts, len(names), size, writer.damaged)


def _dump(connection: Connection, folder: Path, progress: Progress) -> tuple[str, dict[str, int]]:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        relax_timeouts(connection)
    schema = migrate.check(connection, "of this server")
    if schema is None:
        raise StorageUnusable("The database is empty, so there is nothing to back up.")
    found = rows.tables(connection)
    counts = {}
    for number, table in enumerate(found):
        progress("Tables", number, len(found))
        with (folder / table.name).open("wb") as out:
            counts[table.name] = rows.dump(connection, table, out)
    progress("Tables", len(found), len(found))
    return schema, counts


def _copy_files(writer: ArchiveWriter, files: Files, names: list[str], progress: Progress) -> int:
    total = 0
    for number, name in enumerate(names):
        progress("Files", number, len(names))
        stream, size = _opened(files, name)
        with stream:
            found = writer.add(archive.FILES + name, stream, size)
        total += size
        if found.sha256 != name:
            writer.damaged.append(name)
    progress("Files", len(names), len(names))
    return total


def _opened(files: Files, name: str) -> tuple[IO[bytes], int]:
    try:
        return files.open(name), files.size(name)
    except (StorageDamaged, FileNotFoundError) as error:
        raise FilesChanged from error
