"""The rows of the trials of sweeps."""

from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from easymlnb_server.jobs import rows
from easymlnb_server.jobs.models import ENDED, Job, JobState
from easymlnb_server.store.database import Repository, reading
from easymlnb_server.store.tables import jobs


class TrialRepository(Repository):
    """Reads and writes the trials of sweeps. Methods block: call them in a thread."""

    @reading
    def items(self, connection: Connection, parent: str) -> set[int]:
        """Return the numbers of the trials that there are."""
        query = select(jobs.c.item).where(jobs.c.parent == parent)
        return set(connection.execute(query).scalars())

    def add(self, parent: Job, trials: Iterable[Job]) -> bool:
        """Add queued trials; ``False`` if another process holds the sweep."""
        new = list(trials)

        def work(connection: Connection) -> bool:
            if rows.lock_current(connection, parent) is None:
                return False
            known = set(
                connection.execute(
                    select(jobs.c.id).where(jobs.c.id.in_([job.id for job in new]))
                ).scalars()
            )
            for job in new:
                if job.id not in known:  # else a retry of what was committed
                    rows.add_row(connection, job, low_priority=True)
            return True

        return self._database.write(work, lock=False)

    @reading
    def counts(self, connection: Connection, parent: str) -> dict[JobState, int]:
        """Return how many trials are in each state."""
        query = select(jobs.c.state, func.count()).where(jobs.c.parent == parent)
        found = connection.execute(query.group_by(jobs.c.state))
        return {JobState(state): count for state, count in found}

    @reading
    def unfinished(self, connection: Connection, parent: str) -> list[str]:
        """Return the ids of the trials that have not ended."""
        query = select(jobs.c.id).where(jobs.c.parent == parent, jobs.c.state.not_in(ENDED))
        return list(connection.execute(query).scalars())

    @reading
    def trials(self, connection: Connection, parent: str) -> list[Job]:
        """Return the trials in their order."""
        query = select(jobs).where(jobs.c.parent == parent).order_by(jobs.c.item)
        return rows.read_rows(connection, query)
