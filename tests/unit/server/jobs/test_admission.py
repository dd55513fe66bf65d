"""Jobs within the limits of their caller and service."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from easymlnb.contract.errors import LimitExceeded
from easymlnb_server.identity.access import Caller, owner_key, pass_key
from easymlnb_server.identity.grants import KeyGrant
from easymlnb_server.identity.limits import NO_LIMITS, Limits
from easymlnb_server.identity.quotas.quotas import Defaults, Quotas
from easymlnb_server.identity.usage.meter import UsageMeter
from easymlnb_server.jobs.admission import JobAdmission, options_of, submitter
from easymlnb_server.jobs.models import Job, JobInput, new_id
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.rules import cancel
from easymlnb_server.store.store import Store


class World:
    def __init__(self, repository: JobRepository, key: Limits, **defaults: Limits) -> None:
        self.repository = repository
        self.quotas = Quotas(Defaults(**defaults), UsageMeter())
        self.admission = JobAdmission(self.quotas)
        self.holder = Caller("ann", key=KeyGrant("key_1", frozenset("*"), frozenset(), key))
        self.person = Caller("ann")

    def job(self, caller: Caller, **values: Any) -> Job:
        return Job(
            id=new_id(),
            owner=owner_key("ann"),
            service=values.pop("service", "roll"),
            version="1",
            bundle="b",
            author="bob",
            lane="jobs",
            input=JobInput(file="f"),
            options=options_of(caller, "", view=False),
            **values,
        )

    async def submit(self, caller: Caller, **values: Any) -> Job:
        job = self.job(caller, **values)
        add = partial(self.repository.add, job)
        return await self.admission.add(self.repository, job, caller, 10, add)


async def test_unfinished_jobs_count_as_concurrent(repository: JobRepository) -> None:
    world = World(repository, Limits(concurrent=2), user=Limits(concurrent=3))
    found = await asyncio.gather(
        *(world.submit(world.holder) for _ in range(5)), return_exceptions=True
    )
    # Also of several at once, no more get in; what is refused is not stored and not counted.
    assert sum(isinstance(one, LimitExceeded) for one in found) == 3
    assert repository.find()[1] == 2
    await world.submit(world.person)
    with pytest.raises(LimitExceeded, match="this user"):
        await world.submit(world.person)
    first = next(one for one in found if isinstance(one, Job))
    error = {"code": "service_not_found", "message": "gone"}
    assert len(repository.fail_unfinished(["roll"], error, 1.0, 2.0)) == 3
    ended = repository.get(first.id)
    assert (ended.state.value, ended.error, ended.expires) == ("failed", error, 2.0)
    await world.submit(world.holder)


async def test_a_running_call_becomes_a_job_within_the_limits(repository: JobRepository) -> None:
    world = World(repository, Limits(concurrent=2))
    job = world.job(world.holder)
    world.quotas.admit(job.service, world.holder, job.owner, 10)
    async with world.admission.room(repository, job, world.holder) as has_room:
        assert has_room
    repository.add(world.job(world.holder))
    repository.add(world.job(world.holder))
    async with world.admission.room(repository, job, world.holder) as has_room:
        assert not has_room
    async with world.admission.room(repository, job, world.person) as has_room:
        assert has_room


async def test_calls_without_room_do_not_poll_the_database(
    repository: JobRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(repository, Limits(concurrent=1))
    first, job = repository.add(world.job(world.holder)), world.job(world.holder)
    world.quotas.admit(job.service, world.holder, job.owner, 10)
    counted, unfinished = [], repository.unfinished

    def count(*place: str) -> dict[str, int]:
        counted.append(place)
        return unfinished(*place)

    monkeypatch.setattr(repository, "unfinished", count)
    for _ in range(5):
        async with world.admission.room(repository, job, world.holder) as has_room:
            assert not has_room
    assert len(counted) == 1
    assert repository.change(first.id, lambda held: cancel(held, 1.0)).state.ended
    async with world.admission.room(repository, job, world.holder) as has_room:
        assert has_room
    assert len(counted) == 2


async def test_jobs_are_counted_again_after_another_process_was_active(
    repository: JobRepository, store: Store
) -> None:
    world = World(repository, Limits(concurrent=1))
    first, job = repository.add(world.job(world.holder)), world.job(world.holder)
    world.quotas.admit(job.service, world.holder, job.owner, 10)
    async with world.admission.room(repository, job, world.holder) as has_room:
        assert not has_room
    repository.change(first.id, lambda held: cancel(held, 1.0))
    async with world.admission.room(JobRepository(store.database), job, world.holder) as has_room:
        assert has_room


async def test_a_repeated_submission_counts_once(repository: JobRepository) -> None:
    world = World(repository, Limits(calls_per_day=1, concurrent=1))
    first = await world.submit(world.holder, key="k")
    assert (await world.submit(world.holder, key="k")).id == first.id
    with pytest.raises(LimitExceeded, match="this API key"):
        await world.submit(world.holder, key="other")
    # Limits of calls see none of it run.
    (meter,) = [one for one in world.quotas._meters.values() if one is not None]
    assert (meter.running, meter.calls) == (0, 1)


async def test_runs_of_jobs_use_up_compute_seconds(repository: JobRepository) -> None:
    world = World(repository, Limits(compute_seconds_per_day=5))
    await world.submit(world.holder)
    world.quotas.charge("roll", world.holder, owner_key("ann"), 6.0)
    with pytest.raises(LimitExceeded, match="compute"):
        await world.submit(world.holder)


async def test_the_size_of_the_body_and_no_limits(repository: JobRepository) -> None:
    world = World(repository, NO_LIMITS)
    assert (await world.submit(world.holder)).options.api_key == "key_1"
    stored = (await world.submit(world.person)).options
    assert msgspec.to_builtins(stored) == {"user": "ann"}


async def test_visitors_share_the_limits_of_visitors(repository: JobRepository) -> None:
    world = World(
        repository, NO_LIMITS, visitors=Limits(concurrent=3), visitor=Limits(concurrent=2)
    )

    async def submit(browser: str) -> Job:
        job = replace(world.job(world.person), owner=pass_key(browser), options=options_of(
            None, "", view=True
        ))  # fmt: skip
        add = partial(repository.add, job, low_priority=True)
        return await world.admission.add(repository, job, None, 10, add)

    await submit("a")
    await submit("a")
    with pytest.raises(LimitExceeded):
        await submit("a")
    job = await submit("b")
    with pytest.raises(LimitExceeded, match="all visitors"):
        await submit("c")
    assert submitter(job.options) is None
    # They wait for the jobs of users, and leave no row for each browser.
    await world.submit(world.person)
    owners = [one.owner for one in repository.claim("jobs", "me", 4, 1.0)]
    assert owners[0] == owner_key("ann") and set(owners[1:]) == {pass_key("a"), pass_key("b")}


def test_a_key_sees_jobs_of_its_services(repository: JobRepository) -> None:
    world = World(repository, NO_LIMITS)
    for service in ("ann/roll", "Ann/roll", "ann/cast", "annex/roll", "bob/roll"):
        repository.add(world.job(world.person, service=service))

    def seen(*names: str) -> set[str]:
        return {job.service for job in repository.find(among=names)[0]}

    assert seen("ann/*") == {"ann/roll", "ann/cast"}
    assert seen("bob/roll", "ann/cast") == {"bob/roll", "ann/cast"}
    assert len(seen("*")) == 5
    assert seen() == set()
