"""The rows of jobs.

Writes do not take the lock of other writers (``lock=False``): a row lock and the token of its
attempt protect each job. A write that a lost connection interrupted may run twice, so each one
recognizes its own result.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    func,
    select,
    tuple_,
    update,
)

from easymlnb_server.identity.access import is_pass_key
from easymlnb_server.jobs import rows, rules
from easymlnb_server.jobs.models import (
    ENDED,
    HELD,
    Attempt,
    Job,
    JobEvent,
    JobState,
    MetricValue,
    StoredFile,
)
from easymlnb_server.jobs.rows import OnOutcome
from easymlnb_server.jobs.rules import Change
from easymlnb_server.store.database import Database, Repository, reading
from easymlnb_server.store.tables import (
    job_attempts,
    job_events,
    job_files,
    job_metrics,
    jobs,
)

T = TypeVar("T")


class JobRepository(Repository):
    """Reads and writes jobs. Methods block: call them in a thread.

    ``on_outcome`` runs in the transaction that ends an attempt or a job.

    Attributes
    ----------
    last_change
        A new object after each change with which jobs may have ended.
    """

    def __init__(self, database: Database, on_outcome: Sequence[OnOutcome] = ()) -> None:
        super().__init__(database)
        self._on_outcome = on_outcome
        self.last_change = object()

    def _change(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._write(work)
        finally:
            self.last_change = object()

    def add(self, job: Job, *, low_priority: bool = False) -> Job:
        """Add a queued job at its rank, or return the job that has its key already.

        Raises ``IdempotencyKeyConflict`` if that one was submitted with other input.
        """
        return self._write(lambda connection: rows.add_row(connection, job, low_priority))

    @reading
    def get(self, connection: Connection, id: str) -> Job:
        """Return a job; raises ``JobNotFound``."""
        return rows.get_row(connection, id)

    @reading
    def find(
        self,
        connection: Connection,
        *,
        owner: str | None = None,
        states: Collection[JobState] = (),
        service: str = "",
        among: Collection[str] | None = None,
        kind: str = "",
        parent: str = "",
        limit: int = 50,
        start: str = "",
    ) -> tuple[list[Job], int]:
        """Return jobs, newest first, and how many there are; ``start`` is the id of the first.

        ``among`` are the services of an API key, which may be patterns; ``None`` for all. The
        trials of sweeps are only among them if ``kind`` or ``parent`` asks for some.
        """
        chosen: list[ColumnElement[bool]] = []
        for column, value in (("service", service), ("kind", kind), ("parent", parent)):
            if value:
                chosen.append(jobs.c[column] == value)
        if not kind and not parent:
            chosen.append(jobs.c.parent.is_(None))
        if owner is not None:
            chosen.append(jobs.c.owner == owner)
        if among is not None:
            chosen.append(rows.is_of_services(among))
        if states:
            chosen.append(jobs.c.state.in_(states))
        total = connection.scalar(select(func.count()).select_from(jobs).where(*chosen)) or 0
        if start:
            chosen.append(jobs.c.id <= start)
        query = select(jobs).where(*chosen).order_by(jobs.c.id.desc()).limit(limit)
        return rows.read_rows(connection, query), total

    @reading
    def position(self, connection: Connection, job: Job) -> int:
        """Return the place of a queued job in its lane, from 1."""
        ahead = tuple_(jobs.c.rank, jobs.c.id) < tuple_(job.rank, job.id)
        query = select(func.count()).select_from(jobs)
        queued = (jobs.c.lane == job.lane) & (jobs.c.state == JobState.QUEUED)
        return (connection.scalar(query.where(queued, ahead)) or 0) + 1

    @reading
    def has_key(self, connection: Connection, owner: str, service: str, key: str) -> bool:
        """Return whether an owner's job of a service has an idempotency key."""
        same = (jobs.c.owner == owner) & (jobs.c.service == service) & (jobs.c.key == key)
        return connection.execute(select(jobs.c.id).where(same)).first() is not None

    @reading
    def unfinished(
        self, connection: Connection, owner: str, service: str, key: str
    ) -> dict[str, int]:
        """Return the numbers of jobs that have not ended, by kind of meter.

        These are those of the service, of all its visitors, and of the owner, a user or a visitor.
        """
        going = jobs.c.state.not_in(ENDED)
        query = select(jobs.c.owner).where(going, jobs.c.service == service)
        owners = list(connection.execute(query).scalars())
        own = list(connection.execute(select(jobs.c.options).where(going, jobs.c.owner == owner)))
        return {
            "service": len(owners),
            "visitors": sum(map(is_pass_key, owners)),
            "visitor": len(own),
            "user": len(own),
            "key": sum(row.options.get("api_key") == key for row in own),
        }

    @reading
    def unfinished_of(self, connection: Connection, owner: str) -> list[str]:
        """Return the ids of an owner's jobs that have not ended."""
        query = select(jobs.c.id).where(jobs.c.owner == owner, jobs.c.state.not_in(ENDED))
        return list(connection.execute(query).scalars())

    def fail_unfinished(
        self, services: Collection[str], error: dict[str, Any], now: float, expires: float
    ) -> list[str]:
        """Fail the jobs of services that were removed; return their ids."""

        def work(connection: Connection) -> list[str]:
            going = jobs.c.service.in_(services) & jobs.c.state.not_in(ENDED)
            found = rows.read_rows(connection, select(jobs).where(going).with_for_update())
            for job in found:
                change = rules.fail_unstarted(error, now)
                values = {**change.values, "expires": expires}
                outcome = change.outcome if rules.is_held(job) else ""
                change = replace(change, values=values, outcome=outcome)
                rows.write_change(connection, job, change, self._on_outcome)
            return [job.id for job in found]

        return self._change(work)

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
                own = (jobs.c.state == JobState.STARTING) & (jobs.c.holder == holder)
                done = rows.read_rows(connection, select(jobs).where(own, jobs.c.changed == now))
                if done:
                    return [job for job in done if job.lane == lane]
            return rows.claim_rows(
                connection, rows.claimable(lane, count, now, skip), lane, holder, now
            )

        return self._write(work)

    def apply(self, job: Job, change: Change) -> Job | None:
        """Write a change of a held job; ``None`` if its token has changed or it has ended."""
        return self._change(
            lambda connection: rows.apply_change(connection, job, change, self._on_outcome)
        )

    def change(self, id: str, rule: Callable[[Job], Change]) -> Job:
        """Read a job under a lock, and write the change that ``rule`` returns for it."""

        def work(connection: Connection) -> Job:
            job = rows.get_row(connection, id, lock=True)
            change = rule(job)
            rows.write_change(connection, job, change, self._on_outcome)
            return rows.get_row(connection, id)

        return self._change(work)

    def adopt(self, holder: str, now: float) -> list[Job]:
        """Give this process all jobs that another one holds, and return them."""

        def work(connection: Connection) -> list[Job]:
            held = jobs.c.state.in_(HELD) & (jobs.c.holder != holder)
            found = rows.read_rows(connection, select(jobs).where(held).with_for_update())
            for job in found:
                rows.write_change(connection, job, rules.adopt(job, holder, now))
            return rows.read_rows(
                connection, select(jobs).where(jobs.c.state.in_(HELD), jobs.c.holder == holder)
            )

        return self._write(work)

    def save_progress(self, job: Job, progress: float, text: str) -> None:
        """Store the latest progress of a running job."""
        values = {"progress": progress, "progress_text": text}
        self._write(
            lambda c: c.execute(update(jobs).where(rows.is_current(job)).values(**values)) and None
        )

    def save_metrics(self, job: Job, found: Iterable[MetricValue]) -> None:
        """Store metrics; a later value of the same name and step replaces the former one."""
        values = [
            {"job": job.id, "name": m.name, "step": m.step, "value": m.value, "time": m.time}
            for m in found
        ]

        def work(connection: Connection) -> None:
            if rows.lock_current(connection, job) is None:
                return
            for row in values:
                rows.upsert(connection, job_metrics, ("job", "name", "step"), row)

        self._write(work)

    def save_file(self, job: Job, file: StoredFile) -> bool:
        """Store a file of a running job under its label; ``False`` if the attempt has ended."""
        row = msgspec.to_builtins(file) | {"job": job.id}

        def work(connection: Connection) -> bool:
            if rows.lock_current(connection, job) is None:
                return False
            rows.upsert(connection, job_files, ("job", "label"), row)
            return True

        return self._write(work)

    def save_checkpoint(self, job: Job, file: str, now: float) -> bool:
        """Store the newest checkpoint of a running job; ``False`` if the attempt has ended.

        The one before stays, in case the newest one cannot be read.
        """

        def work(connection: Connection) -> bool:
            current = rows.lock_current(connection, job)
            if current is None:
                return False
            if current.checkpoint != file:
                values = {"checkpoint": file, "former_checkpoint": current.checkpoint}
                statement = update(jobs).where(jobs.c.id == job.id)
                connection.execute(statement.values(changed=now, **values))
                rows.add_event(connection, job.id, now, "checkpoint", {"attempt": job.attempt})
            return True

        return self._write(work)

    @reading
    def preempted_in_vain(self, connection: Connection, id: str) -> int:
        """Return how many runs of a job were preempted since its last checkpoint."""
        saved = (job_events.c.job == id) & (job_events.c.kind == "checkpoint")
        query = select(job_events.c.data).where(saved).order_by(job_events.c.n.desc()).limit(1)
        last = connection.scalar(query)
        after = (job_attempts.c.job == id) & (job_attempts.c.outcome == rules.PREEMPTED)
        if last is not None:
            after &= job_attempts.c.number > last["attempt"]
        return connection.scalar(select(func.count()).select_from(job_attempts).where(after)) or 0

    @reading
    def events(self, connection: Connection, id: str, after: int = 0) -> list[JobEvent]:
        """Return the events of a job after the number ``after``."""
        query = select(job_events).where(job_events.c.job == id, job_events.c.n > after)
        rows = connection.execute(query.order_by(job_events.c.n))
        return [JobEvent(row.n, row.time, row.kind, row.data) for row in rows]

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
    def metrics(self, connection: Connection, id: str) -> list[MetricValue]:
        """Return the metrics of a job by name and step."""
        query = select(job_metrics).where(job_metrics.c.job == id)
        return [
            MetricValue(row.name, row.step, row.value, row.time)
            for row in connection.execute(query.order_by(job_metrics.c.name, job_metrics.c.step))
        ]

    def remove(self, id: str) -> None:
        """Delete a job that has ended."""
        self._write(lambda connection: rows.remove_rows(connection, [id]))

    def remove_expired(self, now: float) -> int:
        """Delete the jobs whose time is over; return how many."""

        def work(connection: Connection) -> int:
            query = select(jobs.c.id).where(jobs.c.state.in_(ENDED), jobs.c.expires < now)
            found = list(connection.execute(query.limit(1000)).scalars())
            rows.remove_rows(connection, found)
            return len(found)

        return self._write(work)

    @reading
    def needed_files(self, connection: Connection) -> set[str]:
        """Return the names of all files that jobs need."""
        columns = (jobs.c.result, jobs.c.log, jobs.c.checkpoint, jobs.c.former_checkpoint)
        names = {name for row in connection.execute(select(*columns)) for name in row if name}
        for found in connection.execute(select(jobs.c.input)).scalars():
            names.update((found["file"], *(file for _, file, _ in found["uploads"])))
        names.update(connection.execute(select(job_files.c.file)).scalars())
        return names

    def _write(self, work: Callable[[Connection], T]) -> T:
        return self._database.write(work, lock=False)
