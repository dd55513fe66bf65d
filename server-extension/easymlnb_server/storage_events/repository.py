"""The rows of files. The transaction that adds a file's job also notes it in the file's row."""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, func, or_, select, update

from easymlnb_server.jobs import rows
from easymlnb_server.jobs.models import ENDED, Job
from easymlnb_server.storage_events.models import ItemState, TakenFile
from easymlnb_server.store.database import Repository, insert_new, reading, writing
from easymlnb_server.store.tables import jobs, storage_items

OPEN = (ItemState.TAKEN, ItemState.RUNNING)


class StorageRepository(Repository):
    """Reads and writes the rows of files. Methods block: call them in a thread."""

    @writing
    def add(self, connection: Connection, items: Iterable[TakenFile]) -> int:
        """Add files, except those that are known already; return how many were new."""
        # In one order, so that two notifications of the same files do not wait for each other.
        rows = sorted((msgspec.to_builtins(item) for item in items), key=itemgetter("identity"))
        return sum(insert_new(connection, storage_items, row) for row in rows)

    @reading
    def taken(self, connection: Connection, source: str, limit: int = 100) -> list[TakenFile]:
        """Return files that still have no job, oldest first."""
        query = _of(source, ItemState.TAKEN).order_by(storage_items.c.id).limit(limit)
        return _read(connection, query)

    @reading
    def to_finish(self, connection: Connection, source: str, limit: int = 100) -> list[TakenFile]:
        """Return files whose job has ended or is gone; those that have a target come first."""
        job = jobs.c.id == storage_items.c.job
        query = _of(source, ItemState.RUNNING).outerjoin_from(storage_items, jobs, job)
        query = query.where(or_(jobs.c.state.in_(ENDED), jobs.c.id.is_(None)))
        order = (storage_items.c.target.is_(None), storage_items.c.id)
        return _read(connection, query.order_by(*order).limit(limit))

    @reading
    def unfinished(self, connection: Connection, source: str) -> int:
        """Return how many files have not ended."""
        query = select(func.count()).where(
            storage_items.c.source == source, storage_items.c.state.in_(OPEN)
        )
        return connection.scalar(query) or 0

    @writing
    def submit(self, connection: Connection, id: str, job: Job) -> Job:
        """Add the job of a file; a repetition returns the job that it has."""
        row = _get(connection, id, lock=True)
        if row.job is not None:
            return rows.get_row(connection, row.job)
        stored = rows.add_row(connection, job, True)
        change = update(storage_items).where(storage_items.c.id == id)
        connection.execute(change.values(job=stored.id, state=ItemState.RUNNING))
        return stored

    @writing
    def set_target(self, connection: Connection, id: str, target: str) -> TakenFile:
        """Fix the name under which a file and its result will be left."""
        connection.execute(
            update(storage_items).where(storage_items.c.id == id).values(target=target)
        )
        return _get(connection, id)

    @writing
    def end(
        self, connection: Connection, id: str, error: Mapping[str, Any] | None, now: float
    ) -> None:
        """Note that the result or the error of a file has been left."""
        state = ItemState.SUCCEEDED if error is None else ItemState.FAILED
        values = {"state": state, "error": error, "ended": now}
        connection.execute(update(storage_items).where(storage_items.c.id == id).values(**values))

    @reading
    def latest(self, connection: Connection, source: str, limit: int) -> list[TakenFile]:
        """Return files of a source, newest first."""
        query = select(storage_items).where(storage_items.c.source == source)
        return _read(connection, query.order_by(storage_items.c.id.desc()).limit(limit))

    @reading
    def counts(self, connection: Connection) -> dict[str, dict[str, int]]:
        """Return the number of files by source and state."""
        group = (storage_items.c.source, storage_items.c.state)
        found: dict[str, dict[str, int]] = {}
        for source, state, count in connection.execute(
            select(*group, func.count()).group_by(*group)
        ):
            found.setdefault(source, {})[state] = count
        return found

    @writing
    def purge(self, connection: Connection, before: float) -> None:
        """Delete the rows of files that ended before a time."""
        connection.execute(delete(storage_items).where(storage_items.c.ended < before))


def _of(source: str, state: ItemState) -> Select[Any]:
    return select(storage_items).where(
        storage_items.c.source == source, storage_items.c.state == state
    )


def _get(connection: Connection, id: str, *, lock: bool = False) -> TakenFile:
    query = select(storage_items).where(storage_items.c.id == id)
    return _read(connection, query.with_for_update() if lock else query)[0]


def _read(connection: Connection, query: Select[Any]) -> list[TakenFile]:
    result = connection.execute(query)
    # The keys of a row may be of a subclass of ``str``, which msgspec does not accept.
    names = [str(name) for name in result.keys()]  # noqa: SIM118 - a result is no mapping
    return [msgspec.convert(dict(zip(names, row, strict=True)), TakenFile) for row in result]
