"""Claims queued jobs and runs them, as many as their lanes allow.

A job is orphaned when its holder is not this start of the server: it is adopted if its worker
still runs, and else lost.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from easymlnb.contract.errors import (
    BundleNotFound,
    EasyMLNBError,
    InternalError,
    NotReady,
    ServiceNotFound,
)
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.bodies import read_end
from easymlnb_server.jobs.events import CHANGED
from easymlnb_server.jobs.kernels import JobKernel
from easymlnb_server.jobs.lanes import Lane
from easymlnb_server.jobs.models import Job, JobState
from easymlnb_server.jobs.parts import RunParts
from easymlnb_server.jobs.run import JobRun
from easymlnb_server.placement.base import LimitReached, OrphanedWorker
from easymlnb_server.placement.hub.client import OptionsRejected
from easymlnb_server.store.lease import LeaseLost
from easymlnb_server.supervisor import Supervisor
from easymlnb_server.workers.starter import KernelEnded, NoKernelInTime
from easymlnb_server.workers.worker_set import Worker

TICK = 1.0
"""Seconds between two looks for jobs whose time has come, unless something wakes the runner."""

UNAVAILABLE_PAUSE = 10.0
"""Seconds until a job whose kernel could not start is tried again; longer after each time."""

ADOPT_EVERY = 5.0
"""Seconds between two looks for jobs that a former active process holds."""

Step = Callable[[JobRun], Coroutine[Any, Any, None]]

Drivers = Mapping[str, Step]
"""What runs the jobs of some kinds in this process, from their start or where they stopped."""

log = logging.getLogger("easymlnb.jobs")


class JobRunner:
    """Runs the jobs of this process, from ``open`` until ``close``.

    Parameters
    ----------
    parts
        What every run uses.
    lanes
        The lanes by name.
    is_published
        Returns whether there is a published service of this name.
    drivers
        Run the jobs that need no kernel, by kind.
    """

    def __init__(
        self,
        parts: RunParts,
        lanes: dict[str, Lane],
        is_published: Callable[[str], bool],
        drivers: Drivers,
    ) -> None:
        self.holder = secrets.token_hex(16)
        self._parts = parts
        self._lanes = lanes
        self._is_published = is_published
        self._drivers = drivers
        self._runs: dict[str, JobRun] = {}
        self._joining: dict[str, Job] = {}
        """The calls that are about to become jobs."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._supervisor = Supervisor()

    @property
    def running(self) -> int:
        """Number of jobs that this process holds."""
        return len(self._runs)

    async def open(self, orphans: Iterable[OrphanedWorker]) -> None:
        """Adopt what ran before, and start to claim jobs; ``orphans`` are former job kernels."""
        by_worker = {orphan.worker: orphan for orphan in orphans}
        held = await asyncio.to_thread(self._adopt_rows)
        used = {*by_worker, *(job.worker or "" for job in held)}
        await asyncio.to_thread(self._parts.kernels.clear, used)
        for job in held:
            orphan = by_worker.pop(job.worker, None) if job.worker is not None else None
            self._begin(job, partial(self._resume, orphan=orphan))
        for orphan in by_worker.values():
            await self._parts.kernels.discard(orphan)
        self._parts.kernels.run_checks()
        self._supervisor.run("jobs", self._claim_forever)
        self._supervisor.every("orphaned jobs", ADOPT_EVERY, self._adopt_late)

    async def close(self) -> None:
        """Stop claiming, and leave the running jobs to the next server process."""
        await self._supervisor.close()
        await self._parts.kernels.stop_checks()
        for task in (tasks := tuple(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._parts.kernels.stop()

    def wake(self) -> None:
        """Look for jobs now."""
        self._woken.set()

    def cancel(self, job: str) -> None:
        """Stop a job that this process runs."""
        run = self._runs.get(job)
        if run is not None:
            run.cancel()

    def progress(self, job: str) -> tuple[float, str] | None:
        """Return the newest progress of a job that this process runs."""
        run = self._runs.get(job)
        return run.progress if run is not None else None

    def reason(self, job: str) -> str:
        """Return what a job that this process starts waits for."""
        return self._parts.kernels.reason(job) if job in self._runs else ""

    def has_room(self, job: Job) -> bool:
        """Return whether the lane of a job may run it now."""
        lane = self._lanes[job.lane]
        own = [other.owner for other in self._jobs_of(job.lane)]
        full = 0 < lane.per_user <= own.count(job.owner)
        return len(own) < lane.workers and not full

    def _jobs_of(self, lane: str) -> list[Job]:
        """Return the jobs that take room in a lane."""
        jobs = (*(run.job for run in self._runs.values()), *self._joining.values())
        return [job for job in jobs if job.lane == lane]

    def reserve(self, job: Job, worker: Worker) -> JobKernel:
        """Give a worker, whose call becomes this job, room in the job's lane."""
        self._joining[job.id] = job
        return self._parts.kernels.take_over(job, worker)

    async def secure(self, kernel: JobKernel) -> None:
        """Let the next server find the worker of a call that becomes a job."""
        await self._parts.kernels.secure(kernel)

    def take_over(self, job: Job, handle: CallHandle, kernel: JobKernel) -> None:
        """Continue with a call that runs, and whose row is this job."""
        self._joining.pop(job.id, None)
        run = self._begin(job, partial(self._follow, handle=handle))
        run.take_over(kernel, handle)

    async def drop(self, job: Job, kernel: JobKernel) -> None:
        """End the worker of a call that could not become a job."""
        self._joining.pop(job.id, None)
        await self._parts.kernels.end(kernel)

    async def _follow(self, run: JobRun, handle: CallHandle) -> None:
        await run.end(handle, await run.follow(handle))

    async def _claim_forever(self) -> None:
        while True:
            self._woken.clear()
            for name, lane in self._lanes.items():
                await self._claim(name, lane)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._woken.wait()

    async def _claim(self, name: str, lane: Lane) -> None:
        own = self._jobs_of(name)
        free = lane.workers - len(own)
        if free <= 0:
            return
        by_owner = Counter(job.owner for job in own)
        full = {owner for owner, count in by_owner.items() if 0 < lane.per_user <= count}
        count = 1 if lane.per_user else free
        now = time.time()
        claimed = await asyncio.to_thread(
            lambda: self._parts.repository.claim(name, self.holder, count, now, skip=full)
        )
        for job in claimed:
            self._begin(job, self._run)
        if claimed and lane.per_user:
            self.wake()

    def _adopt_rows(self) -> list[Job]:
        return self._parts.repository.adopt(self.holder, time.time())

    async def _adopt_late(self) -> None:
        """Take jobs over that a former active process claimed at its last moment."""
        for job in await asyncio.to_thread(self._adopt_rows):
            if job.id not in self._runs:
                self._begin(job, partial(self._resume, orphan=None))

    def _begin(self, job: Job, work: Step) -> JobRun:
        lane = self._lanes.get(job.lane)
        run = self._runs[job.id] = JobRun(job, self._parts, lane.grace if lane else 5.0)
        if job.cancel:
            run.cancel()
        task = asyncio.create_task(self._guarded(run, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def _guarded(self, run: JobRun, work: Step) -> None:
        """Run ``work``; a defect of this software fails the job, and no other one."""
        kept = True
        try:
            await work(run)
            kept = False
        except LeaseLost:
            kept = False  # the active process adopts the job
        except Exception:
            log.exception("The job %s could not be run.", run.job.id)
            with contextlib.suppress(Exception):
                error = InternalError().to_dict()["error"]
                await run.apply(rules.fail_unstarted(error, time.time()))
        finally:
            self._runs.pop(run.job.id, None)
            if (parent := self._runs.get(run.job.parent or "")) is not None:
                parent.child_ended.set()
            cancelled = asyncio.current_task()
            if run.kernel is not None and not (cancelled and cancelled.cancelling()):
                await self._let_go(run, kept)
            self.wake()

    async def _let_go(self, run: JobRun, failed: bool) -> None:
        assert run.kernel is not None
        # One that served calls may run those of others, and ends after them.
        stopped = run.was_stopped and not run.kernel.once
        unusable = run.refused or run.left_node or stopped or run.kernel.worker.link.lost
        if failed or unusable or run.kernel.worker.cause:
            await self._parts.kernels.end(run.kernel)
        else:
            self._parts.kernels.release(run.kernel)

    async def _run(self, run: JobRun) -> None:
        """Run a job that was claimed."""
        if not self._is_published(run.job.service):
            gone = ServiceNotFound(run.job.service).message
            await self._fail(run, ServiceNotFound.code, f"The job's service was removed. {gone}")
            return
        if (drive := self._drivers.get(run.job.kind)) is not None:
            await drive(run)
            return
        kernel = await self._acquire(run)
        if kernel is None:
            return
        run.kernel = kernel
        handle = await run.start(kernel)
        if handle is not None:
            await self._follow(run, handle)

    async def _acquire(self, run: JobRun) -> JobKernel | None:
        """Return a kernel for a job; ``None`` if it was canceled, failed or put back meanwhile."""
        start = asyncio.create_task(self._parts.kernels.acquire(run.job))
        cancelled = asyncio.create_task(run.wait_cancelled())
        try:
            await asyncio.wait({start, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if not start.done():
                start.cancel()
                await asyncio.gather(start, return_exceptions=True)
                await run.apply(rules.end_cancelled(time.time()))
                return None
            return start.result()
        except BundleNotFound:
            text = "The version of the service that the job is for was deleted."
            await self._fail(run, BundleNotFound.code, text)
        except OptionsRejected as error:
            await self._fail(run, error.code, error.message)
        except (NotReady, NoKernelInTime, LimitReached) as error:
            pause = rules.start_pause(run.job, UNAVAILABLE_PAUSE)
            await run.apply(rules.put_back(run.job, error.message, time.time(), pause))
        except KernelEnded as error:
            public = error.to_dict()["error"]
            await run.apply(rules.lose_start(run.job, public, time.time()))
        except EasyMLNBError as error:
            await run.apply(rules.fail(run.job, error.to_dict()["error"], time.time()))
        finally:
            for task in (start, cancelled):
                task.cancel()
        return None

    async def _fail(self, run: JobRun, code: str, message: str) -> None:
        error = {"code": code, "message": message}
        await run.apply(rules.fail_unstarted(error, time.time()))

    async def _resume(self, run: JobRun, orphan: OrphanedWorker | None) -> None:
        """Continue with a job that another server process held."""
        job = run.job
        if (drive := self._drivers.get(job.kind)) is not None:
            await drive(run)
            return
        if job.state is JobState.STARTING:  # its function had not begun
            if orphan is not None:
                await self._parts.kernels.discard(orphan)
            await run.apply(rules.put_back(job, "The server was restarted.", time.time()))
            return
        kernel = await self._adopt_kernel(run, orphan)
        if kernel is None:
            await self._lost(run, orphan)
            return
        await run.read_begin()
        handle = run.attach(kernel)
        if handle is None and rules.was_call(job):  # it did not hear of the job, but it ran
            await run.end_without_worker(CallResult(), None)
            return
        if handle is None:  # it never got the call
            await run.apply(rules.put_back(job, "The server was restarted.", time.time()))
            return
        self._parts.events.publish(job.id, CHANGED)
        await self._follow(run, handle)

    async def _adopt_kernel(self, run: JobRun, orphan: OrphanedWorker | None) -> JobKernel | None:
        """Wait for the kernel of a job; end it when the job is canceled meanwhile."""
        if orphan is None:
            return None
        adopting = asyncio.create_task(self._parts.kernels.adopt(run.job, orphan))
        cancelled = asyncio.create_task(run.wait_cancelled())
        try:
            await asyncio.wait({adopting, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if not adopting.done():
                adopting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                return await adopting
            return None
        finally:
            adopting.cancel()
            cancelled.cancel()

    async def _lost(self, run: JobRun, orphan: OrphanedWorker | None) -> None:
        """End the attempt of a worker that is gone, with the result that it left, if any."""
        job = run.job
        folder = self._parts.kernels.folder(job.worker or "")
        found = await asyncio.to_thread(read_end, folder, job.id, job.attempt)
        result = CallResult.from_message(*found, "") if found is not None else CallResult()
        await run.end_without_worker(result, orphan.kernel if orphan is not None else None)
        await self._parts.kernels.forget(job.worker or "")
