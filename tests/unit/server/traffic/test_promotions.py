"""When a promotion advances and when it goes back, and what one does to the traffic."""

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from easymlnb.contract.errors import (
    BadRequest,
    PromotionConflict,
    PromotionNotFound,
    TrafficChanged,
)
from easymlnb_server.identity.audit.log import AuditLog
from easymlnb_server.publishing.promotions import Promotions
from easymlnb_server.services.models import PublishedService, SleepingVersion
from easymlnb_server.store.records import ServiceRecord, VersionRow
from easymlnb_server.traffic.models import Traffic
from easymlnb_server.traffic.policy import TrafficPolicy
from easymlnb_server.traffic.promotions import (
    AbortIf,
    Decision,
    Promotion,
    PromotionState,
    Sample,
    decide,
    parse_request,
    problem_of,
)
from support.fakes import until

GOOD = Sample(calls=200, errors=1, p95=0.1, memory=300 * 2**20)


def promotion(**changes: Any) -> Promotion:
    given: dict[str, Any] = {
        "id": "p", "service": "f", "version": 4, "base": 3, "steps": (5.0, 100.0), "every": 60.0,
        "abort_if": AbortIf(),
    }  # fmt: skip
    return Promotion(**{**given, **changes})


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (Sample(calls=99, errors=99), ""),
        (Sample(calls=100, errors=2, p95=0.15), ""),
        (Sample(calls=100, errors=3, p95=0.1), "3 of its 100 calls failed (3.0%)"),
        (Sample(calls=100, p95=0.16), "95th percentile is 0.16 s"),
        (Sample(calls=100, memory=600 * 2**20), ""),
        (Sample(calls=99, memory=900 * 2**20), ""),
        (Sample(calls=100, memory=601 * 2**20), "largest worker uses 601 MB, that of the"),
        (Sample(lost_workers=3), "lost 3 workers"),
        (Sample(start_error="no GPU"), "no worker: no GPU"),
    ],
)
def test_what_makes_it_go_back(candidate: Sample, said: str) -> None:
    found = problem_of(AbortIf(), candidate, GOOD)
    assert bool(found) == bool(said)
    assert said in found


def test_small_differences_and_missing_numbers_do_not() -> None:
    limits = AbortIf(min_calls=10)
    assert not problem_of(limits, Sample(calls=10, p95=0.009), Sample(calls=90, p95=0.001))
    assert not problem_of(limits, Sample(calls=10, p95=9.0, memory=9 * 2**30), Sample())
    small, larger = Sample(calls=90, memory=2**20), Sample(calls=10, memory=64 * 2**20)
    assert not problem_of(limits, larger, small)
    assert not problem_of(
        AbortIf(error_rate_ratio=None, p95_ratio=None), Sample(calls=999, errors=999, p95=9.0), GOOD
    )
    worse = Sample(calls=100, errors=50, p95=0.1)
    assert not problem_of(limits, Sample(calls=100, errors=90, p95=0.1), worse)


def test_it_advances_after_each_step_and_ends_after_the_last() -> None:
    assert decide(promotion(), 59.0, GOOD, GOOD)[0] is Decision.WAIT
    assert decide(promotion(), 60.0, GOOD, GOOD)[0] is Decision.ADVANCE
    assert decide(promotion(step=1), 60.0, GOOD, GOOD)[0] is Decision.FINISH
    paused = promotion(state=PromotionState.PAUSED)
    assert decide(paused, 999.0, GOOD, GOOD)[0] is Decision.WAIT
    assert decide(paused, 1.0, Sample(lost_workers=9), GOOD)[0] is Decision.ABORT


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"version": 4, "steps": []}', "Invalid steps"),
        (b'{"version": 4, "steps": [50, 25]}', "from low to high"),
        (b'{"version": 4, "steps": [0, 100]}', "Invalid steps"),
        (b'{"version": 4, "steps": [101]}', "Invalid steps"),
        (b'{"version": 4, "every": "soon"}', "Invalid 'every'"),
        (b'{"version": 4, "every": "9999d"}', "'9999d'. Use 1 s to 30 days"),
        (b'{"version": 4, "abort_if": {"p95_ratio": 0.5}}', "abort_if.p95_ratio is 0.5"),
        (b'{"version": 4, "abort_if": {"min_calls": 0}}', "abort_if.min_calls is 0"),
        (b'{"steps": [100]}', "missing required field"),
        (b'{"version": 4, "setps": [100]}', "unknown field"),
        (b"[]", "Send the promotion as JSON"),
    ],
)
def test_bad_requests_are_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said.replace("[", r"\[")):
        parse_request(body)


class World:
    """Promotions of one service, whose traffic and database are in memory."""

    def __init__(self) -> None:
        self.record = ServiceRecord(
            "f", "", None, Traffic.undivided(3), 1,  # type: ignore[arg-type]
            tuple(VersionRow(number, "b", 0.0) for number in (3, 4)),
        )  # fmt: skip
        self.rows: dict[str, Promotion] = {}
        self.numbers: dict[int, Sample] = {3: Sample(), 4: Sample()}
        self.now = 0.0
        self.audit = AuditLog()
        rows = SimpleNamespace(
            active=lambda: [one for one in self.rows.values() if one.state.active],
            of_service=lambda name: list(self.rows.values()),
            get=self.get,
            put=lambda one: self.rows.__setitem__(one.id, one),
        )
        self.publisher: Any = SimpleNamespace(store=SimpleNamespace(promotions=rows))
        self.promotions = self.made()

    def made(self) -> Promotions:
        traffic: Any = SimpleNamespace(find=lambda name: self.service, change=self.change)
        return Promotions(
            self.publisher,
            traffic,
            self.measure,
            self.audit,
            lambda: self.now,
        )

    async def measure(self, name: str, number: int) -> Sample:
        return self.numbers[number]

    @property
    def service(self) -> PublishedService:
        policy = TrafficPolicy.of(self.record.traffic, self.record.revision)
        sleeping = {number: SleepingVersion("b") for number in (3, 4)}
        return PublishedService({}, policy, sleeping=sleeping)

    @property
    def weights(self) -> dict[int, float]:
        return self.record.traffic.weights

    def get(self, name: str, id: str) -> Promotion:
        if id not in self.rows:
            raise PromotionNotFound(id)
        return self.rows[id]

    async def change(
        self,
        name: str,
        change: Callable[[ServiceRecord], Traffic],
        *,
        revision: int,
        force: bool,
        promotion: Promotion,
    ) -> PublishedService:
        if revision != self.record.revision:
            raise TrafficChanged
        self.set(change(self.record))
        self.rows[promotion.id] = replace(promotion, revision=self.record.revision)
        return self.service

    def set(self, traffic: Traffic) -> None:
        record = self.record
        self.record = ServiceRecord(
            "f", "", record.access, traffic, record.revision + 1, record.versions
        )

    async def check(self, seconds: float = 0.0) -> None:
        """Let the time pass, and have all promotions checked once."""
        self.now += seconds
        for one in list(self.promotions._active.values()):
            await self.promotions._check(one)

    async def start(self, **more: Any) -> Promotion:
        body = {"version": 4, "steps": [10, 50, 100], "every": 60, **more}
        return await self.promotions.start("f", parse_request(json.dumps(body).encode()))


async def test_it_moves_traffic_step_by_step() -> None:
    world = World()
    started = await world.start()
    assert world.weights == {3: 90.0, 4: 10.0}
    await world.check(59)
    assert world.weights == {3: 90.0, 4: 10.0}
    for weights in ({3: 50.0, 4: 50.0}, {4: 100.0}):
        await world.check(60)
        assert world.weights == weights
    assert world.rows[started.id].state is PromotionState.RUNNING
    await world.check(60)
    assert world.rows[started.id].state is PromotionState.DONE
    assert world.promotions.active("f") is None


async def test_it_goes_back_with_the_numbers() -> None:
    world = World()
    world.numbers = {3: Sample(calls=1000, errors=900), 4: Sample(calls=50, errors=50)}
    started = await world.start()
    await world.check(1)
    world.numbers = {
        3: Sample(calls=2000, errors=901, p95=0.1),
        4: Sample(calls=250, errors=60, p95=0.1),
    }
    await world.check(1)
    ended = world.rows[started.id]
    assert (world.weights, ended.state) == ({3: 100.0}, PromotionState.ABORTED)
    assert "10 of its 200 calls failed (5.0%)" in ended.reason
    assert "1 of 1000 (0.1%)" in ended.reason
    assert (ended.candidate.calls, ended.serving.calls) == (200, 1000)


async def test_it_continues_after_a_restart_with_new_numbers() -> None:
    world = World()
    started = await world.start()
    world.numbers[4] = Sample(calls=1, errors=1)
    world.promotions = world.made()
    running = asyncio.create_task(world.promotions.run())
    await until(lambda: world.promotions.active("f"))
    running.cancel()
    world.now += 60
    await world.check()
    assert world.weights == {3: 50.0, 4: 50.0}
    assert world.rows[started.id].step == 1


async def test_it_pauses_resumes_and_is_canceled() -> None:
    world = World()
    id = (await world.start()).id
    await world.promotions.pause("f", id)
    await world.check(600)
    assert world.weights == {3: 90.0, 4: 10.0}
    await world.promotions.pause("f", id, paused=False)
    await world.check(59)
    assert world.weights == {3: 90.0, 4: 10.0}
    await world.promotions.cancel("f", id)
    assert (world.weights, world.rows[id].state) == ({3: 100.0}, PromotionState.CANCELED)
    for again in (world.promotions.cancel, world.promotions.pause):
        with pytest.raises(PromotionConflict, match="it is canceled"):
            await again("f", id)


async def test_it_ends_when_somebody_else_changes_the_traffic() -> None:
    world = World()
    id = (await world.start()).id
    world.set(Traffic.undivided(3))
    await world.check()
    assert world.rows[id].state is PromotionState.CANCELED
    assert "changed in another way" in world.rows[id].reason
    assert world.weights == {3: 100.0}


async def test_a_second_one_and_one_without_an_aim_are_refused() -> None:
    world = World()
    await world.start()
    with pytest.raises(PromotionConflict, match="Version 4 is being promoted"):
        await world.start()
    world = World()
    with pytest.raises(PromotionConflict, match="already answers all calls"):
        await world.start(version=3)
