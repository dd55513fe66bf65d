"""Runs batches: reads the table, runs its rows on the workers of the version, stores the results.

What is stored is the checkpoint: after a restart, or as a job that is retried, a batch continues
after its last stored part. Rows that ran and were not stored yet run again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from easymlnb.contract.errors import DeadlineExceeded, EasyMLNBError, JobNotFound
from easymlnb_server.batches import results
from easymlnb_server.batches.blocks import BatchLost, BatchWork
from easymlnb_server.batches.models import BatchOptions, BatchProgress
from easymlnb_server.batches.pool_calls import PoolCalls
from easymlnb_server.batches.repository import BatchRepository
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.jobs import endings, rules
from easymlnb_server.jobs.bodies import load_body
from easymlnb_server.jobs.models import JobState, StoredFile
from easymlnb_server.jobs.run import JobRun
from easymlnb_server.store.lease import LeaseLost

SAVE_EVERY = 1.0
"""Seconds between two writes of the progress."""

ERRORS = "errors.csv"
"""The label of the file with the rows that failed."""

log = logging.getLogger("easymlnb.batches")


class BatchDriver:
    """Runs the jobs of kind ``batch``.

    Parameters
    ----------
    invoker
        Calls the workers.
    repository
        Returns the rows of batches; raises why they are not there.
    """

    def __init__(self, invoker: Invoker, repository: Callable[[], BatchRepository]) -> None:
        self._invoker = invoker
        self._repository = repository

    async def run(self, run: JobRun) -> None:
        """Run a batch, or continue with it, to its end."""
        if run.job.state is JobState.STARTING and not await run.apply(
            rules.begin(run.job, "", time.time())
        ):
            return
        await run.read_begin()
        change = await until_cancelled(run, self._work(run))
        await end(run, change)

    async def _work(self, run: JobRun) -> rules.Change:
        calls = PoolCalls(self._invoker, run.job)
        progress = await asyncio.to_thread(self._load, run)
        options = await asyncio.to_thread(read_options, run)
        work = BatchWork(run, self._repository(), calls, progress, options)
        work.publish()
        saving = asyncio.create_task(_save(run, work))
        try:
            if not progress.complete:
                body = await asyncio.to_thread(
                    load_body, run.parts.files, run.parts.spool, run.job.input
                )
                work.table = getattr(body, "uploads", ())
            await work.run()
        finally:
            saving.cancel()
        values = await results.store(run, self._repository(), calls, progress, options)
        values["progress_text"] = progress.shown()[1]
        return rules.succeed(run.job, values, time.time())

    def _load(self, run: JobRun) -> BatchProgress:
        """Return how far a batch is; a retry continues with the old job of the same version."""
        repository, job = self._repository(), run.job
        found = repository.load(job.id)
        if found is None and job.retry_of is not None:
            with contextlib.suppress(JobNotFound):  # it is deleted
                if run.parts.repository.get(job.retry_of).bundle == job.bundle:
                    repository.copy(job.retry_of, job)
                    found = repository.load(job.id)
        return found or BatchProgress()


def read_options(run: JobRun) -> BatchOptions:
    """Return how a batch is run; blocks."""
    return msgspec.json.decode(run.parts.files.get(run.job.input.file), type=BatchOptions)


async def until_cancelled(
    run: JobRun, work: Coroutine[Any, Any, rules.Change]
) -> rules.Change | None:
    """Run ``work`` until the job is canceled or its time is over; return how the job ends.

    ``None``: another process has taken the job over.
    """
    task = asyncio.create_task(work)
    cancelled = asyncio.create_task(run.wait_cancelled())
    try:
        await asyncio.wait(
            {task, cancelled}, timeout=run.seconds_left, return_when="FIRST_COMPLETED"
        )
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if run.cancelled:
            return rules.end_cancelled(time.time())
        error: EasyMLNBError = DeadlineExceeded(run.job.timeout)
    except BatchLost:
        return None
    except LeaseLost:
        raise
    except EasyMLNBError as failure:
        error = failure
    finally:
        for one in (task, cancelled):
            one.cancel()
        await asyncio.gather(task, cancelled, return_exceptions=True)
    await run.refresh()
    return rules.fail(run.job, error.to_dict()["error"], time.time())


async def end(run: JobRun, change: rules.Change | None) -> None:
    """Store the end of a job that the server drove, with its log."""
    if change is None:
        return
    parts, job = run.parts, run.job
    if await run.apply(await endings.with_end(parts, job, change)) and run.job.state.ended:
        parts.logs.remove(job.id, job.attempt)


async def save_file(run: JobRun, label: str, data: bytes, media_type: str) -> None:
    """Add a file to a job that the server drives."""
    name = await asyncio.to_thread(run.parts.files.put, data)
    file = StoredFile(label, name, len(data), media_type, run.job.attempt)
    await asyncio.to_thread(run.parts.repository.save_file, run.job, file)


async def _save(run: JobRun, work: BatchWork) -> None:
    """Store the progress from time to time, also what the batch waits for."""
    saved = run.progress
    while True:
        await asyncio.sleep(SAVE_EVERY)
        if work.waits:
            work.publish()
        if run.progress != saved:
            saved = run.progress
            await asyncio.to_thread(run.parts.repository.save_progress, run.job, *saved)
