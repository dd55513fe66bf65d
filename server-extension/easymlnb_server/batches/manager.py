"""The batches of a server: submit them, and run them as jobs."""

import hashlib
from dataclasses import replace

import msgspec

from easymlnb_server.batches.driver import BatchDriver
from easymlnb_server.batches.models import BatchOptions
from easymlnb_server.batches.repository import BatchRepository, forget
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.jobs.bodies import store_content
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import BATCH, Job, JobInput
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.store.store import Store
from easymlnb_server.uploads.spool import SpooledFile

Table = tuple[bytes | SpooledFile, ...]
"""The table of a batch, or the files that are its rows."""


class Batches:
    """All batches of a server, which are jobs of kind ``batch``."""

    def __init__(self, jobs: Jobs, invoker: Invoker) -> None:
        self._jobs = jobs
        self._repository: BatchRepository | None = None
        jobs.drivers[BATCH] = BatchDriver(invoker, lambda: self.repository).run
        jobs.on_prepare.append(self._prepare)
        jobs.on_outcome.append(forget)

    @property
    def repository(self) -> BatchRepository:
        """The rows of batches."""
        assert self._repository is not None
        return self._repository

    def _prepare(self, store: Store) -> None:
        self._repository = BatchRepository(store.database)

    async def submit(self, submission: Submission, options: BatchOptions, table: Table) -> Job:
        """Store a batch and return its job; raises what ``Jobs.submit`` does.

        The table is not read yet: what is wrong with it fails the job.
        """
        files = tuple((str(number), one) for number, one in enumerate(table))
        large = tuple((id, one) for id, one in files if isinstance(one, SpooledFile))
        body = FileBody(b"".join(one for one in table if isinstance(one, bytes)), uploads=large)

        def store(job: Job) -> Job:
            stored = self._jobs.store.files
            uploads = tuple((id, *store_content(stored, one)) for id, one in files)
            head = stored.put(msgspec.json.encode(options))
            given = JobInput(file=head, uploads=uploads)
            fingerprint = hashlib.sha256(msgspec.json.encode(given)).hexdigest()
            filled = msgspec.structs.replace(job, input=given, fingerprint=fingerprint)
            return self._jobs.repository.add(filled)

        return await self._jobs.submit(replace(submission, kind=BATCH, body=body), store)
