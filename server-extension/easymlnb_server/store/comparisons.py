"""Rows of comparisons and of their items."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from easymlnb_server.store.database import Repository, reading, writing
from easymlnb_server.store.tables import comparison_items, comparisons

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = (
    "queued", "running", "succeeded", "failed", "cancelled",
)  # fmt: skip
UNFINISHED = (QUEUED, RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """A comparison of two versions. Times are seconds since 1970, UTC.

    - ``source``: where the inputs come from; ``file`` has those of an uploaded table
    - ``made_by``: who asked for it
    - ``total``: number of its items
    - ``error``: ``{"code", "message"}`` of a failed one
    """

    id: str
    service: str
    before: int
    after: int
    source: str
    file: str | None
    options: Mapping[str, Any]
    made_by: str
    state: str
    error: Mapping[str, Any] | None
    total: int
    created: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One input of a comparison; ``record`` is the recorded call that it is from."""

    number: int
    record: str | None
    outcome: str | None = None
    result: Mapping[str, Any] | None = None


class ComparisonRows(Repository):
    """Rows of comparisons."""

    @writing
    def add(
        self, connection: Connection, row: ComparisonRow, records: Sequence[str | None]
    ) -> None:
        """Insert a comparison with its items; a repeated insert changes nothing."""
        if _one(connection, row.id) is not None:
            return
        connection.execute(insert(comparisons).values(**asdict(row)))
        items = [
            {"comparison": row.id, "number": number, "record": record}
            for number, record in enumerate(records)
        ]
        connection.execute(insert(comparison_items), items)

    @reading
    def get(self, connection: Connection, id: str) -> ComparisonRow | None:
        """Return one comparison, or ``None``."""
        return _one(connection, id)

    @reading
    def newest(self, connection: Connection, service: str, limit: int) -> list[ComparisonRow]:
        """Return the comparisons of a service, newest first."""
        query = select(comparisons).where(comparisons.c.service == service)
        query = query.order_by(comparisons.c.created.desc(), comparisons.c.id).limit(limit)
        return [_row(row) for row in connection.execute(query)]

    @reading
    def unfinished(self, connection: Connection, service: str = "") -> list[ComparisonRow]:
        """Return what is queued or running, of one service or all, oldest first."""
        query = select(comparisons).where(comparisons.c.state.in_(UNFINISHED))
        if service:
            query = query.where(comparisons.c.service == service)
        query = query.order_by(comparisons.c.created, comparisons.c.id)
        return [_row(row) for row in connection.execute(query)]

    @reading
    def items(self, connection: Connection, id: str, *, done: bool | None = None) -> list[ItemRow]:
        """Return a comparison's items in order: all, or only those that are done or not."""
        table = comparison_items.c
        query = select(table.number, table.record, table.outcome, table.result)
        query = query.where(table.comparison == id)
        if done is not None:
            query = query.where(table.outcome.is_not(None) if done else table.outcome.is_(None))
        return [ItemRow(*row) for row in connection.execute(query.order_by(table.number))]

    @reading
    def done(self, connection: Connection, id: str) -> int:
        """Return the number of items that are done."""
        table = comparison_items.c
        query = select(func.count()).where(table.comparison == id, table.outcome.is_not(None))
        return int(connection.scalar(query) or 0)

    @writing
    def start(self, connection: Connection, id: str) -> bool:
        """Note that a comparison runs; return ``False`` if it has ended."""
        matches = (comparisons.c.id == id) & comparisons.c.state.in_(UNFINISHED)
        statement = update(comparisons).where(matches).values(state=RUNNING)
        return connection.execute(statement).rowcount > 0

    @writing
    def store(self, connection: Connection, id: str, items: Iterable[ItemRow]) -> bool:
        """Store the outcomes of items; return ``False`` if the comparison has ended."""
        row = _one(connection, id)
        if row is None or row.state not in UNFINISHED:
            return False
        table = comparison_items.c
        for item in items:
            matches = (table.comparison == id) & (table.number == item.number)
            values = {"outcome": item.outcome, "result": item.result}
            connection.execute(update(comparison_items).where(matches).values(**values))
        return True

    @writing
    def end(
        self, connection: Connection, id: str, state: str, error: Mapping[str, Any] | None = None
    ) -> bool:
        """Set the final state; return ``False`` if the comparison has one already."""
        matches = (comparisons.c.id == id) & comparisons.c.state.in_(UNFINISHED)
        values = {"state": state, "error": error, "ended": time.time()}
        statement = update(comparisons).where(matches).values(**values)
        return connection.execute(statement).rowcount > 0

    @writing
    def remove(self, connection: Connection, id: str) -> None:
        """Delete a comparison and its items."""
        connection.execute(delete(comparison_items).where(comparison_items.c.comparison == id))
        connection.execute(delete(comparisons).where(comparisons.c.id == id))

    @reading
    def files(self, connection: Connection) -> set[str]:
        """Return the names of all files that a comparison needs."""
        query = select(comparisons.c.file).where(comparisons.c.file.is_not(None))
        return {str(name) for name in connection.execute(query).scalars()}


def _one(connection: Connection, id: str) -> ComparisonRow | None:
    row = connection.execute(select(comparisons).where(comparisons.c.id == id)).one_or_none()
    return _row(row) if row is not None else None


def _row(row: Row[Any]) -> ComparisonRow:
    return ComparisonRow(**row._mapping)


def delete_of_services(connection: Connection, names: Iterable[str]) -> None:
    """Delete the comparisons of services that are removed."""
    ids = select(comparisons.c.id).where(comparisons.c.service.in_(list(names)))
    connection.execute(delete(comparison_items).where(comparison_items.c.comparison.in_(ids)))
    connection.execute(delete(comparisons).where(comparisons.c.service.in_(list(names))))


def rename_service(connection: Connection, old: str, new: str) -> None:
    """Move the comparisons of a service that gets another name."""
    statement = update(comparisons).where(comparisons.c.service == old).values(service=new)
    connection.execute(statement)
