"""The rows of jobs.

Writes do not take the lock of other writers (``lock=False``): a row lock and the token of its
attempt protect each job. A write that a lost connection interrupted may run twice, so each one
recognizes its own result.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from easymlnb.contract.errors import IdempotencyKeyConflict, JobNotFound
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import (
    ENDED,
    HELD,
    Attempt,
    Event,
    Job,
    Metric,
    State,
    StoredFile,
)
from easymlnb_server.jobs.rules import Change
from easymlnb_server.store.database import Repository, reading
from easymlnb_server.store.tables import (
    job_attempts,
    job_events,
    job_files,
    job_lanes,
    job_metrics,
    jobs,
)

BATCH_RANK = 2**40
"""Added to the rank of jobs with the priority of batches, which so come after all others."""

T = TypeVar("T")


class JobRepository(Repository):
    """Reads and writes jobs. Methods block: call them in a thread."""

    def add(self, job: Job, *, low_priority: bool = False) -> Job:
        """Add a queued job at its rank, or return the job that has its key already.

        Raises ``IdempotencyKeyConflict`` if that one was submitted with other input.
        """
        return self._write(lambda connection: _add(connection, job, low_priority))

    @reading
    def get(self, connection: Connection, id: str) -> Job:
        """Return a job; raises ``JobNotFound``."""
        return _get(connection, id)

    @reading
    def find(
        self,
        connection: Connection,
        *,
        owner: str | None = None,
        states: Collection[State] = (),
        service: str = "",
        kind: str = "",
        parent: str = "",
        limit: int = 50,
        start: str = "",
    ) -> tuple[list[Job], int]:
        """Return jobs, newest first, and how many there are; ``start`` is the id of the first."""
        chosen: list[ColumnElement[bool]] = []
        for column, value in (("service", service), ("kind", kind), ("parent", parent)):
            if value:
                chosen.append(jobs.c[column] == value)
        if owner is not None:
            chosen.append(jobs.c.owner == owner)
        if states:
            chosen.append(jobs.c.state.in_(states))
        total = connection.scalar(select(func.count()).select_from(jobs).where(*chosen)) or 0
        if start:
            chosen.append(jobs.c.id <= start)
        query = select(jobs).where(*chosen).order_by(jobs.c.id.desc()).limit(limit)
        return _read(connection, query), total

    @reading
    def position(self, connection: Connection, job: Job) -> int:
        """Return the place of a queued job in its lane, from 1."""
        ahead = tuple_(jobs.c.rank, jobs.c.id) < tuple_(job.rank, job.id)
        query = select(func.count()).select_from(jobs)
        queued = (jobs.c.lane == job.lane) & (jobs.c.state == State.QUEUED)
        return (connection.scalar(query.where(queued, ahead)) or 0) + 1

    @reading
    def counts(self, connection: Connection) -> dict[tuple[str, str], int]:
        """Return how many jobs have not ended, by lane and state."""
        query = select(jobs.c.lane, jobs.c.state, func.count()).where(jobs.c.state.not_in(ENDED))
        rows = connection.execute(query.group_by(jobs.c.lane, jobs.c.state))
        return {(lane, state): count for lane, state, count in rows}

    def claim(
        self, lane: str, holder: str, count: int, now: float, *, skip: Collection[str] = ()
    ) -> list[Job]:
        """Claim up to ``count`` jobs of a lane in the order of their ranks.

        ``skip`` are owners who have as many running jobs as they may have.
        """
        tries = 0

        def work(connection: Connection) -> list[Job]:
            nonlocal tries
            tries += 1
            if tries > 1:  # the first try may have been committed
                own = (jobs.c.state == State.STARTING) & (jobs.c.holder == holder)
                done = _read(connection, select(jobs).where(own, jobs.c.changed == now))
                if done:
                    return [job for job in done if job.lane == lane]
            return _claim(connection, claimable(lane, count, now, skip), lane, holder, now)

        return self._write(work)

    def apply(self, job: Job, change: Change) -> Job | None:
        """Write a change of a held job; ``None`` if its token has changed or it has ended."""
        return self._write(lambda connection: _apply(connection, job, change))

    def change(self, id: str, rule: Callable[[Job], Change]) -> Job:
        """Read a job under a lock, and write the change that ``rule`` returns for it."""

        def work(connection: Connection) -> Job:
            job = _get(connection, id, lock=True)
            change = rule(job)
            _write_change(connection, job, change)
            return _get(connection, id)

        return self._write(work)

    def adopt(self, holder: str, now: float) -> list[Job]:
        """Give this process all jobs that another one holds, and return them."""

        def work(connection: Connection) -> list[Job]:
            held = jobs.c.state.in_(HELD) & (jobs.c.holder != holder)
            found = _read(connection, select(jobs).where(held).with_for_update())
            for job in found:
                _write_change(connection, job, rules.adopt(job, holder, now))
            return _read(
                connection, select(jobs).where(jobs.c.state.in_(HELD), jobs.c.holder == holder)
            )

        return self._write(work)

    def save_progress(self, job: Job, progress: float, text: str) -> None:
        """Store the latest progress of a running job."""
        values = {"progress": progress, "progress_text": text}
        self._write(
            lambda c: c.execute(update(jobs).where(_is_current(job)).values(**values)) and None
        )

    def save_reason(self, job: Job, reason: str) -> None:
        """Store what the start of a job waits for."""
        statement = update(jobs).where(_is_current(job)).values(reason=reason)
        self._write(lambda c: c.execute(statement) and None)

    def save_metrics(self, job: Job, found: Iterable[Metric]) -> None:
        """Store metrics; a later value of the same name and step replaces the former one."""
        rows = [
            {"job": job.id, "name": m.name, "step": m.step, "value": m.value, "time": m.time}
            for m in found
        ]

        def work(connection: Connection) -> None:
            for row in rows:
                _upsert(connection, job_metrics, ("job", "name", "step"), row)

        self._write(work)

    def save_file(self, job: Job, file: StoredFile) -> bool:
        """Store a file of a running job under its label; ``False`` if the attempt has ended."""
        row = msgspec.to_builtins(file) | {"job": job.id}

        def work(connection: Connection) -> bool:
            if not _lock_current(connection, job):
                return False
            _upsert(connection, job_files, ("job", "label"), row)
            return True

        return self._write(work)

    def save_checkpoint(self, job: Job, file: str, now: float) -> bool:
        """Store the newest checkpoint of a running job; ``False`` if the attempt has ended."""

        def work(connection: Connection) -> bool:
            statement = update(jobs).where(_is_current(job)).values(checkpoint=file, changed=now)
            if not connection.execute(statement).rowcount:
                return False
            _add_event(connection, job.id, now, "checkpoint", {"attempt": job.attempt})
            return True

        return self._write(work)

    @reading
    def events(self, connection: Connection, id: str, after: int = 0) -> list[Event]:
        """Return the events of a job after the number ``after``."""
        query = select(job_events).where(job_events.c.job == id, job_events.c.n > after)
        rows = connection.execute(query.order_by(job_events.c.n))
        return [Event(row.n, row.time, row.kind, row.data) for row in rows]

    @reading
    def attempts(self, connection: Connection, id: str) -> list[Attempt]:
        """Return the runs of a job, oldest first."""
        query = select(job_attempts).where(job_attempts.c.job == id)
        return [
            Attempt(row.number, row.worker, row.began, row.ended, row.outcome)
            for row in connection.execute(query.order_by(job_attempts.c.number))
        ]

    @reading
    def files(self, connection: Connection, id: str) -> list[StoredFile]:
        """Return the files of a job by label."""
        query = select(job_files).where(job_files.c.job == id).order_by(job_files.c.label)
        return [
            StoredFile(row.label, row.file, row.size, row.media_type, row.attempt)
            for row in connection.execute(query)
        ]

    @reading
    def metrics(self, connection: Connection, id: str) -> list[Metric]:
        """Return the metrics of a job by name and step."""
        query = select(job_metrics).where(job_metrics.c.job == id)
        return [
            Metric(row.name, row.step, row.value, row.time)
            for row in connection.execute(query.order_by(job_metrics.c.name, job_metrics.c.step))
        ]

    def remove(self, id: str) -> None:
        """Delete a job that has ended."""
        self._write(lambda connection: _remove(connection, [id]))

    def remove_expired(self, now: float) -> int:
        """Delete the jobs whose time is over; return how many."""

        def work(connection: Connection) -> int:
            query = select(jobs.c.id).where(jobs.c.state.in_(ENDED), jobs.c.expires < now)
            found = list(connection.execute(query.limit(1000)).scalars())
            _remove(connection, found)
            return len(found)

        return self._write(work)

    @reading
    def needed_files(self, connection: Connection) -> set[str]:
        """Return the names of all files that jobs need."""
        columns = (jobs.c.result, jobs.c.log, jobs.c.checkpoint)
        names = {name for row in connection.execute(select(*columns)) for name in row if name}
        for found in connection.execute(select(jobs.c.input)).scalars():
            names.update((found["file"], *(file for _, file, _ in found["uploads"])))
        names.update(connection.execute(select(job_files.c.file)).scalars())
        return names

    def _write(self, work: Callable[[Connection], T]) -> T:
        return self._database.write(work, lock=False)


def claimable(lane: str, count: int, now: float, skip: Collection[str] = ()) -> Select[Any]:
    """Return the query of the next jobs of a lane, which uses the index of ranks."""
    query = select(jobs).where(
        jobs.c.lane == lane, jobs.c.state == State.QUEUED, jobs.c.not_before <= now
    )
    if skip:
        query = query.where(jobs.c.owner.not_in(skip))
    query = query.order_by(jobs.c.lane, jobs.c.state, jobs.c.rank, jobs.c.id)
    return query.limit(count).with_for_update(skip_locked=True)


def _claim(
    connection: Connection, query: Select[Any], lane: str, holder: str, now: float
) -> list[Job]:
    found = _read(connection, query)
    for job in found:
        _write_change(connection, job, rules.claim(job, holder, now))
    if not found:
        return []
    rank = max(job.rank for job in found) % BATCH_RANK
    _upsert(connection, job_lanes, ("lane", "owner"), {"lane": lane, "owner": "", "rank": rank})
    query = select(jobs).where(jobs.c.id.in_([job.id for job in found]))
    return _read(connection, query.order_by(jobs.c.rank, jobs.c.id))


def _add(connection: Connection, job: Job, low_priority: bool) -> Job:
    same = jobs.c.id == job.id
    if job.key is not None:
        own = (jobs.c.owner == job.owner) & (jobs.c.service == job.service)
        same = or_(same, own & (jobs.c.key == job.key))
    found = _read(connection, select(jobs).where(same))
    if not found:
        job = msgspec.structs.replace(job, rank=_next_rank(connection, job, low_priority))
        statement = _dialect(connection)(jobs).values(**_values(job)).on_conflict_do_nothing()
        if connection.execute(statement).rowcount:
            _add_event(connection, job.id, job.created, "state", {"state": State.QUEUED})
            return job
        found = _read(connection, select(jobs).where(same))
    if found[0].id != job.id and found[0].fingerprint != job.fingerprint:
        raise IdempotencyKeyConflict
    return found[0]


def _next_rank(connection: Connection, job: Job, low_priority: bool) -> int:
    """Return the rank after the lane's last claimed job and the owner's last job.

    An owner who submits many jobs gets later ranks than one who submits a few.
    """
    added = BATCH_RANK if low_priority else 0
    owner = f"{job.owner} batch" if low_priority else job.owner
    last = select(func.max(job_lanes.c.rank)).where(
        job_lanes.c.lane == job.lane, job_lanes.c.owner.in_(("", owner))
    )
    rank = (connection.scalar(last) or 0) + 1
    row = {"lane": job.lane, "owner": owner, "rank": rank}
    _upsert(connection, job_lanes, ("lane", "owner"), row)
    return rank + added


def _apply(connection: Connection, job: Job, change: Change) -> Job | None:
    if _lock_current(connection, job):
        _write_change(connection, job, change)
        return _get(connection, job.id)
    now = _read(connection, select(jobs).where(jobs.c.id == job.id))
    written = {key: value for key, value in change.values.items() if key in ("state", "changed")}
    # A retry of what was committed finds its own values.
    mine = bool(now) and now[0].token == job.token and bool(written)
    return now[0] if mine and all(getattr(now[0], k) == v for k, v in written.items()) else None


def _write_change(connection: Connection, job: Job, change: Change) -> None:
    statement = update(jobs).where(jobs.c.id == job.id, jobs.c.token == job.token)
    connection.execute(statement.values(**change.values))
    now = change.values["changed"]
    number = change.values.get("attempt", job.attempt)
    if change.is_new_attempt:
        row = {"job": job.id, "number": number, "began": now, "outcome": "", "worker": ""}
        row["holder"] = change.values["holder"]
        connection.execute(insert(job_attempts).values(**row))
    attempt = (job_attempts.c.job == job.id) & (job_attempts.c.number == number)
    if change.outcome:
        ended = {"ended": now, "outcome": change.outcome}
        connection.execute(update(job_attempts).where(attempt).values(**ended))
    elif change.values.get("worker"):
        worker = {"worker": change.values["worker"]}
        connection.execute(update(job_attempts).where(attempt).values(**worker))
    if change.event:
        data = {"state": State(change.event).shown, "attempt": number}
        if change.values.get("error"):
            data["error"] = change.values["error"]
        _add_event(connection, job.id, now, "state", data)


def _add_event(
    connection: Connection, job: str, now: float, kind: str, data: dict[str, Any]
) -> None:
    """Add an event with the next number; the row of the job is locked."""
    last = connection.scalar(select(func.max(job_events.c.n)).where(job_events.c.job == job)) or 0
    row = {"job": job, "n": last + 1, "time": now, "kind": kind, "data": data}
    connection.execute(insert(job_events).values(**row))


def _is_current(job: Job) -> ColumnElement[bool]:
    return (jobs.c.id == job.id) & (jobs.c.token == job.token) & jobs.c.state.in_(HELD)


def _lock_current(connection: Connection, job: Job) -> bool:
    query = select(jobs.c.id).where(_is_current(job)).with_for_update()
    return connection.execute(query).first() is not None


def _remove(connection: Connection, ids: list[str]) -> None:
    ended = jobs.c.id.in_(ids) & jobs.c.state.in_(ENDED)
    gone = list(connection.execute(select(jobs.c.id).where(ended).with_for_update()).scalars())
    for table in (job_attempts, job_events, job_files, job_metrics):
        connection.execute(delete(table).where(table.c.job.in_(gone)))
    connection.execute(delete(jobs).where(jobs.c.id.in_(gone)))


def _dialect(connection: Connection) -> Any:
    """Return the ``insert`` of the database's dialect, which can handle conflicts."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def _upsert(
    connection: Connection, table: Table, key: tuple[str, ...], row: dict[str, Any]
) -> None:
    """Insert a row, or replace the values of the row with this key."""
    values = {name: value for name, value in row.items() if name not in key}
    statement = _dialect(connection)(table).values(**row)
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


def _get(connection: Connection, id: str, *, lock: bool = False) -> Job:
    query = select(jobs).where(jobs.c.id == id)
    found = _read(connection, query.with_for_update() if lock else query)
    if not found:
        raise JobNotFound
    return found[0]


def _read(connection: Connection, query: Select[Any]) -> list[Job]:
    rows = connection.execute(query)
    # The keys of a row may be of a subclass of ``str``, which msgspec does not accept.
    names = [str(name) for name in rows.keys()]  # noqa: SIM118 - a result is no mapping
    return [msgspec.convert(dict(zip(names, row, strict=True)), Job) for row in rows]


def _values(job: Job) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(job)
    return values
