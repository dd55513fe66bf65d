"""Statements on the tables of jobs, inside a transaction."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    Table,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from easymlnb.contract.errors import IdempotencyKeyConflict, JobNotFound
from easymlnb_server.identity.access import is_pass_key
from easymlnb_server.identity.grants import ALL
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import ENDED, HELD, Job, JobState
from easymlnb_server.jobs.rules import Change
from easymlnb_server.store.batch_tables import batch_blocks, batch_parts, batches
from easymlnb_server.store.database import insert_new
from easymlnb_server.store.tables import (
    job_attempts,
    job_events,
    job_files,
    job_lanes,
    job_metrics,
    jobs,
)

OnOutcome = Callable[[Connection, Job, Change], None]
"""What runs in the transaction that ends an attempt or a job: it may write further rows.

It gets the job as it is afterwards. An exception undoes the whole transaction.
"""

OWN_TABLES = (job_attempts, job_events, job_files, job_metrics)

VISITORS = "visitors"
BATCH_RANK = 2**40
"""Added to the rank of jobs with the priority of batches, which so come after all others."""


def claimable(lane: str, count: int, now: float, skip: Collection[str] = ()) -> Select[Any]:
    """Return the query of the next jobs of a lane, which uses the index of ranks."""
    query = select(jobs).where(
        jobs.c.lane == lane, jobs.c.state == JobState.QUEUED, jobs.c.not_before <= now
    )
    if skip:
        query = query.where(jobs.c.owner.not_in(skip))
    query = query.order_by(jobs.c.lane, jobs.c.state, jobs.c.rank, jobs.c.id)
    return query.limit(count).with_for_update(skip_locked=True)


def claim_rows(
    connection: Connection, query: Select[Any], lane: str, holder: str, now: float
) -> list[Job]:
    """Claim what a query finds, and return it; see ``JobRepository.claim``."""
    found = [
        write_change(connection, job, rules.claim(job, holder, now))
        for job in read_rows(connection, query)
    ]
    if not found:
        return []
    rank = max(job.rank for job in found) % BATCH_RANK
    upsert(connection, job_lanes, ("lane", "owner"), {"lane": lane, "owner": "", "rank": rank})
    return found


def add_row(connection: Connection, job: Job, low_priority: bool) -> Job:
    """Add a job, or return the one that has its key; see ``JobRepository.add``."""
    same = jobs.c.id == job.id
    if job.key is not None:
        own = (jobs.c.owner == job.owner) & (jobs.c.service == job.service)
        same = or_(same, own & (jobs.c.key == job.key))
    found = [] if job.key is None else read_rows(connection, select(jobs).where(same))
    if not found:
        job = msgspec.structs.replace(job, rank=_next_rank(connection, job, low_priority))
        if insert_new(connection, jobs, _values(job)):
            _record_first(connection, job)
            return job
        found = read_rows(connection, select(jobs).where(same))
    if found[0].id != job.id and found[0].fingerprint != job.fingerprint:
        raise IdempotencyKeyConflict
    return found[0]


def _record_first(connection: Connection, job: Job) -> None:
    """Write the first event of a job, and its attempt if it runs already."""
    data: dict[str, Any] = {"state": job.state.shown}
    if job.attempt:
        data["attempt"] = job.attempt
        row = {"job": job.id, "number": job.attempt, "began": job.began, "holder": job.holder}
        connection.execute(insert(job_attempts), row | {"worker": job.worker, "outcome": ""})
    event = {"job": job.id, "n": 1, "time": job.created, "kind": "state", "data": data}
    connection.execute(insert(job_events), event)


def _next_rank(connection: Connection, job: Job, low_priority: bool) -> int:
    """Return the rank after the lane's last claimed job and the owner's last job.

    An owner who submits many jobs gets later ranks than one who submits a few.
    """
    added = BATCH_RANK if low_priority else 0
    # All visitors together take one turn, and leave no row each.
    owner = VISITORS if is_pass_key(job.owner) else job.owner
    owner = f"{owner} batch" if low_priority else owner
    last = select(func.max(job_lanes.c.rank)).where(
        job_lanes.c.lane == job.lane, job_lanes.c.owner.in_(("", owner))
    )
    rank = (connection.scalar(last) or 0) + 1
    row = {"lane": job.lane, "owner": owner, "rank": rank}
    upsert(connection, job_lanes, ("lane", "owner"), row)
    return rank + added


def apply_change(
    connection: Connection, job: Job, change: Change, on_outcome: Iterable[OnOutcome] = ()
) -> Job | None:
    """Write a change of a held job; see ``JobRepository.apply``."""
    statement = update(jobs).where(is_current(job)).returning(jobs)
    changed = _as_jobs(connection.execute(statement, change.values))
    if changed:
        _record_change(connection, changed[0], change, on_outcome)
        return changed[0]
    now = read_rows(connection, select(jobs).where(jobs.c.id == job.id))
    written = {key: value for key, value in change.values.items() if key in ("state", "changed")}
    # A retry of what was committed finds its own values.
    mine = bool(now) and now[0].token == job.token and bool(written)
    return now[0] if mine and all(getattr(now[0], k) == v for k, v in written.items()) else None


def write_change(
    connection: Connection, job: Job, change: Change, on_outcome: Iterable[OnOutcome] = ()
) -> Job:
    """Write a change of a job whose row is locked, with its attempt and its event."""
    statement = update(jobs).where(jobs.c.id == job.id, jobs.c.token == job.token)
    connection.execute(statement, change.values)
    changed = msgspec.structs.replace(job, **change.values)
    _record_change(connection, changed, change, on_outcome)
    return changed


def _record_change(
    connection: Connection, job: Job, change: Change, on_outcome: Iterable[OnOutcome]
) -> None:
    """Write the attempt and the event of a job that has just been changed."""
    now = change.values["changed"]
    number = job.attempt
    if change.is_new_attempt:
        row = {"job": job.id, "number": number, "began": now, "outcome": "", "worker": ""}
        row["holder"] = change.values["holder"]
        connection.execute(insert(job_attempts), row)
    attempt = (job_attempts.c.job == job.id) & (job_attempts.c.number == number)
    if change.undoes_attempt:
        # ``job`` has the number of the attempt before.
        undone = (job_attempts.c.job == job.id) & (job_attempts.c.number > number)
        connection.execute(delete(job_attempts).where(undone))
    elif change.outcome:
        ended = {"ended": now, "outcome": change.outcome}
        connection.execute(update(job_attempts).where(attempt), ended)
    elif change.values.get("worker"):
        worker = {"worker": change.values["worker"]}
        connection.execute(update(job_attempts).where(attempt), worker)
    if change.event:
        data = {"state": JobState(change.event).shown, "attempt": number}
        if change.values.get("error"):
            data["error"] = change.values["error"]
        add_event(connection, job.id, now, "state", data)
    if change.outcome or job.state.ended:
        for hook in on_outcome:
            hook(connection, job, change)


def unfinished_versions(connection: Connection, service: str) -> dict[int, list[str]]:
    """Return the versions that jobs which have not ended refer to; a ``Referrer``."""
    unfinished = [state for state in JobState if state not in ENDED]
    query = select(jobs.c.version, func.count()).where(
        jobs.c.service == service, jobs.c.state.in_(unfinished)
    )
    found = connection.execute(query.group_by(jobs.c.version))
    return {
        int(version): [f"{count} unfinished job{'s' if count > 1 else ''}"]
        for version, count in found
        if version.isdecimal()
    }


def add_event(
    connection: Connection, job: str, now: float, kind: str, data: dict[str, Any]
) -> None:
    """Add an event with the next number; the row of the job is locked."""
    last = select(func.coalesce(func.max(job_events.c.n), 0) + 1).where(job_events.c.job == job)
    row = {"job": job, "n": last.scalar_subquery(), "time": now, "kind": kind, "data": data}
    connection.execute(insert(job_events).values(**row))


def is_of_services(names: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a job's service matches one of the names of an API key's grant."""
    if ALL in names:
        return true()
    prefixes = [name.removesuffix(ALL) for name in names if name.endswith(f"/{ALL}")]
    # Not LIKE, which ignores case on SQLite.
    starts = (func.substr(jobs.c.service, 1, len(one)) == one for one in prefixes)
    return or_(jobs.c.service.in_(names), *starts)


def is_current(job: Job) -> ColumnElement[bool]:
    """Return the condition that a job is held with its token."""
    return (jobs.c.id == job.id) & (jobs.c.token == job.token) & jobs.c.state.in_(HELD)


def lock_current(connection: Connection, job: Job) -> Job | None:
    """Lock a held job and return its row; ``None`` if its token has changed or it has ended."""
    found = read_rows(connection, select(jobs).where(is_current(job)).with_for_update())
    return found[0] if found else None


def remove_rows(connection: Connection, ids: list[str]) -> None:
    """Delete those of these jobs that have ended."""
    ended = jobs.c.id.in_(ids) & jobs.c.state.in_(ENDED)
    gone = list(connection.execute(select(jobs.c.id).where(ended).with_for_update()).scalars())
    for table in (*OWN_TABLES, batches, batch_blocks, batch_parts):
        connection.execute(delete(table).where(table.c.job.in_(gone)))
    connection.execute(delete(jobs).where(jobs.c.id.in_(gone)))


def _dialect(connection: Connection) -> Any:
    """Return the ``insert`` of the database's dialect, which can handle conflicts."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def upsert(connection: Connection, table: Table, key: tuple[str, ...], row: dict[str, Any]) -> None:
    """Insert a row, or replace the values of the row with this key."""
    statement = _dialect(connection)(table)
    # The values are parameters, so SQLAlchemy compiles the statement once.
    values = {name: statement.excluded[name] for name in row if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values), row)


def get_row(connection: Connection, id: str, *, lock: bool = False) -> Job:
    """Return a job; raises ``JobNotFound``."""
    query = select(jobs).where(jobs.c.id == id)
    found = read_rows(connection, query.with_for_update() if lock else query)
    if not found:
        raise JobNotFound
    return found[0]


def read_rows(connection: Connection, query: Select[Any]) -> list[Job]:
    """Return the jobs that a query finds."""
    return _as_jobs(connection.execute(query))


def _as_jobs(rows: CursorResult[Any]) -> list[Job]:
    # The keys of a row may be of a subclass of ``str``, which msgspec does not accept.
    names = [str(name) for name in rows.keys()]  # noqa: SIM118 - a result is no mapping
    return [msgspec.convert(dict(zip(names, row, strict=True)), Job) for row in rows]


def _values(job: Job) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(job)
    return values
