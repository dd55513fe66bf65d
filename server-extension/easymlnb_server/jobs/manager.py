"""The jobs of a server: submit, follow, cancel and read them."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from easymlnb.contract.errors import (
    BadRequest,
    CallCancelled,
    Draining,
    JobNotFound,
    ServiceNotFound,
)
from easymlnb_server.calls.invoker import Invocation, Invoker
from easymlnb_server.calls.record import size_of
from easymlnb_server.identity.access import Caller
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.admission import JobAdmission
from easymlnb_server.jobs.bodies import store_body
from easymlnb_server.jobs.call_records import JobCallRecorder
from easymlnb_server.jobs.events import CHANGED, JobEvents
from easymlnb_server.jobs.kernels import JobKernels
from easymlnb_server.jobs.lanes import Lane
from easymlnb_server.jobs.logs import JobLogs
from easymlnb_server.jobs.models import Job, JobState
from easymlnb_server.jobs.parts import OnEnded, ResultCheck, RunParts
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.rows import OnOutcome, unfinished_versions
from easymlnb_server.jobs.runner import JobRunner, Step
from easymlnb_server.jobs.submission import JobFactory, JobLimits, Submission, kept_seconds
from easymlnb_server.placement.base import OrphanedWorker
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.services.models import Target
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.store.store import Store
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.workers.factory import DeploymentFactory
from easymlnb_server.workers.worker_set import Worker

PURGE_EVERY = 3600.0

T = TypeVar("T")


class Jobs:
    """All jobs of a server; only the active process has its store open."""

    def __init__(
        self,
        invoker: Invoker,
        published: PublishedServices,
        publisher: Publisher,
        deployments: DeploymentFactory,
        spool: Spool,
        folder: Path,
        lanes: dict[str, Lane],
        limits: JobLimits,
    ) -> None:
        self.events = JobEvents()
        self.lanes = lanes
        self.logs = JobLogs(folder / "job-logs")
        self.on_outcome: list[OnOutcome] = []
        """Run in the transaction that ends an attempt or a job, see ``OnOutcome``."""
        self.on_prepare: list[Callable[[Store], None]] = []
        """Called with the store, before anything is served or removed."""
        self.drivers: dict[str, Step] = {}
        """Run the jobs that need no kernel, by kind."""
        self.checks: list[ResultCheck] = []
        """May refuse the results of jobs, see ``ResultCheck``."""
        self.on_ended: list[OnEnded] = []
        """Called when the end of a job is stored, see ``OnEnded``."""
        self._invoker = invoker
        self._published = published
        self._publisher = publisher
        self._deployments = deployments
        self._spool = spool
        self._folder = folder / "jobs"
        self._limits = limits
        self._admission = JobAdmission(invoker.quotas)
        self._factory = JobFactory(
            invoker, published, lanes, limits.timeout, deployments.require_placement
        )
        self._store: Store | None = None
        self._repository: JobRepository | None = None
        self._runner: JobRunner | None = None

    @property
    def repository(self) -> JobRepository:
        """The rows of jobs; raises why this process does not serve them."""
        self._published.check()
        assert self._repository is not None
        return self._repository

    @property
    def store(self) -> Store:
        """The open store; raises why it is not open."""
        self._published.check()
        assert self._store is not None
        return self._store

    async def prepare(self, store: Store) -> None:
        """Use a store, before anything is served or removed."""
        self._store = store
        self._repository = JobRepository(store.database, self.on_outcome)
        if unfinished_versions not in store.traffic.referrers:  # a standby opens a store again
            store.traffic.referrers.append(unfinished_versions)
        for prepare in self.on_prepare:
            prepare(store)
        await asyncio.to_thread(self.logs.open)

    async def open(self, orphans: Iterable[OrphanedWorker]) -> None:
        """Run jobs from now on; ``orphans`` are the job kernels of a former server."""
        assert self._store is not None and self._repository is not None
        kernels = JobKernels(
            self._deployments,
            self._publisher.load,
            self._folder,
            self.lanes,
            self._limits.stay,
            self._limits.node_stay,
        )
        parts = RunParts(
            self._repository,
            self._store.files,
            self._spool,
            self.logs,
            self.events,
            kernels,
            JobCallRecorder(self._invoker, self._published).record,
            self._limits.retention,
            self.checks,
            self.on_ended,
        )
        self._runner = JobRunner(parts, self.lanes, self._published.__contains__, self.drivers)
        await self._runner.open(orphans)

    async def close(self) -> None:
        """Stop running jobs; their kernels wait for the next server process."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.close()

    async def purge(self) -> None:
        """Delete the jobs whose time is over."""
        assert self._repository is not None
        now = time.time()
        while await asyncio.to_thread(self._repository.remove_expired, now):
            pass

    async def keep_active(self) -> None:
        """Keep the server from being culled while it runs jobs."""
        if self._runner is not None and self._runner.running:
            self._invoker.activity.touch()

    async def submit(
        self, submission: Submission, store: Callable[[Job], Job] | None = None
    ) -> Job:
        """Store a job and return it; it is on disk then.

        ``store`` stores the job with its input, and blocks; by default, the body is the input.
        Raises ``ServiceNotFound``, ``BadRequest``, ``Forbidden`` for a visitor without a login,
        ``IdempotencyKeyConflict`` or ``LimitExceeded``.
        """
        if self._invoker.services.draining:
            raise Draining
        job = self._factory.make(submission)
        add = partial(self._add, submission) if store is None else store
        stored = await self._admission.add(
            self.repository, job, submission.caller, size_of(submission.body), partial(add, job)
        )
        self.wake()
        return stored

    async def promote(self, call: Invocation, submission: Submission) -> Job | None:
        """Make a call a job, and return it: it continues where it is, or in the queue of its lane.

        ``None`` if the call has just ended, its lane is full, or a limit allows no further job.
        Raises what ``submit`` does.
        """
        if call.handle is None:
            return None
        job = self._factory.make(submission, self._target_of(call))
        async with self._admission.room(self.repository, job, submission.caller) as has_room:
            return await self._promote(call, submission) if has_room else None

    def _target_of(self, call: Invocation) -> Target:
        moved = call.handle is not None and call.handle.moved
        return self._invoker.services.successor(call.target) if moved else call.target

    async def _promote(self, call: Invocation, submission: Submission) -> Job | None:
        handle, target, runner = call.handle, self._target_of(call), self._runner
        if handle is None or runner is None:
            return None
        job = self._factory.make(submission, target)
        if handle.run is None:
            call.detach()
            handle.stop(CallCancelled())
            job = await asyncio.to_thread(self._add, submission, job)
            self.wake()
            return job
        link = target.dispatcher.worker_of(handle) if runner.has_room(job) else None
        worker: Worker | None = target.dispatcher.give_up(link) if link is not None else None
        if link is None or worker is None:
            return None
        target.dispatcher.detach(call.detach(), link)
        job = rules.promoted(job, runner.holder, worker.folder.name)
        kernel = runner.reserve(job, worker)
        try:
            # First, so that after a crash no deployment takes a worker that has a job.
            await runner.secure(kernel)
            job = await asyncio.to_thread(self._add, submission, job)
        except BaseException:
            await asyncio.shield(runner.drop(job, kernel))
            raise
        runner.take_over(job, handle, kernel)
        return job

    def check(self, submission: Submission) -> Job:
        """Return the job of a submission without storing it; raises as ``submit`` does."""
        return self._factory.make(submission)

    def wake(self) -> None:
        """Look for jobs now."""
        if self._runner is not None:
            self._runner.wake()

    async def get(self, id: str, owner: str | None) -> Job:
        """Return a job of ``owner``, or anyone's for ``None``; raises ``JobNotFound``."""
        job = await asyncio.to_thread(self.repository.get, id)
        if owner is not None and job.owner != owner:
            raise JobNotFound
        return self.current(job)

    async def wait(self, id: str, owner: str | None, seconds: float) -> Job:
        """Return a job when it has ended, or after ``seconds``; raises ``JobNotFound``."""
        until = time.monotonic() + seconds
        with self.events.follow(id) as follower:
            while True:
                job = await self.get(id, owner)
                left = until - time.monotonic()
                if job.state.ended or left <= 0:
                    return job
                try:
                    async with asyncio.timeout(left):
                        while (message := await follower.get()) and message.kind != CHANGED:
                            pass
                except TimeoutError:
                    pass

    def current(self, job: Job) -> Job:
        """Return a job with the progress, and what its start waits for, that are not stored yet."""
        if self._runner is None or job.state.ended:
            return job
        reason = self._runner.reason(job.id) or job.reason
        progress = self._runner.progress(job.id)
        if progress is None or job.state is not JobState.RUNNING:
            return msgspec.structs.replace(job, reason=reason)
        return msgspec.structs.replace(job, progress=progress[0], progress_text=progress[1])

    async def position(self, job: Job) -> int | None:
        """Return the place of a queued job in its lane, from 1; ``None`` if it is not queued."""
        if job.state is not JobState.QUEUED:
            return None
        return await asyncio.to_thread(self.repository.position, job)

    async def cancel(self, id: str, owner: str | None) -> Job:
        """Cancel a job; raises ``JobNotFound`` or ``JobEnded``."""
        await self.get(id, owner)
        now = time.time()

        def rule(job: Job) -> rules.Change:
            change = rules.cancel(job, now)
            if "state" not in change.values:
                return change
            expires = now + kept_seconds(job, self._limits.retention)
            return replace(change, values={**change.values, "expires": expires})

        job = await asyncio.to_thread(self.repository.change, id, rule)
        if self._runner is not None:
            self._runner.cancel(id)
        self.events.publish(id, CHANGED)
        return job

    async def retry(self, id: str, owner: str | None, caller: Caller | None) -> Job:
        """Submit a job again, to the service's current version; raises ``JobNotFound``."""
        assert caller is not None
        old = await self.get(id, owner)
        if not old.state.ended:
            raise BadRequest(f"The job is {old.state.shown}; only a job that ended can be retried.")
        fresh = self._factory.again(old, caller)
        add = partial(self.repository.add, fresh)
        stored = await self._admission.add(self.repository, fresh, caller, 0, add)
        self.wake()
        return stored

    async def remove(self, id: str, owner: str | None) -> Job | None:
        """Delete a job that ended, or cancel one that has not; return the canceled one."""
        job = await self.get(id, owner)
        if not job.state.ended:
            return await self.cancel(id, owner)
        await asyncio.to_thread(self.repository.remove, id)
        return None

    async def log(self, job: Job) -> bytes:
        """Return what a job has printed so far."""
        return await asyncio.to_thread(self._read_log, job)

    async def find(self, **chosen: Any) -> tuple[list[Job], int]:
        """Return jobs, newest first, and how many there are; see ``JobRepository.find``."""
        return await asyncio.to_thread(lambda: self.repository.find(**chosen))

    async def end_for(self, services: Collection[str]) -> None:
        """Fail the unfinished jobs of services that were removed, and stop their workers."""
        error = {"code": ServiceNotFound.code, "message": "The job's service was removed."}
        now = time.time()
        ended = await asyncio.to_thread(
            self.repository.fail_unfinished, services, error, now, now + self._limits.retention
        )
        self.stop(ended)

    async def unfinished_of(self, owner: str) -> list[str]:
        """Return the ids of the jobs of ``owner`` that have not ended."""
        return await asyncio.to_thread(self.repository.unfinished_of, owner)

    def stop(self, ids: Iterable[str]) -> None:
        """Stop what runs of jobs whose rows have ended or are deleted."""
        for id in ids:
            if self._runner is not None:
                self._runner.cancel(id)
            self.events.publish(id, CHANGED)

    def _read_log(self, job: Job) -> bytes:
        if job.log is not None:
            return self.store.files.get(job.log)
        return self.logs.read(job.id, job.attempt)

    def _add(self, submission: Submission, job: Job) -> Job:
        stored = store_body(self.store.files, submission.body)
        digest = hashlib.sha256(msgspec.json.encode(stored))
        digest.update(f"\n{job.input_type}\n{job.accept}\n{submission.view}".encode())
        job = msgspec.structs.replace(job, input=stored, fingerprint=digest.hexdigest())
        low_priority = submission.low_priority or submission.caller is None
        return self.repository.add(job, low_priority=low_priority)
