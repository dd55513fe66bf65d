"""Jobs on nodes that end: warned in time, resumed from a checkpoint, never twice at once."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.checkpoint_file import SealedFile
from easymlnb.contract.errors import BadRequest, DeploymentFailed, NotReady, Preempted
from easymlnb.contract.job_protocol import (
    CheckpointPart,
    JobCheckpoints,
    JobDropped,
    JobFile,
    JobFilePart,
    JobFileStored,
    JobPartStored,
    JobStored,
    Leaving,
    ReadCheckpoint,
)
from easymlnb.contract.worker_protocol import Call, Progress
from easymlnb_server.jobs import run as job_run
from easymlnb_server.jobs.events import JobEvents
from easymlnb_server.jobs.kernels import JobKernel
from easymlnb_server.jobs.lanes import Lane
from easymlnb_server.jobs.logs import JobLogs
from easymlnb_server.jobs.models import Job, JobInput, JobState
from easymlnb_server.jobs.parts import RunParts
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.runner import JobRunner
from easymlnb_server.jobs.submission import JobFactory
from easymlnb_server.jobs.transfers import store_left_checkpoint
from easymlnb_server.placement.base import WorkerOrder
from easymlnb_server.placement.hub.client import OptionsRejected
from easymlnb_server.store.store import Store
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.workers import liveness
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.starter import NoKernelInTime
from easymlnb_server.workers.worker_set import Worker
from support.fakes import FakeKernel, FakeLink, FakePlacement, until

from .test_rules import make_job


def sealed(content: bytes) -> bytes:
    file = io.BytesIO()
    whole = SealedFile(file)
    whole.write(content)
    whole.seal()
    return file.getvalue()


class Kernels:
    """Kernels of jobs, each on a node of its own; ``refusals`` are raised by the next starts."""

    def __init__(self, folder: Path) -> None:
        self.made: list[FakeKernel] = []
        self.ended: list[JobKernel] = []
        self.released: list[JobKernel] = []
        self.refusals: list[Exception] = []
        self._folder = folder
        self._placement = FakePlacement(WorkerRegistration())

    def folder(self, worker: str) -> Path:
        return self._folder / worker

    def reason(self, job: str) -> str:
        return ""

    def clear(self, used: Any) -> None:
        pass

    def run_checks(self) -> None:
        pass

    async def stop_checks(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def forget(self, worker: str) -> None:
        pass

    async def acquire(self, job: Job) -> JobKernel:
        if self.refusals:
            raise self.refusals.pop(0)
        name = f"w{len(self.made)}"
        kernel = FakeKernel(self._placement, WorkerOrder(name, "", self._folder / name, ""))
        self.made.append(kernel)
        worker = Worker(kernel, kernel.link, (), self._folder / name)
        return JobKernel(job.lane, job.bundle, job.author, worker, job.timeout)

    async def reconnected(self, kernel: JobKernel) -> bool:
        return False

    def release(self, kernel: JobKernel) -> None:
        self.released.append(kernel)

    async def end(self, kernel: JobKernel) -> None:
        self.ended.append(kernel)
        kernel.worker.link.close()


class World:
    """A runner of jobs on fake kernels and a real store."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.repository = JobRepository(store.database)
        self.files = store.files
        self.kernels = Kernels(folder)
        self.spool = Spool(folder / "spool", 2**30, None)
        self.spool.open()
        logs = JobLogs(folder / "logs")
        logs.open()
        self.recorded: list[Job] = []
        parts = RunParts(
            self.repository,
            self.files,
            self.spool,
            logs,
            JobEvents(),
            self.kernels,  # type: ignore[arg-type]
            lambda job, handle, result: self.recorded.append(job),
            60.0,
        )
        self.runner = JobRunner(parts, {"jobs": Lane()}, lambda name: True, {})

    def submit(self, **values: Any) -> Job:
        file = self.files.put(b"{}")
        return self.repository.add(make_job(input=JobInput(file=file), timeout=60.0, **values))

    def job(self, job: Job) -> Job:
        return self.repository.get(job.id)

    async def begun(self, number: int) -> FakeLink:
        """Return the link of the kernel with a number once it has a call."""
        await until(lambda: len(self.kernels.made) > number)
        link = self.kernels.made[number].link
        await until(lambda: link.calls)
        return link

    def outcomes(self, job: Job) -> list[str]:
        return [one.outcome for one in self.repository.attempts(job.id)]


def sent(link: FakeLink, kind: type) -> list[Any]:
    return [message for message in link.sent if isinstance(message, kind)]


def in_world(test: Callable[[World], Awaitable[None]]) -> Callable[..., None]:
    def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(job_run, "SAVE_EVERY", 0.01)
        monkeypatch.setattr(liveness, "ALIVE_EVERY", 0.01)
        monkeypatch.setattr(liveness, "READ_TIMEOUT", 0.1)
        store = Store.open("", tmp_path)

        async def main() -> None:
            world = World(store, tmp_path)
            await world.runner.open([])
            try:
                await test(world)
            finally:
                await world.runner.close()
                world.spool.close()

        try:
            asyncio.run(main())
        finally:
            store.close()

    run.__name__ = test.__name__
    return run


async def save(link: FakeLink, content: bytes, number: int = 1) -> None:
    """Send a checkpoint in parts, as a worker on a node does."""
    call, data = link.calls[-1], sealed(content)
    for offset in range(0, len(data), 50):
        part = JobFilePart(id=call, number=number, offset=offset)
        link.receive_from_job(part, data[offset : offset + 50])
        end = min(offset + 50, len(data))
        await until(lambda end=end: _acked(link, number) >= end)
    link.receive_from_job(JobFile(id=call, number=number, checkpoint=True, size=len(data)), b"")
    await until(lambda: number in [one.number for one in sent(link, JobFileStored)])


def _acked(link: FakeLink, number: int) -> int:
    acks = [one.offset for one in sent(link, JobPartStored) if one.number == number]
    return max(acks, default=0)


async def read(link: FakeLink, file: str) -> CheckpointPart:
    link.receive_from_job(ReadCheckpoint(id=link.calls[-1], file=file, offset=0), b"")
    found: CheckpointPart = (await until(lambda: sent(link, CheckpointPart)))[-1]
    return found


@in_world
async def test_a_job_leaves_its_node_and_continues_on_another(world: World) -> None:
    job = world.submit()
    first = await world.begun(0)
    call = first.calls[0]
    first.receive(Progress(id=call, fraction=0.5), b"")
    await save(first, b"one")
    await save(first, b"two", 2)
    assert not sent(first, Leaving)
    kernel = world.kernels.made[0]
    kernel.replace_at, kernel.ends_at = time.monotonic(), time.monotonic() + 100
    (leaving,) = await until(lambda: sent(first, Leaving))
    assert leaving.id == call and 90 < leaving.seconds <= 100
    first.fail(call, Preempted())
    second = await world.begun(1)
    assert sent(first, JobStored) and len(sent(first, Leaving)) == 1
    assert [one.worker.link for one in world.kernels.ended] == [first]
    # The next worker is offered both checkpoints before its call.
    found = world.job(job)
    kinds = [type(one) for one in second.sent if isinstance(one, Call | JobCheckpoints)]
    assert kinds == [JobCheckpoints, Call]
    (offer,) = sent(second, JobCheckpoints)
    assert [name for name, _ in offer.files] == [found.checkpoint, found.former_checkpoint]
    assert not (await read(second, offer.files[0][0])).missing
    second.answer(second.calls[0])
    await until(lambda: world.job(job).state is JobState.SUCCEEDED)
    assert world.outcomes(job) == ["preempted", "succeeded"]
    found = world.job(job)
    assert (found.raised, found.lost) == (0, 0)
    await until(lambda: world.kernels.released)  # follows the stored state
    assert len(world.recorded) == 1 and len(world.kernels.released) == 1


@in_world
async def test_a_node_that_is_gone_costs_nothing_once_there_is_a_checkpoint(world: World) -> None:
    job = world.submit()
    for number in range(2):
        link = await world.begun(number)
        await save(link, b"state %d" % number)
        world.kernels.made[number].taken = True
        world.kernels.made[number].die()
    link = await world.begun(2)
    assert world.outcomes(job) == ["preempted", "preempted", ""]
    world.kernels.made[2].die()  # the worker alone
    await until(lambda: world.job(job).state is JobState.FAILED)
    found = world.job(job)
    assert found.error is not None and found.error["code"] == "worker_lost"
    other = world.submit()
    await world.begun(3)
    world.kernels.made[3].taken = True
    world.kernels.made[3].die()  # without any checkpoint
    await until(lambda: world.job(other).state is JobState.FAILED)
    error = world.job(other).error
    assert error is not None and "ended before the job had saved a checkpoint" in error["message"]


@in_world
async def test_a_worker_whose_node_is_gone_but_not_its_link_is_dropped(world: World) -> None:
    world.submit(losses=1)
    link = await world.begun(0)
    world.kernels.made[0].runs = False
    await until(lambda: sent(link, JobDropped))
    await until(lambda: link.lost)


@in_world
async def test_no_node_in_time_puts_a_job_back(world: World) -> None:
    texts = ["Pending in queue", "Not ready in time."]
    world.kernels.refusals = [NotReady(texts[0]), NoKernelInTime(texts[1])]
    job = world.submit()
    for text in texts:
        await until(lambda text=text: world.job(job).reason == text)
        found = world.job(job)
        assert (found.state, found.attempt) == (JobState.QUEUED, 0)
        assert found.not_before > time.time()
        change = world.repository.change
        await asyncio.to_thread(
            change, job.id, lambda row: job_run.rules.Change({"not_before": 0.0, "changed": 1.0})
        )
        world.runner.wake()
    link = await world.begun(0)
    link.answer(link.calls[0])
    await until(lambda: world.job(job).state is JobState.SUCCEEDED)
    assert [one.number for one in world.repository.attempts(job.id)] == [1]
    world.kernels.refusals = [OptionsRejected("There is no profile 'x' on this Hub.")]
    refused = world.submit()
    await until(lambda: world.job(refused).state is JobState.FAILED)
    error = world.job(refused).error
    assert error is not None and "no profile 'x'" in error["message"]


@in_world
async def test_broken_files_are_answered_and_never_named(world: World) -> None:
    job = world.submit()
    link = await world.begun(0)
    call = link.calls[0]
    # Parts with a gap, a wrong size, and one whose seal is missing.
    link.receive_from_job(JobFilePart(id=call, number=1, offset=50), b"x")
    link.receive_from_job(JobFilePart(id=call, number=2, offset=0), b"x" * 100)
    link.receive_from_job(JobFile(id=call, number=2, checkpoint=True, size=99), b"")
    link.receive_from_job(JobFilePart(id=call, number=3, offset=0), b"x" * 100)
    link.receive_from_job(JobFile(id=call, number=3, checkpoint=True, size=100), b"")
    await until(lambda: [one.number for one in sent(link, JobFileStored)] == [3])
    assert world.job(job).checkpoint is None
    assert (await read(link, "0" * 64)).missing
    await save(link, b"good", 4)
    name = world.job(job).checkpoint
    assert name is not None
    link.answer(call)
    await until(lambda: world.job(job).state is JobState.SUCCEEDED)


@in_world
async def test_what_a_worker_on_this_machine_left_is_stored(world: World) -> None:
    job = world.submit(losses=1)
    link = await world.begun(0)
    folder = world.kernels.folder("w0") / ".easymlnb-jobs" / f"{job.id}-1"
    folder.mkdir(parents=True)
    (folder / "checkpoint-7").write_bytes(sealed(b"newer")[:-1])
    (folder / "checkpoint-6").write_bytes(sealed(b"newest"))
    world.kernels.made[0].die()
    await until(lambda: world.job(job).checkpoint)
    found = world.job(job)
    assert world.files.get(found.checkpoint or "") == sealed(b"newest")
    assert store_left_checkpoint(world.files, world.kernels.folder("w0"), found) is None
    assert link.lost


def test_a_lane_whose_placement_is_not_there_refuses_jobs() -> None:
    def refuse(bundle: str, author: str, placement: str) -> None:
        raise DeploymentFailed(f"There is no placement named {placement!r} on this server.")

    lanes = {"jobs": Lane(), "train": Lane(placement="gpu")}
    factory = JobFactory(None, None, lanes, 60.0, refuse)  # type: ignore[arg-type]
    assert factory._lane("call", "jobs", "b", "ann") == "jobs"
    with pytest.raises(BadRequest, match=r"The lane 'train' cannot run jobs\. .* named 'gpu'"):
        factory._lane("call", "train", "b", "ann")
