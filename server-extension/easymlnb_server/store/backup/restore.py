"""Restore a backup: everything, or nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from sqlalchemy import Connection, MetaData, RowMapping, insert, select

from easymlnb.contract.errors import StorageUnusable
from easymlnb_server.store import migrate
from easymlnb_server.store.backup import archive, rows
from easymlnb_server.store.database import Database, relax_timeouts
from easymlnb_server.store.files import Files
from easymlnb_server.store.lease import ROW, active_address
from easymlnb_server.store.tables import lease

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored: when the backup was made, rows by table, and the number of files."""

    created: str
    rows: dict[str, int]
    files: int


def restore(
    open_database: Callable[[], Database],
    files: Files,
    source: Path,
    *,
    force: bool,
    progress: Progress,
) -> RestoreReport:
    """Replace the state by a backup.

    First the whole backup is checked, then the files are added, then all rows are written in one
    transaction. Whatever fails, or a crash at any moment, leaves the former state; added files
    that nothing needs are removed later. A backup from the other kind of database, or from an
    older easymlnb, is converted.

    Raises ``StorageUnusable`` if the backup is damaged or of a newer easymlnb, a server is
    running, or there is a state already; with ``force``, that state is deleted.
    """
    progress("Checking the backup", 0, 1)
    header, listed = archive.verify(source)
    if not migrate.is_known(header.schema):
        raise StorageUnusable(
            f"The backup {source} was made by a newer easymlnb ({header.easymlnb}, schema "
            f"{header.schema}). Install that release or a newer one."
        )
    progress("Checking the backup", 1, 1)
    database = open_database()
    try:
        # Before files are added, and again in the transaction.
        database.read(lambda connection: _check_replaceable(connection, force))
        count = _add_files(files, source, {*listed.damaged}, len(listed.members), progress)
        counts = database.write(
            lambda connection: _write(connection, source, header.schema, force, progress),
            fenced=False,
            seconds=rows.LONGEST,
        )
    finally:
        database.close()
    return RestoreReport(header.created, counts, count)


def _check_replaceable(connection: Connection, force: bool) -> None:
    revision = migrate.check(connection, "of this server")
    if revision is None:
        return
    if address := active_address(connection):
        raise StorageUnusable(
            f"A server ({address}) uses this database. Stop it and its standbys first."
        )
    if not force and not rows.is_empty(connection):
        raise StorageUnusable(
            "There are published services or other data already. Restore into an empty state, or "
            "replace everything with --force."
        )


def _add_files(
    files: Files, source: Path, skipped: set[str], total: int, progress: Progress
) -> int:
    count = 0
    for number, (member, stream) in enumerate(archive.members(source)):
        name = member.removeprefix(archive.FILES)
        if name == member or name in skipped:
            continue
        progress("Files", number, total)
        files.put_stream(name, cast("IO[bytes]", stream))
        count += 1
    progress("Files", total, total)
    return count


def _write(
    connection: Connection, source: Path, schema: str, force: bool, progress: Progress
) -> dict[str, int]:
    """Make the tables of the backup's schema, fill them, and migrate them to the newest."""
    relax_timeouts(connection)
    _check_replaceable(connection, force)
    former = _former_lease(connection)
    everything = MetaData()
    everything.reflect(connection)
    everything.drop_all(connection)
    migrate.upgrade(connection, schema)
    known = {table.name: table for table in rows.tables(connection)}
    counts: dict[str, int] = {}
    order = [*known]
    for name in order:
        progress("Tables", len(counts), len(order))
        counts[name] = _load(connection, source, known[name])
    progress("Tables", len(order), len(order))
    migrate.upgrade(connection)
    if former is not None:
        # Its fencing token must keep growing.
        connection.execute(insert(lease).values(**former, expires=0.0))
    return counts


def _former_lease(connection: Connection) -> dict[str, Any] | None:
    if not connection.dialect.has_table(connection, lease.name):
        return None
    own = (lease.c.id, lease.c.token, lease.c.address, lease.c.process)
    query = select(*own).where(lease.c.id == ROW)
    found: RowMapping | None = connection.execute(query).mappings().first()
    return None if found is None else dict(found)


def _load(connection: Connection, source: Path, table: Any) -> int:
    wanted = f"{archive.TABLES}{table.name}.jsonl.gz"
    for member, stream in archive.members(source):
        if member == wanted:
            return rows.load(connection, table, cast("IO[bytes]", stream))
        if member.startswith(archive.FILES):
            break  # tables come first
    return 0
