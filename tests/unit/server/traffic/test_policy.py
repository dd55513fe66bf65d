"""How calls are divided among versions: shares, and callers that keep their version."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easymlnb_server.traffic.models import Traffic
from easymlnb_server.traffic.policy import TrafficPolicy

CALLS = 20_000
CALLERS = [f"user {number}" for number in range(CALLS)]


def policy(weights: dict[int, float], sticky: str | None = None) -> TrafficPolicy:
    return TrafficPolicy.of(Traffic(weights=weights, sticky=sticky))


def chosen(traffic: TrafficPolicy) -> dict[str, int]:
    return {caller: traffic.choose(0.0, traffic.sticky_key("f", caller, {})) for caller in CALLERS}


def test_one_version_answers_all_calls() -> None:
    undivided = TrafficPolicy.undivided(7)
    assert (undivided.primary, undivided.divided) == (7, False)
    assert {undivided.choose(point / 10, None) for point in range(10)} == {7}


@pytest.mark.parametrize("weights", [{3: 90.0, 4: 10.0}, {1: 33.4, 2: 33.3, 5: 33.3}])
@pytest.mark.parametrize("sticky", [None, "caller"])
def test_shares_are_within_seven_tenths_of_a_point(
    weights: dict[int, float], sticky: str | None
) -> None:
    traffic, random = policy(weights, sticky), Random(4)
    numbers = [
        traffic.choose(random.random(), traffic.sticky_key("f", caller, {})) for caller in CALLERS
    ]
    for number, weight in weights.items():
        assert abs(100 * numbers.count(number) / CALLS - weight) < 0.7


def test_a_growing_canary_keeps_its_callers_and_a_caller_keeps_a_version() -> None:
    before = chosen(policy({3: 95.0, 4: 5.0}, "caller"))
    assert before == chosen(policy({3: 95.0, 4: 5.0}, "caller"))
    for percent in (25.0, 50.0, 99.0):
        after = chosen(policy({3: 100 - percent, 4: percent}, "caller"))
        assert all(after[caller] == 4 for caller, number in before.items() if number == 4)
        before = after


@given(st.lists(st.floats(1, 100), min_size=2, max_size=5), st.floats(1, 50))
@settings(max_examples=30, deadline=None)
def test_callers_move_only_to_the_version_that_grows(sizes: list[float], more: float) -> None:
    weights = dict(enumerate(sizes, 1))
    grown = {**weights, 1: weights[1] + more}
    before, after = policy(weights, "caller"), policy(grown, "caller")
    for caller in CALLERS[:300]:
        key = before.sticky_key("f", caller, {})
        was, now = before.choose(0.0, key), after.choose(0.0, key)
        assert now in (was, 1)


def test_each_version_and_each_service_draws_its_own_callers() -> None:
    fourth = {
        c for c, number in chosen(policy({3: 90.0, 4: 10.0}, "caller")).items() if number == 4
    }
    fifth = {c for c, number in chosen(policy({3: 90.0, 5: 10.0}, "caller")).items() if number == 5}
    assert len(fourth & fifth) < len(fourth) / 5
    divided = policy({3: 50.0, 4: 50.0}, "caller")
    keys = [(divided.sticky_key("f", c, {}), divided.sticky_key("g", c, {})) for c in CALLERS[:200]]
    assert any(divided.choose(0.0, f) != divided.choose(0.0, g) for f, g in keys)


def test_a_header_keeps_its_version_and_chance_decides_without_it() -> None:
    traffic = policy({3: 50.0, 4: 50.0}, "header:x-session")
    assert traffic.sticky_key("f", "me", {}) is None
    key = traffic.sticky_key("f", "me", {"x-session": "a"})
    assert key == traffic.sticky_key("f", "you", {"x-session": "a"})
    assert len({traffic.choose(point / 10, key) for point in range(10)}) == 1
    assert {traffic.choose(point / 10, None) for point in range(10)} == {3, 4}


def test_the_version_with_most_traffic_describes_the_service() -> None:
    assert policy({3: 40.0, 4: 60.0}).primary == 4
    assert policy({3: 50.0, 4: 50.0}).primary == 3
