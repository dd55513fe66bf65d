"""The rows of schedules. A tick changes the schedule and adds its job in one transaction."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, func, select, update

from easymlnb.contract.errors import JobNotFound, ScheduleNotFound
from easymlnb_server.jobs import rows
from easymlnb_server.jobs.models import Job
from easymlnb_server.schedules.models import Overlap, Schedule
from easymlnb_server.store.database import Repository, reading, writing
from easymlnb_server.store.owned_rows import add_owned
from easymlnb_server.store.tables import schedules

OVERLAPPED = "The job of the last tick had not ended."


class NotDue(Exception):
    """The tick makes no job: it is skipped, or another change came first."""


class ScheduleRepository(Repository):
    """Reads and writes schedules. Methods block: call them in a thread."""

    @writing
    def add(self, connection: Connection, schedule: Schedule, most: int) -> bool:
        """Add a schedule; ``False`` if its owner has ``most`` already."""
        return add_owned(connection, schedules, msgspec.to_builtins(schedule), most)

    @reading
    def get(self, connection: Connection, id: str) -> Schedule:
        """Return a schedule; raises ``ScheduleNotFound``."""
        return _get(connection, id)

    @reading
    def find(
        self, connection: Connection, *, owner: str | None = None, service: str = ""
    ) -> list[Schedule]:
        """Return schedules, newest first: of an owner, and of a service."""
        query = select(schedules).order_by(schedules.c.id.desc())
        if owner is not None:
            query = query.where(schedules.c.owner == owner)
        if service:
            query = query.where(schedules.c.service == service)
        return _read(connection, query)

    @writing
    def change(self, connection: Connection, id: str, values: Mapping[str, Any]) -> Schedule:
        """Change columns of a schedule, and return it; raises ``ScheduleNotFound``."""
        connection.execute(update(schedules).where(schedules.c.id == id).values(**values))
        return _get(connection, id)

    @writing
    def remove(self, connection: Connection, id: str) -> None:
        """Delete a schedule."""
        connection.execute(delete(schedules).where(schedules.c.id == id))

    @reading
    def due(self, connection: Connection, now: float, limit: int = 100) -> list[Schedule]:
        """Return schedules whose next tick has come, the longest due first."""
        query = select(schedules).where(schedules.c.next <= now).order_by(schedules.c.next)
        return _read(connection, query.limit(limit))

    @reading
    def next(self, connection: Connection) -> float | None:
        """Return the time of the next tick of all schedules."""
        found: float | None = connection.scalar(select(func.min(schedules.c.next)))
        return found

    @writing
    def pass_tick(
        self,
        connection: Connection,
        schedule: Schedule,
        following: float | None,
        reason: str,
        now: float,
    ) -> None:
        """Let a tick pass without a job; without a ``following`` one, pause the schedule."""
        values = {"next": following, "reason": reason, "changed": now}
        if following is not None:
            values["skipped"] = schedule.skipped + 1
        due = (schedules.c.id == schedule.id) & (schedules.c.next == schedule.next)
        connection.execute(update(schedules).where(due).values(**values))

    @writing
    def fire(
        self, connection: Connection, schedule: Schedule, following: float, job: Job, now: float
    ) -> Job:
        """Add the job of a tick, and set the following one; raises ``NotDue``.

        A repetition, after the connection was lost, returns the job of the tick.
        """
        current = _get(connection, schedule.id, lock=True)
        if current.tick == schedule.next and current.last_job is not None:
            return rows.get_row(connection, current.last_job)
        if current.next != schedule.next:
            raise NotDue
        stored = rows.add_row(connection, job, False)
        values = {"next": following, "tick": schedule.next, "last_job": stored.id}
        values |= {"runs": current.runs + 1, "reason": "", "changed": now}
        connection.execute(update(schedules).where(schedules.c.id == current.id).values(**values))
        return stored

    @reading
    def overlaps(self, connection: Connection, schedule: Schedule) -> bool:
        """Return whether a tick is skipped because the last job has not ended."""
        if schedule.overlap is Overlap.QUEUE or schedule.last_job is None:
            return False
        try:
            return not rows.get_row(connection, schedule.last_job).state.ended
        except JobNotFound:
            return False  # deleted since

    @writing
    def run_now(self, connection: Connection, id: str, job: Job, now: float) -> Job:
        """Add a job between two ticks; raises ``ScheduleNotFound``."""
        current = _get(connection, id, lock=True)
        stored = rows.add_row(connection, job, False)
        if current.last_job != stored.id:
            values = {"last_job": stored.id, "runs": current.runs + 1, "changed": now}
            connection.execute(update(schedules).where(schedules.c.id == id).values(**values))
        return stored

    @reading
    def needed_files(self, connection: Connection) -> set[str]:
        """Return the names of all files that schedules need."""
        inputs: Collection[Any] = connection.execute(select(schedules.c.input)).scalars().all()
        return {found["file"] for found in inputs}


def _get(connection: Connection, id: str, *, lock: bool = False) -> Schedule:
    query = select(schedules).where(schedules.c.id == id)
    found = _read(connection, query.with_for_update() if lock else query)
    if not found:
        raise ScheduleNotFound
    return found[0]


def _read(connection: Connection, query: Select[Any]) -> list[Schedule]:
    result = connection.execute(query)
    # The keys of a row may be of a subclass of ``str``, which msgspec does not accept.
    names = [str(name) for name in result.keys()]  # noqa: SIM118 - a result is no mapping
    return [msgspec.convert(dict(zip(names, row, strict=True)), Schedule) for row in result]
