"""What is learned of how long runs take."""

import random

import pytest

from easymlnb_server.dispatch import duration_model
from easymlnb_server.dispatch.duration_model import (
    Backlog,
    DurationModel,
    StartupEstimator,
    expected_wait,
)


def test_nothing_is_known_at_first() -> None:
    assert DurationModel().seconds(1) == 0


def test_line_through_noise_is_found() -> None:
    chance = random.Random(1)
    fit = DurationModel()
    for _ in range(200):
        n = chance.randrange(1, 33)
        fit.add(n, 0.008 + 0.001 * n + chance.gauss(0, 0.0003))
    assert fit.seconds(1) == pytest.approx(0.009, abs=0.001)
    assert fit.seconds(64) == pytest.approx(0.072, rel=0.1)


def test_one_size_says_nothing_of_others_but_more_takes_no_less() -> None:
    fit = DurationModel()
    for _ in range(5):
        fit.add(4, 0.4)
    assert fit.seconds(4) == pytest.approx(0.4)
    assert fit.seconds(2) == pytest.approx(0.4)
    assert fit.seconds(8) == pytest.approx(0.6)


def test_run_that_was_broken_off_would_have_lasted_longer() -> None:
    fit = DurationModel()
    fit.add(1, 1.0)
    fit.add(1, 0.4, complete=False)  # that says nothing new
    assert fit.seconds(1) == pytest.approx(1.0)
    fit.add(56, 29.0, complete=False)
    assert fit.seconds(56) == pytest.approx(58.0, rel=0.01)


def test_nobody_notices_a_moment() -> None:
    fit = DurationModel()
    assert fit.unnoticed_wait() == 0
    fit.add(1, 0.01)
    assert fit.unnoticed_wait() == 0  # less than a timer knows
    for seconds, moment in ((1.0, 0.01), (60.0, 0.05)):
        fit = DurationModel()
        fit.add(1, seconds)
        assert fit.unnoticed_wait() == pytest.approx(moment)


@pytest.mark.parametrize(
    ("runs", "many", "expected"),
    [
        ([(1, 0.3), (10, 0.1)], 100, 0.2),  # larger ones cannot be quicker: all the same then
        ([(5, 0.01), (10, 0.04)], 1, 0.0034),  # no run takes less than nothing
    ],
)
def test_impossible_lines_are_bent(
    runs: list[tuple[int, float]], many: int, expected: float
) -> None:
    fit = DurationModel()
    for n, seconds in runs * 20:
        fit.add(n, seconds)
    assert fit.seconds(many) == pytest.approx(expected, rel=0.1)


def test_the_past_is_forgotten() -> None:
    fit = DurationModel()
    for _ in range(1000):
        fit.add(1, 10.0)
    for _ in range(60):
        fit.add(1, 0.1)
    assert fit.seconds(1) == pytest.approx(0.1, rel=0.2)


def test_many_runs_later_it_is_still_exact() -> None:
    fit = DurationModel()
    for number in range(100_000):
        fit.add(1 + number % 7, 0.5 + 0.25 * (1 + number % 7))
    assert fit.seconds(3) == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("own", "others", "places", "expected"),
    [
        (Backlog(4, 5.0), [], 1, 20.0),
        (Backlog(4, 5.0), [], 2, 10.0),
        (Backlog(4, 5.0), [], 0, 20.0),
        (Backlog(4, 5.0), [Backlog(100, 1.0)], 1, 24.0),  # one of theirs after each of ours
        (Backlog(4, 5.0), [Backlog(2, 1.0), Backlog(1, 3.0)], 1, 25.0),
        (Backlog(0, 5.0), [Backlog(9, 1.0)], 1, 0.0),
    ],
)
def test_wait(own: Backlog, others: list[Backlog], places: int, expected: float) -> None:
    assert expected_wait(own, others, places) == expected


def test_starts_last_as_long_as_the_latest_did(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(duration_model.time, "monotonic", lambda: clock[0])
    starts = StartupEstimator()
    for took in (8.0, 4.0):
        with starts.measure():
            clock[0] += took
            assert starts.remaining in (0.0, 4.0)
    assert starts.remaining == 6.0
    with starts.measure():
        clock[0] += 1.0
        with pytest.raises(ValueError, match="it failed"), starts.measure():
            clock[0] += 1.0
            assert starts.remaining == 4.0  # until the first of both serves
            raise ValueError("it failed")
        clock[0] += 60.0
        assert starts.remaining == 1.0
    assert starts.remaining == (6.0 + 62.0) / 2
