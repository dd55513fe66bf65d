"""Rows as lines of JSON, the same for SQLite and PostgreSQL."""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import IO, Any

from sqlalchemy import Connection, Date, DateTime, LargeBinary, MetaData, Table, func, select
from sqlalchemy.types import TypeEngine

LONGEST = 86400.0
"""Seconds that a backup or a restore may take."""

ROWS = 500
"""Rows in one statement."""

PROCESS_STATE = {"lease", "alembic_version"}
"""Tables that describe the running processes and the schema, and are in no backup."""


def tables(connection: Connection) -> list[Table]:
    """Return the tables of the connected database, those that others refer to first."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name not in PROCESS_STATE]


def dump(connection: Connection, table: Table, out: IO[bytes]) -> int:
    """Write all rows of a table; return how many."""
    count = 0
    columns = [column.name for column in table.columns]
    result = connection.execution_options(yield_per=ROWS).execute(
        select(table).order_by(*table.primary_key.columns)
    )
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as file:
        for row in result:
            values = dict(zip(columns, map(_plain, row), strict=True))
            file.write(json.dumps(values, separators=(",", ":")).encode() + b"\n")
            count += 1
    return count


def load(connection: Connection, table: Table, source: IO[bytes]) -> int:
    """Insert the rows that ``dump`` wrote; return how many."""
    count = 0
    for batch in _batches(_read(table, source)):
        connection.execute(table.insert(), batch)
        count += len(batch)
    _advance_sequences(connection, table)
    return count


def is_empty(connection: Connection) -> bool:
    """Return whether no table has a row."""
    return not any(
        connection.scalar(select(func.count()).select_from(table)) for table in tables(connection)
    )


def _read(table: Table, source: IO[bytes]) -> Iterator[dict[str, Any]]:
    types = {column.name: column.type for column in table.columns}
    with gzip.GzipFile(fileobj=source, mode="rb") as file:
        for line in file:
            row = json.loads(line)
            yield {name: _restored(types[name], value) for name, value in row.items()}


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, date) else value


def _restored(kind: TypeEngine[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, LargeBinary):
        return base64.b64decode(value)
    if isinstance(kind, DateTime):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if isinstance(kind, Date) else value


def _advance_sequences(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after the restored ones; SQLite does so itself."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        name = connection.scalar(
            select(func.pg_get_serial_sequence(f'"{table.name}"', column.name))
        )
        if name is not None:
            last = connection.scalar(select(func.max(column)))
            connection.execute(select(func.setval(name, last or 1, last is not None)))
