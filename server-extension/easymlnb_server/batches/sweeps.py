"""The sweeps of a server: a job without a kernel, whose trials are jobs."""

import asyncio
import contextlib
import hashlib
import time
from dataclasses import replace

import msgspec

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.batches import sweep_table
from easymlnb_server.batches.blocks import BatchLost
from easymlnb_server.batches.driver import end, save_file, until_cancelled
from easymlnb_server.batches.points import Sweep, SweepRequest, expand
from easymlnb_server.batches.sweep_repository import TrialRepository
from easymlnb_server.batches.sweep_table import SweepTable
from easymlnb_server.identity.access import Action
from easymlnb_server.jobs import lanes, rules
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import SWEEP, TRIAL, Job, JobInput, JobState, new_id
from easymlnb_server.jobs.run import JobRun
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.store.files import Files
from easymlnb_server.store.store import Store

ADDED = 100
"""Trials that are added in one transaction."""

LOOK_EVERY = 5.0
"""Seconds between two looks at the trials, unless one has ended."""

JSON = "application/json"
TABLE = "results.csv"
"""The label of the table of results."""


class Sweeps:
    """All sweeps of a server, which are jobs of kind ``sweep``."""

    def __init__(self, jobs: Jobs, services: ServiceRegistry) -> None:
        self._jobs = jobs
        self._services = services
        self._trials: TrialRepository | None = None
        jobs.drivers[SWEEP] = self._run
        jobs.on_prepare.append(self._prepare)

    @property
    def trials(self) -> TrialRepository:
        """The rows of trials."""
        assert self._trials is not None
        return self._trials

    def _prepare(self, store: Store) -> None:
        self._trials = TrialRepository(store.database)

    async def submit(self, submission: Submission, request: SweepRequest) -> Job:
        """Store a sweep and return its job; raises ``BadRequest`` and what ``Jobs.submit`` does."""
        caller = submission.caller
        spec = self._services.resolve(submission.service, caller, Action.CALL).spec
        sweep = expand(request, spec)
        lanes.choose(self._jobs.lanes, TRIAL, sweep.lane)

        def store(job: Job) -> Job:
            data = msgspec.json.encode(sweep)
            given = JobInput(file=self._jobs.store.files.put(data))
            fingerprint = hashlib.sha256(data).hexdigest()
            filled = msgspec.structs.replace(
                job, input=given, input_type=JSON, fingerprint=fingerprint
            )
            return self._jobs.repository.add(filled)

        return await self._jobs.submit(replace(submission, kind=SWEEP), store)

    async def table(self, job: Job) -> SweepTable:
        """Return the trials of a sweep so far."""
        return await asyncio.to_thread(self._table, job)

    def _table(self, job: Job) -> SweepTable:
        files = self._jobs.store.files
        return sweep_table.make(_read(files, job), self.trials.trials(job.id), files.get)

    async def _run(self, run: JobRun) -> None:
        """Add the trials of a sweep that are not there, and wait until all have ended."""
        if run.job.state is JobState.STARTING and not await run.apply(
            rules.begin(run.job, "", time.time())
        ):
            return
        await run.read_begin()
        change = await until_cancelled(run, self._work(run))
        if change is not None and change.values["state"].ended:
            await self._cancel_trials(run)
        await end(run, change)

    async def _work(self, run: JobRun) -> rules.Change:
        await self._add_trials(run)
        while not await self._all_ended(run):
            run.child_ended.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await run.child_ended.wait()
        table = await self.table(run.job)
        text = await asyncio.to_thread(sweep_table.as_csv, table)
        await save_file(run, TABLE, text, "text/csv")
        now = time.time()
        first = sweep_table.failed(await asyncio.to_thread(self.trials.trials, run.job.id))
        if first is not None and first.error is not None:
            message = f"All {len(table.trials)} trials failed. The first: {first.error['message']}"
            return rules.fail_unstarted({"code": first.error["code"], "message": message}, now)
        name = await asyncio.to_thread(run.parts.files.put, msgspec.json.encode(table))
        return rules.succeed(run.job, {"result": name, "result_type": JSON}, now)

    async def _add_trials(self, run: JobRun) -> None:
        sweep = await asyncio.to_thread(_read, run.parts.files, run.job)
        known = await asyncio.to_thread(self.trials.items, run.job.id)
        missing = [item for item in range(len(sweep.points)) if item not in known]
        for at in range(0, len(missing), ADDED):
            items = missing[at : at + ADDED]
            trials = await asyncio.to_thread(self._new_trials, run.job, sweep, items)
            if not await asyncio.to_thread(self.trials.add, run.job, trials):
                raise BatchLost
            self._jobs.wake()

    def _new_trials(self, parent: Job, sweep: Sweep, items: list[int]) -> list[Job]:
        lane = lanes.choose(self._jobs.lanes, TRIAL, sweep.lane)
        return [self._new_trial(parent, sweep, item, lane) for item in items]

    def _new_trial(self, parent: Job, sweep: Sweep, item: int, lane: str) -> Job:
        now = time.time()
        return msgspec.structs.replace(
            parent,
            id=new_id(now),
            kind=TRIAL,
            lane=lane,
            input=JobInput(file=self._jobs.store.files.put(sweep.body(item))),
            key=None,
            state=JobState.QUEUED,
            attempt=0,
            attempts=sweep.attempts,
            token=0,
            holder=None,
            worker=None,
            progress=0.0,
            progress_text="",
            reason="",
            parent=parent.id,
            item=item,
            retry_of=None,
            created=now,
            changed=now,
            began=None,
        )

    async def _all_ended(self, run: JobRun) -> bool:
        """Publish how many trials have ended; return whether all have."""
        counts = await asyncio.to_thread(self.trials.counts, run.job.id)
        ended = sum(count for state, count in counts.items() if state.ended)
        total = sum(counts.values())
        failed = counts.get(JobState.FAILED, 0)
        text = f"{ended:,} of {total:,} trials" + (f", {failed:,} failed" if failed else "")
        run.progress = (ended / max(1, total), text)
        data = {"fraction": run.progress[0], "text": text}
        run.parts.events.publish(run.job.id, "progress", data)
        await asyncio.to_thread(run.parts.repository.save_progress, run.job, *run.progress)
        return ended == total

    async def _cancel_trials(self, run: JobRun) -> None:
        """Cancel the trials that have not ended, and wait until they have."""
        while left := await asyncio.to_thread(self.trials.unfinished, run.job.id):
            run.child_ended.clear()
            for trial in left:
                with contextlib.suppress(EasyMLNBError):  # it has ended meanwhile
                    await self._jobs.cancel(trial, None)
            if not await asyncio.to_thread(self.trials.unfinished, run.job.id):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await run.child_ended.wait()


def _read(files: Files, job: Job) -> Sweep:
    return msgspec.json.decode(files.get(job.input.file), type=Sweep)
