"""A worker that served calls, and whose call becomes a job: its room, its end, and a crash."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from easymlnb.contract.worker_protocol import Call, Result
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.kernels import JobKernels
from easymlnb_server.jobs.lanes import Lane
from easymlnb_server.jobs.logs import JobLogs
from easymlnb_server.jobs.run import JobRun
from easymlnb_server.jobs.runner import JobRunner
from easymlnb_server.workers.worker_set import Worker
from support.fakes import FakeLink

from .test_rules import make_job

NO_PARTS: Any = dict.fromkeys(("repository", "files", "spool", "events"))
LANES = {"jobs": Lane(workers=2, per_user=1)}


class Kernel:
    is_on_node = False
    replace_at = float("inf")

    def __init__(self, link: FakeLink) -> None:
        self.link = link
        self.stopped = 0

    async def alive(self) -> bool:
        return not self.stopped

    async def stop(self) -> None:
        self.stopped += 1
        self.link.close()


def make_worker(folder: Path) -> tuple[Any, FakeLink]:
    link = FakeLink()
    kernel: Any = Kernel(link)
    return Worker(kernel, link, (), folder), link


def make_kernels(folder: Path) -> JobKernels:
    deployments: Any = SimpleNamespace(settings=SimpleNamespace(memory_limit=0))
    load: Any = None
    return JobKernels(deployments, load, folder, LANES, 10.0, 10.0)


def make_runner(kernels: Any) -> JobRunner:
    parts: Any = SimpleNamespace(kernels=kernels)
    return JobRunner(parts, LANES, lambda name: True, {})


async def test_calls_that_become_jobs_take_room_before_they_are_stored(tmp_path: Path) -> None:
    runner = make_runner(make_kernels(tmp_path))
    worker, _ = make_worker(tmp_path / "w")
    first, own, other = make_job(), make_job(), make_job(owner="user bob")
    assert runner.has_room(first)
    kernel = runner.reserve(first, worker)
    assert not runner.has_room(own) and runner.has_room(other)
    runner.reserve(other, make_worker(tmp_path / "v")[0])
    assert not runner.has_room(make_job(owner="user eve"))
    await runner.drop(first, kernel)
    assert runner.has_room(own) and worker.kernel.stopped == 1


@pytest.mark.parametrize("cancelled", [True, False])
async def test_the_worker_answers_its_other_calls_before_it_ends(
    tmp_path: Path, cancelled: bool
) -> None:
    kernels = make_kernels(tmp_path)
    worker, link = make_worker(tmp_path / "w")
    parts: Any = SimpleNamespace(logs=JobLogs(tmp_path), **NO_PARTS)
    run = JobRun(make_job(), parts, 5.0)
    run.kernel = kernels.take_over(run.job, worker)
    if cancelled:
        run.cancel()
    handle = CallHandle(Call(id=7, service="f", content_type=""), b"", asyncio.get_running_loop())
    link.adopt(handle)
    await make_runner(kernels)._let_go(run, False)
    await asyncio.sleep(0)
    assert not worker.kernel.stopped
    link.answer(7)
    await kernels.stop()
    assert handle.answered.done() and worker.kernel.stopped == 1


@pytest.mark.parametrize("promoted", [True, False])
async def test_a_call_that_ran_is_not_put_back_after_a_crash(promoted: bool) -> None:
    job = make_job(created=5.0)
    job = rules.promoted(job, "h", "w") if promoted else replace(job, state="running", attempt=1)
    ends: list[Any] = []

    async def nothing() -> None: ...

    async def end(result: CallResult, kernel: Any) -> None:
        ends.append(result)

    async def apply(change: Any) -> None:
        ends.append(change.outcome)

    run: Any = SimpleNamespace(
        job=job, read_begin=nothing, attach=lambda kernel: None, end_without_worker=end,
        apply=apply,
    )  # fmt: skip
    runner: Any = make_runner(None)

    async def adopt(run: Any, orphan: Any) -> Any:
        return object()

    runner._adopt_kernel = adopt
    await runner._resume(run, None)
    assert ends == [CallResult() if promoted else "put back"]


async def test_what_a_call_printed_that_ended_too_soon_is_in_the_log(tmp_path: Path) -> None:
    stored: list[bytes] = []

    def put(data: bytes) -> str:
        stored.append(data)
        return "file"

    parts: Any = SimpleNamespace(
        logs=JobLogs(tmp_path), files=SimpleNamespace(put=put), spool=None, checks=[], on_ended=[],
        events=SimpleNamespace(publish=lambda *event: None), retention=10.0,
        repository=SimpleNamespace(apply=lambda job, change: replace(job, **change.values)),
    )  # fmt: skip
    run = JobRun(rules.promoted(make_job(created=5.0), "h", "w"), parts, 5.0)
    result = Result(id=7, content_type="application/json", log="printed\n")
    await run.end_without_worker(CallResult(result=result, body=b"1"), None)
    assert stored == [b"1", b"printed\n"]
    assert parts.logs.read(run.job.id, 1) == b""  # it is among the stored files now
