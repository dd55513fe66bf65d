"""How much members of groups may use: the rules, and what is counted."""

import asyncio
from typing import Any

import pytest

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb_server.hub import group_limits, usage
from easymlnb_server.hub.group_limits import Limit
from easymlnb_server.hub.usage import Meters, UserMeter
from easymlnb_server.placement.hub.node_worker import SlotCounter

TOLD = {
    "students": {"workers": 2, "gpu_seconds_a_day": 3600},
    "lab": {"workers": 8},
    "guests": {"workers": 0, "gpu_seconds_a_day": 0},
}


@pytest.mark.parametrize(
    ("groups", "most"),
    [
        ([], Limit()),
        (["others"], Limit()),
        (["students"], Limit(2, 3600)),
        (["students", "others"], Limit(2, 3600)),
        (["students", "guests"], Limit(2, 3600)),
        (["students", "lab"], Limit(8, None)),
    ],
)
def test_the_largest_limit_of_the_groups_counts(groups: list[str], most: Limit) -> None:
    assert group_limits.limit_for(groups, group_limits.parse(TOLD)) == most


def test_star_is_for_who_is_in_no_group_with_a_limit() -> None:
    told = group_limits.parse({**TOLD, "*": {"workers": 1}})
    assert group_limits.limit_for(["others"], told) == Limit(1)
    assert group_limits.limit_for(["lab"], told) == Limit(8)
    # Nobody gets into it by a group of that name.
    assert group_limits.limit_for(["*", "students"], told) == Limit(2, 3600)


@pytest.mark.parametrize(
    "limit", [{"worker": 1}, {"workers": -1}, {"workers": 1.5}, {"gpu_seconds_a_day": "1h"}, 3]
)
def test_what_is_no_limit_is_refused_with_the_group(limit: object) -> None:
    with pytest.raises(ValueError, match="'students'"):
        group_limits.parse({"students": limit})


def test_workers_in_all_placements_count(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = UserMeter("erin", lambda: Limit(workers=2))
    meter.check(0)
    meter.start()
    meter.check(1)
    meter.start()
    meter.hold(1)
    with pytest.raises(Forbidden, match="allow 2 workers at a time, and you have 2 running"):
        meter.check(0)
    meter.end(1)
    meter.check(0)


def test_gpu_seconds_count_until_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, day = [0.0], ["2026-01-01"]
    monkeypatch.setattr(usage.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(usage, "today", lambda: day[0])
    meter = UserMeter("erin", lambda: Limit(gpu_seconds_a_day=100))
    meter.start()
    clock[0] = 50.0  # it waits in the queue, and holds nothing
    assert meter.held() == 0.0
    meter.hold(2)
    clock[0] = 80.0
    assert meter.held() == 60.0
    assert not meter.exceeded(2)
    meter.elsewhere = 40.0  # another process, or the one before
    assert meter.exceeded(2)
    assert not meter.exceeded(0)
    meter.end(2)
    with pytest.raises(Forbidden, match="100 GPU seconds of your groups are used up"):
        meter.check(1)
    meter.check(0)
    day[0] = "2026-01-02"
    meter.check(1)
    assert meter.held() == 0.0


def test_nothing_starts_before_the_groups_are_known() -> None:
    with pytest.raises(NotReady, match="groups"):
        UserMeter("erin", lambda: None).check(0)


def test_a_worker_that_never_came_to_its_node_used_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(usage.time, "monotonic", lambda: clock[0])
    meter = UserMeter("erin", lambda: Limit(workers=9, gpu_seconds_a_day=100))
    slots = SlotCounter(2, 1.0, meter)
    assert slots.reserve() and slots.reserve() and not slots.reserve()
    slots.hold()
    clock[0] = 10.0
    slots.release(held=False)
    assert (meter.workers, meter.held()) == (1, 10.0)
    clock[0] = 20.0
    slots.release(held=True)
    clock[0] = 30.0
    assert (meter.workers, meter.held()) == (0, 20.0)


def test_a_removed_user_is_asked_for_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(usage.time, "monotonic", lambda: clock[0])

    class Hub:
        asked = 0
        known: Any = None

        async def find(self, name: str) -> Any:
            self.asked += 1
            return self.known

        def last(self, name: str) -> Any:
            return self.known

    hub = Hub()
    meters = Meters(hub, {"students": Limit(1)})  # type: ignore[arg-type]

    async def look(seconds: int) -> int:
        before = hub.asked
        for _ in range(0, seconds, 5):
            await meters._refresh(meters.get("erin"))
            clock[0] += 5
        return hub.asked - before

    assert asyncio.run(look(60)) == 1
    assert asyncio.run(look(120)) == 1
    assert asyncio.run(look(3600)) < 10
    hub.known = "erin is back, and has shown a token"
    assert asyncio.run(look(60)) == 12
