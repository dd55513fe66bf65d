"""The rows of batches. Each write checks that this process still holds the job."""

from sqlalchemy import Connection, delete, insert, literal, select

from easymlnb_server.batches.models import BatchProgress, StoredBlock, StoredPart
from easymlnb_server.jobs import rows
from easymlnb_server.jobs.models import BATCH, Job, JobState
from easymlnb_server.jobs.rules import Change
from easymlnb_server.store.batch_tables import batch_blocks, batch_parts, batches
from easymlnb_server.store.database import Repository, reading

TABLES = (batches, batch_blocks, batch_parts)


class BatchRepository(Repository):
    """Reads and writes batches. Methods block: call them in a thread."""

    @reading
    def load(self, connection: Connection, job: str) -> BatchProgress | None:
        """Return how far a batch is; ``None`` if nothing of it is stored."""
        row = connection.execute(select(batches).where(batches.c.job == job)).first()
        if row is None:
            return None
        query = select(batch_blocks).where(batch_blocks.c.job == job)
        blocks = [
            StoredBlock(one.number, one.first, one.rows, one.file)
            for one in connection.execute(query.order_by(batch_blocks.c.number))
        ]
        failed = 0
        for part in _parts(connection, job):
            blocks[part.block].done = part.stop
            failed += part.failed
        return BatchProgress(
            row.plan, row.kind, row.header, row.position, row.complete, row.share, blocks, failed
        )

    @reading
    def parts(self, connection: Connection, job: str) -> list[StoredPart]:
        """Return the parts of a batch in the order of their rows."""
        return _parts(connection, job)

    def add_blocks(self, job: Job, progress: BatchProgress, blocks: list[StoredBlock]) -> bool:
        """Store how far the table was read; ``False`` if another process holds the job."""
        row = {
            "job": job.id,
            "plan": progress.plan,
            "kind": progress.kind,
            "header": progress.header,
            "position": progress.position,
            "complete": progress.complete,
            "share": progress.share,
        }
        found = [
            {"job": job.id, "number": b.number, "first": b.first, "rows": b.rows, "file": b.file}
            for b in blocks
        ]

        def work(connection: Connection) -> bool:
            if rows.lock_current(connection, job) is None:
                return False
            rows.upsert(connection, batches, ("job",), row)
            for one in found:
                rows.upsert(connection, batch_blocks, ("job", "number"), one)
            return True

        return self._database.write(work, lock=False)

    def add_part(self, job: Job, part: StoredPart) -> bool:
        """Store the results of rows; ``False`` if another process holds the job."""
        row = {
            "job": job.id,
            "block": part.block,
            "start": part.start,
            "stop": part.stop,
            "failed": part.failed,
            "file": part.file,
        }

        def work(connection: Connection) -> bool:
            if rows.lock_current(connection, job) is None:
                return False
            rows.upsert(connection, batch_parts, ("job", "block", "start"), row)
            return True

        return self._database.write(work, lock=False)

    def copy(self, old: str, job: Job) -> None:
        """Continue a batch that ended: give a new job what is stored of the old one."""

        def work(connection: Connection) -> None:
            if rows.lock_current(connection, job) is None:
                return
            for table in TABLES:
                if connection.execute(select(table).where(table.c.job == job.id)).first():
                    continue
                columns = [column for column in table.c if column.name != "job"]
                query = select(literal(job.id), *columns).where(table.c.job == old)
                names = ["job", *(column.name for column in columns)]
                connection.execute(insert(table).from_select(names, query))

        self._database.write(work, lock=False)

    @reading
    def needed_files(self, connection: Connection) -> set[str]:
        """Return the names of all files that batches need."""
        names: set[str] = set()
        for row in connection.execute(select(batches.c.plan, batches.c.header)):
            names.update(row)
        for column in (batch_blocks.c.file, batch_parts.c.file):
            names.update(connection.execute(select(column)).scalars())
        return names - {""}


def forget(connection: Connection, job: Job, change: Change) -> None:
    """Delete the parts of a batch that has its result."""
    if job.kind == BATCH and job.state is JobState.SUCCEEDED:
        for table in TABLES:
            connection.execute(delete(table).where(table.c.job == job.id))


def _parts(connection: Connection, job: str) -> list[StoredPart]:
    query = select(batch_parts).where(batch_parts.c.job == job)
    return [
        StoredPart(row.block, row.start, row.stop, row.failed, row.file)
        for row in connection.execute(query.order_by(batch_parts.c.block, batch_parts.c.start))
    ]
