"""Starts are held back after failures, and what went wrong stays known until one works."""

from easymlnb.contract.errors import DeploymentFailed, NotReady
from easymlnb_server.workers.circuit_breaker import CRASHES, STABLE, CircuitBreaker, backoff


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_backoff_grows_to_a_minute() -> None:
    assert [backoff(n) for n in (0, 1, 2, 3, 7, 8, 50)] == [0, 0, 1, 2, 32, 60, 60]


def test_failed_starts_are_told_and_held_back_ever_longer() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    waits = []
    for _ in range(4):
        breaker.record_failure(NotReady("It is broken."))
        waits.append(breaker.retry_in)
        clock.now += waits[-1]
    assert waits == [0, 1, 2, 4]
    assert breaker.retry_in == 0
    assert breaker.error is not None
    assert breaker.error.message == "It is broken."
    breaker.record_start()
    assert breaker.error is None


def test_crashes_soon_after_their_start_count_until_one_stays() -> None:
    breaker = CircuitBreaker(Clock())
    for number in range(1, CRASHES + 1):
        breaker.record_start()
        breaker.record_loss(1.0)
        assert (breaker.error is None) == (number < CRASHES)
    assert isinstance(breaker.error, DeploymentFailed)
    breaker.record_start()
    breaker.record_loss(STABLE + 1)
    assert (breaker.error, breaker.retry_in) == (None, 0)


def test_workers_that_were_ended_for_a_call_are_no_crashes() -> None:
    breaker = CircuitBreaker(Clock())
    for _ in range(CRASHES):
        breaker.record_loss(1.0)
        breaker.reset()
    assert breaker.error is None


def test_reason_of_crashes_is_told() -> None:
    breaker = CircuitBreaker(Clock())
    for _ in range(CRASHES):
        breaker.record_loss(1.0, "used more memory than allowed")
    assert breaker.error is not None
    assert "used more memory than allowed 3 times in a row" in breaker.error.message


def test_nodes_that_are_taken_away_are_no_crashes() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    waits = []
    for _ in range(CRASHES + 1):
        breaker.record_displacement(lived=5.0)
        waits.append(breaker.retry_in)
        clock.now += waits[-1]
    assert breaker.error is None
    assert waits == [0, 1, 2, 4]
    breaker.record_displacement(lived=STABLE + 1)
    assert breaker.retry_in == 0
