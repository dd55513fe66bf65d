"""A call that becomes a job when it takes long: when it may, and what its caller gets."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from easymlnb.contract.errors import BadRequest, EasyMLNBError, LaneFull, VersionNotFound
from easymlnb.contract.spec import Batch
from easymlnb.contract.training import Training
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls.models import Entry
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.identity.access import Caller
from easymlnb_server.jobs import promotion
from easymlnb_server.jobs.lanes import Lane
from easymlnb_server.jobs.models import Job
from easymlnb_server.jobs.submission import Submission
from support.fakes import spec

from .test_rules import make_job

RESULT = CallResult(result=Result(id=1, content_type="application/json"), body=b"1")


class FakeJobs:
    """Makes a call a job at the last of some tries."""

    def __init__(self, *tries: Job | EasyMLNBError | None) -> None:
        self.tries = list(tries)
        self.waited: list[float] = []
        self.lanes = {"jobs": Lane(), "far": Lane(placement="gpu")}
        self.lane = "jobs"

    async def promote(self, call: Any, submission: Submission) -> Job | None:
        found = self.tries.pop(0)
        if isinstance(found, EasyMLNBError):
            raise found
        return found

    async def wait(self, id: str, owner: str, seconds: float) -> Job:
        self.waited.append(seconds)
        return make_job(id=id, owner=owner)

    def check(self, submission: Submission) -> Job:
        return make_job(lane=self.lane)


def order(**more: Any) -> Submission:
    fields: dict[str, Any] = {"service": "f", "caller": Caller("ann"), "owner": "user ann"}
    return Submission(**fields | {"body": b"{}"} | more)


async def wait(jobs: Any, seconds: float, done: asyncio.Future[CallResult]) -> Any:
    stopped: list[EasyMLNBError] = []
    target = SimpleNamespace(spec=spec(timeout=30))
    call: Any = SimpleNamespace(target=target, stop=stopped.append)
    try:
        return await promotion.wait(jobs, call, done, order(), seconds)
    except EasyMLNBError as error:
        assert [one.code for one in stopped] == ["cancelled"]
        return error


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "ROOM_EVERY", 0.001)


async def test_a_quick_call_stays_plain() -> None:
    done = asyncio.get_running_loop().create_future()
    done.set_result(RESULT)
    assert await wait(FakeJobs(), 30, done) is RESULT


async def test_a_call_that_takes_long_waits_for_room_in_its_lane() -> None:
    job = make_job()
    jobs = FakeJobs(None, None, job)
    found = await wait(jobs, 0.001, asyncio.get_running_loop().create_future())
    assert found.id == job.id and not jobs.tries and jobs.waited == [0.0]


async def test_a_call_may_end_while_it_waits_for_room() -> None:
    done = asyncio.get_running_loop().create_future()
    jobs = FakeJobs(*([None] * 10_000))
    asyncio.get_running_loop().call_later(0.01, done.set_result, RESULT)
    assert await wait(jobs, 0.001, done) is RESULT


async def test_who_waits_longer_gets_the_job_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(promotion, "PLAIN_SECONDS", 0.001)
    jobs = FakeJobs(make_job())
    await wait(jobs, 60, asyncio.get_running_loop().create_future())
    assert 50 < jobs.waited[0] < 60


async def test_a_call_that_can_be_no_job_is_stopped() -> None:
    jobs = FakeJobs(VersionNotFound("1"))
    found = await wait(jobs, 0.001, asyncio.get_running_loop().create_future())
    assert found.code == "version_not_found"


def moving(handle: Any = True, **request: Any) -> tuple[Any, list[CallResult]]:
    answers: list[CallResult] = []
    fields = {"live": False, "operation": "", "entry": Entry.HTTP, "body": b"{}"} | request
    call = SimpleNamespace(
        target=SimpleNamespace(spec=spec()), request=SimpleNamespace(**fields), handle=handle,
        answer=answers.append,
    )  # fmt: skip
    return call, answers


async def test_a_call_that_is_handed_over_ends_for_its_caller() -> None:
    call, answers = moving()
    job = make_job()
    jobs: Any = FakeJobs(job, None, VersionNotFound("1"), VersionNotFound("1"))
    assert await promotion.hand_over(jobs, call, order()) is job
    (answer,) = answers
    assert answer.error is not None and job.id in answer.error.message
    call, answers = moving()
    with pytest.raises(LaneFull):
        await promotion.hand_over(jobs, call, order())
    with pytest.raises(VersionNotFound):
        await promotion.hand_over(jobs, call, order())
    assert not answers  # it continues as it was
    call, answers = moving(None)  # it was detached, and could not be stored
    with pytest.raises(VersionNotFound):
        await promotion.hand_over(jobs, call, order())
    assert [one.error.code for one in answers if one.error] == ["version_not_found"]


@pytest.mark.parametrize(
    ("fields", "request_fields", "lane", "why"),
    [
        ({"batch": Batch()}, {}, "jobs", "shares its worker"),
        ({"stream": True}, {}, "jobs", "shares its worker"),
        ({"training": Training(model="m")}, {}, "jobs", "trainings begin as jobs"),
        ({}, {"live": True}, "jobs", "only calls of published services"),
        ({}, {"entry": Entry.MCP}, "jobs", "only calls of published services"),
        ({}, {"body": FileBody(b"", object())}, "jobs", "its body is too large"),  # type: ignore[arg-type]
        ({}, {}, "far", "have kernels of their own"),
    ],
)
async def test_which_running_calls_become_no_job(
    fields: dict[str, Any], request_fields: dict[str, Any], lane: str, why: str
) -> None:
    jobs: Any = FakeJobs()
    jobs.lane = lane
    call, answers = moving(**request_fields)
    call.target.spec = spec(**fields)
    with pytest.raises(BadRequest, match=why):
        await promotion.hand_over(jobs, call, order())
    assert not answers


@pytest.mark.parametrize(
    ("fields", "wanted", "lane", "plain"),
    [
        ({}, {}, "jobs", True),
        ({"batch": Batch()}, {}, "jobs", False),
        ({"concurrency": 4}, {}, "jobs", False),
        ({"training": Training(model="m")}, {}, "jobs", False),
        ({"max_body": 1}, {}, "jobs", False),
        ({}, {"key": "k"}, "jobs", False),
        ({}, {"lane": "jobs"}, "jobs", False),
        ({}, {"attempts": 2}, "jobs", False),
        ({}, {"not_before": 1.0}, "jobs", False),
        ({}, {"body": FileBody(b"{}", None, ())}, "jobs", False),
        ({}, {}, "far", False),
    ],
)
def test_which_calls_begin_as_plain_ones(
    fields: dict[str, Any], wanted: dict[str, Any], lane: str, plain: bool
) -> None:
    jobs: Any = FakeJobs()
    jobs.lane = lane
    target: Any = SimpleNamespace(spec=spec(**fields))
    assert promotion.may_start_plain(jobs, order(**wanted), target) is plain
