"""Rows of recorded and flagged calls."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from easymlnb_server.store.database import Repository, reading, writing
from easymlnb_server.store.tables import call_records

RECORDED, FLAGGED = "recorded", "flagged"

CHUNK = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """A call that is kept. Times are seconds since 1970, UTC.

    - ``kind``: ``recorded`` for a sampled call, ``flagged`` for one that a caller flagged
    - ``caller``: the key of the caller's calls; a hash for visitors
    - ``source``: ``server`` if the server saw the call, ``caller`` if the caller described it
    - ``preview``: the start of the inputs, as text
    - ``file``: name of the file with inputs and result, and its ``size`` in bytes
    - ``expires``: when it is deleted; ``None`` for never
    """

    id: str
    service: str
    version: str
    kind: str
    request_id: str
    caller: str
    reason: str
    source: str
    preview: str
    status: int
    code: str
    seconds: float
    size: int
    file: str
    time: float
    expires: float | None


class RecordingRows(Repository):
    """Rows of calls that are kept; their contents are in ``Files``."""

    @writing
    def add(self, connection: Connection, rows: Sequence[RecordRow]) -> None:
        """Insert rows; one that was inserted before is unchanged."""
        known = _existing(connection, [row.id for row in rows])
        if new := [asdict(row) for row in rows if row.id not in known]:
            connection.execute(insert(call_records), new)

    @reading
    def get(self, connection: Connection, id: str) -> RecordRow | None:
        """Return one row, or ``None``."""
        row = connection.execute(_ALL.where(call_records.c.id == id)).one_or_none()
        return _row(row) if row is not None else None

    @reading
    def find(
        self, connection: Connection, service: str, request_id: str, caller: str
    ) -> RecordRow | None:
        """Return the newest row of a caller's own call, or ``None``."""
        table = call_records.c
        query = _ALL.where(
            table.request_id == request_id, table.service == service, table.caller == caller
        )
        row = connection.execute(query.order_by(table.time.desc()).limit(1)).one_or_none()
        return _row(row) if row is not None else None

    @reading
    def newest(
        self, connection: Connection, service: str, kind: str, *, start: int = 0, limit: int
    ) -> list[RecordRow]:
        """Return a service's rows of one kind, newest first; all kinds if ``kind`` is empty."""
        query = _ALL.where(_is(service, kind))
        query = query.order_by(call_records.c.time.desc(), call_records.c.id)
        return [_row(row) for row in connection.execute(query.offset(start).limit(limit))]

    @reading
    def count(self, connection: Connection, service: str, kind: str) -> int:
        """Return the number of a service's rows of one kind."""
        query = select(func.count()).select_from(call_records).where(_is(service, kind))
        return int(connection.scalar(query) or 0)

    @reading
    def services(self, connection: Connection) -> set[str]:
        """Return the services that have rows."""
        return set(connection.execute(select(call_records.c.service).distinct()).scalars())

    @writing
    def flag(self, connection: Connection, id: str, reason: str) -> None:
        """Make a recorded call a flagged one, which does not expire."""
        values = {"kind": FLAGGED, "reason": reason, "expires": None}
        connection.execute(update(call_records).where(call_records.c.id == id).values(**values))

    @writing
    def remove(
        self,
        connection: Connection,
        service: str,
        *,
        id: str = "",
        caller: str = "",
        kind: str = "",
    ) -> list[str]:
        """Delete rows of a service, all unless restricted; return the names of their files."""
        matches = _is(service, kind)
        if id:
            matches &= call_records.c.id == id
        if caller:
            matches &= call_records.c.caller == caller
        return _delete(connection, matches)

    @writing
    def expire(self, connection: Connection, now: float) -> list[str]:
        """Delete the rows that have expired; return the names of their files."""
        return _delete(connection, call_records.c.expires <= now)

    @writing
    def trim(self, connection: Connection, service: str, most: int) -> list[str]:
        """Delete a service's oldest recorded rows above ``most``; return their files."""
        query = select(call_records.c.id).where(_is(service, RECORDED))
        query = query.order_by(call_records.c.time.desc(), call_records.c.id).offset(most)
        ids = list(connection.execute(query.limit(100_000)).scalars())
        return [
            name
            for at in range(0, len(ids), CHUNK)
            for name in _delete(connection, call_records.c.id.in_(ids[at : at + CHUNK]))
        ]

    @reading
    def files(self, connection: Connection) -> set[str]:
        """Return the names of all files that a row needs."""
        return set(connection.execute(select(call_records.c.file)).scalars())


_ALL: Select[Any] = select(call_records)


def _is(service: str, kind: str) -> ColumnElement[bool]:
    matches = call_records.c.service == service
    return matches & (call_records.c.kind == kind if kind else true())


def _existing(connection: Connection, ids: Collection[str]) -> set[str]:
    query = select(call_records.c.id).where(call_records.c.id.in_(ids))
    return set(connection.execute(query).scalars())


def _delete(connection: Connection, matches: ColumnElement[bool]) -> list[str]:
    names = list(connection.execute(select(call_records.c.file).where(matches)).scalars())
    if names:
        connection.execute(delete(call_records).where(matches))
    return names


def _row(row: Row[Any]) -> RecordRow:
    return RecordRow(**row._mapping)


def delete_of_services(connection: Connection, names: Iterable[str]) -> None:
    """Delete the rows of services that are removed; their files are swept later."""
    connection.execute(delete(call_records).where(call_records.c.service.in_(list(names))))


def rename_service(connection: Connection, old: str, new: str) -> None:
    """Move the rows of a service that gets another name."""
    matches = call_records.c.service == old
    connection.execute(update(call_records).where(matches).values(service=new))
