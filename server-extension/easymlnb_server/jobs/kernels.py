"""The kernels that run jobs: one for each running job, which then waits for the next one.

Job kernels do not serve calls, so a job that crashes or leaks memory touches no caller.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.errors import WorkerOutOfMemory
from easymlnb_server.identity.names import short_name
from easymlnb_server.jobs.lanes import Lane
from easymlnb_server.jobs.models import Job
from easymlnb_server.placement.base import Kernel, OrphanedWorker
from easymlnb_server.supervisor import Supervisor
from easymlnb_server.workers import adoption
from easymlnb_server.workers.checks import WorkerChecks
from easymlnb_server.workers.factory import DeploymentFactory
from easymlnb_server.workers.starter import JobLane, Starter
from easymlnb_server.workers.worker_set import Worker, WorkerSet, clean_up

RECORD = "jobs"
"""First part of the bundle in a job kernel's process record, so that no deployment takes it."""


def is_job_kernel(orphan: OrphanedWorker) -> bool:
    """Return whether a worker of a former server ran jobs."""
    return orphan.bundle.startswith(f"{RECORD}/")


STARTING = "A kernel is starting; it runs the notebook first."


@dataclass(eq=False, slots=True)
class JobKernel:
    """A worker of a lane. ``timer`` ends it when it was idle for too long.

    ``seconds``: for how long a job it was started. ``once``: whether it began as a worker that
    serves calls, and ends after its job.
    """

    lane: str
    bundle: str
    owner: str
    worker: Worker
    seconds: float
    once: bool = False
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Start:
    """A start that is under way, for what it waits for."""

    lane: str
    starter: Starter = field(repr=False)


class JobKernels:
    """Starts, keeps and ends the kernels of all lanes.

    Parameters
    ----------
    deployments
        Makes what starts workers.
    load
        Reads a bundle.
    folder
        Parent of the kernels' folders.
    lanes
        The lanes by name.
    stay
        Seconds that a kernel waits for the next server after this one ended.
    node_stay
        The same for kernels on nodes, which also wait for a network that is down.
    """

    def __init__(
        self,
        deployments: DeploymentFactory,
        load: Callable[[str], Awaitable[Bundle]],
        folder: Path,
        lanes: dict[str, Lane],
        stay: float,
        node_stay: float,
    ) -> None:
        self._deployments = deployments
        self._load = load
        self._folder = folder
        self._lanes = lanes
        self._stay = stay
        self._node_stay = node_stay
        self._workers = WorkerSet(lambda link: None)
        self._idle: list[JobKernel] = []
        self._busy: set[JobKernel] = set()
        self._starting: dict[str, _Start] = {}
        self._supervisor = Supervisor()
        limit = deployments.settings.memory_limit
        self._checks = WorkerChecks(self._workers, limit, self._end_worker)

    def run_checks(self) -> None:
        """End kernels whose processes are stopped, or use more memory than the server allows."""
        self._checks.run(self._supervisor)

    async def stop_checks(self) -> None:
        await self._supervisor.close()

    def _end_worker(self, worker: Worker, why: str) -> None:
        if why == "memory":
            worker.cause = why
            worker.link.close(WorkerOutOfMemory(self._checks.memory_limit))
            self._workers.end(worker)

    def folder(self, worker: str) -> Path:
        """Return the folder of a worker."""
        folder = self._folder / worker
        return folder.resolve() if folder.is_symlink() else folder

    def reason(self, job: str) -> str:
        """Return what the start of a job's kernel waits for; ``""`` if none is starting."""
        start = self._starting.get(job)
        return (start.starter.reason or STARTING) if start is not None else ""

    async def acquire(self, job: Job) -> JobKernel:
        """Return a kernel with a job's bundle, an idle one or a new one.

        Raises ``DeploymentFailed``, ``NotReady`` or ``BundleNotFound``.
        """
        for kernel in self._idle:
            same = (kernel.lane, kernel.bundle) == (job.lane, job.bundle)
            if same and not kernel.worker.link.lost and _has_time(kernel, job):
                self._idle.remove(kernel)
                self._use(kernel)
                return kernel
        await self._make_room(job.lane)
        worker = await self._start(job)
        kernel = JobKernel(job.lane, job.bundle, job.author, worker, job.timeout)
        self._use(kernel)
        await self._grant(kernel)
        return kernel

    async def adopt(self, job: Job, orphan: OrphanedWorker) -> JobKernel | None:
        """Take over the kernel of a former server; end it if it does not connect in time."""
        folder = self.folder(orphan.worker)
        registration = self._deployments.registration.for_owner(job.author)
        worker: Worker | None = None
        try:
            stay = self._stay_of(orphan.kernel)
            worker = await adoption.adopt(orphan, registration, folder, stay)
        finally:
            if worker is None:
                end = self._workers.run_shielded(orphan.kernel.stop())
                await asyncio.shield(end)
        if worker is None:
            return None
        self._workers.add(worker)
        kernel = JobKernel(job.lane, job.bundle, job.author, worker, job.timeout)
        self._use(kernel)
        await self._grant(kernel)
        return kernel

    def take_over(self, job: Job, worker: Worker) -> JobKernel:
        """Return the kernel of a job whose call runs in a worker that served calls until now."""
        self._workers.add(worker)
        kernel = JobKernel(job.lane, job.bundle, job.author, worker, job.timeout, once=True)
        self._use(kernel)
        return kernel

    async def secure(self, kernel: JobKernel) -> None:
        """Let the next server find a kernel that served calls until now."""
        await asyncio.to_thread(self._link_folder, kernel.worker.folder)
        await kernel.worker.kernel.keep(self._stay_of(kernel.worker.kernel))
        await self._grant(kernel)

    def _link_folder(self, folder: Path) -> None:
        """Make the folder of a worker one of those of job kernels, too."""
        with suppress(OSError):  # only what it leaves there when it is killed would be missed
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / folder.name).symlink_to(folder.absolute())

    async def reconnected(self, kernel: JobKernel) -> bool:
        """Wait for a kernel on a node that lost its link; return whether it came back."""
        registration = self._deployments.registration.for_owner(kernel.owner)
        stay = self._stay_of(kernel.worker.kernel)
        back = await adoption.wait_reconnect(kernel.worker, registration, stay)
        if back is None:
            return False
        self._workers.swap(kernel.worker, back)
        kernel.worker = back
        await self._grant(kernel)
        return True

    def release(self, kernel: JobKernel) -> None:
        """Keep a kernel for the next job of its bundle."""
        if kernel not in self._busy:
            return
        self._busy.discard(kernel)
        if kernel.once and not kernel.worker.link.lost:
            # Calls of other services may still run on its event loop.
            self._workers.run_shielded(self._workers.retire(kernel.worker))
            return
        idle = self._lanes[kernel.lane].idle if kernel.lane in self._lanes else 0.0
        idle = min(idle, _left(kernel))
        if idle <= 0 or kernel.worker.link.lost:
            self._workers.end(kernel.worker)
            return
        self._idle.append(kernel)
        loop = asyncio.get_running_loop()
        kernel.timer = loop.call_later(idle, self._end_idle, kernel)

    async def end(self, kernel: JobKernel) -> None:
        """End a kernel with all processes that it started, and remove its folder."""
        self._busy.discard(kernel)
        await asyncio.shield(self._workers.end(kernel.worker))

    def clear(self, used: Collection[str]) -> None:
        """Remove the folders of kernels that are gone, except ``used``; blocks."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in self._folder.iterdir():
            if folder.name in used:
                continue
            if folder.is_symlink():
                folder.unlink()
            else:
                shutil.rmtree(folder, ignore_errors=True)

    async def forget(self, worker: str) -> None:
        """Remove the folder of a kernel that is gone."""
        if worker:
            await asyncio.to_thread(shutil.rmtree, self.folder(worker), ignore_errors=True)

    async def discard(self, orphan: OrphanedWorker) -> None:
        """End a kernel of a former server that runs no job now."""
        await clean_up(orphan.kernel, self.folder(orphan.worker))

    async def stop(self) -> None:
        """End the idle kernels; those that run jobs wait for the next server."""
        for kernel in self._idle:
            if kernel.timer is not None:
                kernel.timer.cancel()
            self._workers.end(kernel.worker)
        self._idle.clear()
        await self._workers.stop_all(detach=True)
        self._busy.clear()

    def _use(self, kernel: JobKernel) -> None:
        if kernel.timer is not None:
            kernel.timer.cancel()
            kernel.timer = None
        self._busy.add(kernel)

    def _end_idle(self, kernel: JobKernel) -> None:
        if kernel in self._idle:
            self._idle.remove(kernel)
            self._workers.end(kernel.worker)

    async def _make_room(self, lane: str) -> None:
        """End the longest idle kernel if the lane has no room for a new one."""
        starting = sum(start.lane == lane for start in self._starting.values())
        used = sum(kernel.lane == lane for kernel in (*self._busy, *self._idle)) + starting
        if used < self._lanes[lane].workers:
            return
        oldest = next((kernel for kernel in self._idle if kernel.lane == lane), None)
        if oldest is not None:
            self._idle.remove(oldest)
            if oldest.timer is not None:
                oldest.timer.cancel()
            await asyncio.shield(self._workers.end(oldest.worker))

    async def _start(self, job: Job) -> Worker:
        lane = self._lanes[job.lane]
        starter = self._deployments.job_starter(
            job.bundle,
            job.author,
            lambda: self._load(job.bundle),
            self._workers,
            self._folder,
            JobLane(
                lane.placement,
                max(1, (os.cpu_count() or 1) // lane.workers),
                self._node_stay,
                job.timeout,
            ),
        )
        with self._reported(job, starter):
            return await starter.start((short_name(job.service),))

    @contextmanager
    def _reported(self, job: Job, starter: Starter) -> Iterator[None]:
        self._starting[job.id] = _Start(job.lane, starter)
        try:
            yield
        finally:
            self._starting.pop(job.id, None)

    async def _grant(self, kernel: JobKernel) -> None:
        name = f"{RECORD}/{kernel.bundle}"
        stay = self._stay_of(kernel.worker.kernel)
        await adoption.grant_reconnect(kernel.worker, name, stay)

    def _stay_of(self, kernel: Kernel) -> float:
        return self._node_stay if kernel.is_on_node else self._stay


def _left(kernel: JobKernel) -> float:
    """Return the seconds until a kernel must leave its node."""
    return kernel.worker.kernel.replace_at - time.monotonic()


def _has_time(kernel: JobKernel, job: Job) -> bool:
    """Return whether an idle kernel may take a job; a node may be there for a shorter one only."""
    fits = not kernel.worker.kernel.is_on_node or job.timeout <= kernel.seconds
    return fits and _left(kernel) > 0
