"""Schedules on both databases: one job for each tick, whatever happens in between."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    InternalError,
    LimitExceeded,
    NotReady,
    ScheduleNotFound,
    ServiceNotFound,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Caller, SingleUserDirectory
from easymlnb_server.jobs import rules as job_rules
from easymlnb_server.jobs.models import Job, JobState
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.schedules.manager import UNAVAILABLE_PAUSE, Schedules
from easymlnb_server.schedules.models import Overlap, Schedule, ScheduleChange, ScheduleRequest
from easymlnb_server.schedules.repository import OVERLAPPED
from easymlnb_server.store.store import Store

from ..jobs.test_rules import make_job

ANN = Caller("ann", admin=True)
OWNER = "user ann"
NOON = 1_770_000_000.0 // 86400 * 86400 + 43200


class FakeJobs:
    """Stores the jobs that are submitted, and may refuse."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.repository = JobRepository(store.database)
        self.refusal: EasyMLNBError | None = None
        self.kill = False
        self.defect = False

    def check(self, submission: Submission) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def submit(self, submission: Submission, store: Callable[[Job], Job]) -> Job:
        self.check(submission)
        if self.defect:
            raise ZeroDivisionError
        job = make_job(owner=submission.owner, service=submission.service, key=submission.key)
        stored = await asyncio.to_thread(store, msgspec.structs.replace(job, key=job.key or None))
        if self.kill:
            raise NotReady("killed before the answer")
        return stored


class FakeServices:
    def find(self, name: str) -> Any:
        schema = {"type": "object", "properties": {"x": {}}}
        return type("T", (), {"spec": ServiceSpec(name=name, title="", input=schema, output={})})


class World:
    def __init__(self, store: Store) -> None:
        self.now = NOON
        self.jobs = FakeJobs(store)
        self.schedules = self.new_process(store)
        self.store = store

    def new_process(self, store: Store) -> Schedules:
        made: Any = Schedules(
            self.jobs,  # type: ignore[arg-type]
            FakeServices(),  # type: ignore[arg-type]
            SingleUserDirectory(),
            lambda: self.now,
        )
        made.prepare(store)
        return made  # type: ignore[no-any-return]

    async def create(self, **values: Any) -> Schedule:
        request = ScheduleRequest(service="train", cron="0 * * * *", **values)
        return await self.schedules.create(request, ANN, OWNER)

    async def current(self, schedule: Schedule) -> Schedule:
        return await self.schedules.get(schedule.id, OWNER)

    def made(self) -> list[Job]:
        return self.jobs.repository.find(limit=1000)[0]

    def end(self, job: Job) -> None:
        (job,) = self.jobs.repository.claim("jobs", "me", 1, self.now)
        change = job_rules.succeed(job, {"result": "0" * 64}, self.now)
        assert self.jobs.repository.apply(job, change) is not None


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


async def test_a_tick_makes_one_job_with_the_inputs(world: World) -> None:
    schedule = await world.create(inputs={"x": 2})
    assert schedule.next == NOON + 3600
    assert await world.schedules.tick() == pytest.approx(10.0)
    world.now += 3600
    await world.schedules.tick()
    await world.schedules.tick()
    (job,) = world.made()
    assert job.key == f"schedule:{schedule.id}:{NOON + 3600:.0f}"
    assert job.options.schedule == schedule.id
    assert world.store.files.get(job.input.file) == b'{"x": 2}'
    found = await world.current(schedule)
    assert (found.tick, found.next, found.last_job, found.runs) == (
        NOON + 3600, NOON + 7200, job.id, 1,
    )  # fmt: skip
    assert world.schedules.repository.needed_files() == {job.input.file}


async def test_of_missed_ticks_one_makes_a_job(world: World) -> None:
    schedule = await world.create()
    world.now += 36_000
    await world.schedules.tick()
    assert len(world.made()) == 1
    assert (await world.current(schedule)).next == world.now + 3600


async def test_an_overlapping_tick_is_skipped_or_waits(world: World) -> None:
    skips = await world.create()
    queues = await world.create(overlap=Overlap.QUEUE)
    for _ in range(3):
        world.now += 3600
        await world.schedules.tick()
    found = await world.current(skips)
    assert (found.runs, found.skipped, found.reason) == (1, 2, OVERLAPPED)
    assert (await world.current(queues)).runs == 3
    for job in world.made():
        world.end(job)
    assert all(job.state is JobState.SUCCEEDED for job in world.made())
    world.now += 3600
    await world.schedules.tick()
    found = await world.current(skips)
    assert (found.runs, found.skipped, found.reason) == (2, 2, "")


@pytest.mark.parametrize("ticks", [40, pytest.param(500, marks=pytest.mark.nightly)])
async def test_two_processes_that_are_killed_make_one_job_for_each_tick(
    world: World, ticks: int
) -> None:
    """Neither a process at the same time nor a kill after the commit makes another job."""
    schedule = await world.create(overlap=Overlap.QUEUE)
    other = world.new_process(world.store)
    chance = random.Random(3)
    for _ in range(ticks):
        world.now += 3600
        world.jobs.kill = chance.random() < 0.3
        await asyncio.gather(world.schedules.tick(), other.tick())
        world.jobs.kill = False
        await other.tick()
    keys = [job.key for job in world.made()]
    assert len(keys) == len(set(keys)) == ticks
    assert (await world.current(schedule)).runs == ticks


async def test_why_a_tick_makes_no_job(world: World) -> None:
    schedule = await world.create()

    async def tick(refusal: EasyMLNBError) -> Schedule:
        world.now += 3600
        world.jobs.refusal = refusal
        self_pause = await world.schedules.tick()
        world.jobs.refusal = None
        found = await world.current(schedule)
        assert (self_pause == UNAVAILABLE_PAUSE) == (refusal.status == 503)
        return found

    found = await tick(NotReady("away"))
    assert (found.next, found.skipped) == (world.now, 0)  # it is tried again
    found = await tick(LimitExceeded("this user", "calls_per_day", 5, 60))
    assert (found.next, found.skipped) == (world.now + 3600, 1)
    assert "calls_per_day" in found.reason
    world.jobs.defect = True
    world.now += 3600
    await world.schedules.tick()
    world.jobs.defect = False
    found = await world.current(schedule)
    assert found.next is None and found.reason == InternalError().message
    await world.schedules.change(schedule.id, OWNER, ScheduleChange(paused=False), ANN)
    found = await tick(ServiceNotFound("train"))
    assert found.next is None and "train" in found.reason
    world.now += 3600
    await world.schedules.tick()
    assert world.made() == []
    resumed = await world.schedules.change(schedule.id, OWNER, ScheduleChange(paused=False), ANN)
    assert (resumed.next, resumed.reason) == (world.now + 3600, "")


async def test_schedules_are_changed_paused_run_and_removed(world: World) -> None:
    schedule = await world.create(paused=True)
    assert schedule.next is None
    job = await world.schedules.run_now(schedule.id, OWNER, "request-1")
    assert (await world.current(schedule)).last_job == job.id
    change = ScheduleChange(cron="30  12 * * *", zone="Asia/Tokyo", lane="train", attempts=3)
    found = await world.schedules.change(schedule.id, OWNER, change, ANN)
    assert (found.cron, found.zone, found.next) == ("30 12 * * *", "Asia/Tokyo", None)
    assert (found.options.lane, found.options.attempts) == ("train", 3)
    found = await world.schedules.change(schedule.id, OWNER, ScheduleChange(paused=False), ANN)
    assert found.next == NOON + 15.5 * 3600
    with pytest.raises(BadRequest, match="attempts must be"):
        await world.schedules.change(schedule.id, OWNER, ScheduleChange(attempts=99), ANN)
    with pytest.raises(BadRequest, match="no parameter 'z'"):
        await world.schedules.change(schedule.id, OWNER, ScheduleChange(inputs={"z": 1}), ANN)
    with pytest.raises(ScheduleNotFound):
        await world.schedules.get(schedule.id, "user bob")
    assert [one.id for one in await world.schedules.find(OWNER)] == [schedule.id]
    assert await world.schedules.find(OWNER, "other") == await world.schedules.find("user bob")
    await world.schedules.remove(schedule.id, OWNER)
    with pytest.raises(ScheduleNotFound):
        await world.schedules.get(schedule.id, OWNER)


async def test_an_owner_has_a_limited_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("easymlnb_server.schedules.manager.MOST", 1)
    await world.create()
    with pytest.raises(BadRequest, match="1 schedules already"):
        await world.create()
