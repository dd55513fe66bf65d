"""The states of a job, by all orders of what can happen to it."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from easymlnb.contract.errors import JobEnded
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import Job, JobInput, JobState, new_id

BOOM = {"code": "call_failed", "message": "It raised."}


def make_job(**values: Any) -> Job:
    fields: dict[str, Any] = {
        "id": new_id(),
        "owner": "user ann",
        "service": "f",
        "version": "1",
        "bundle": "b" * 64,
        "author": "ann",
        "lane": "jobs",
        "input": JobInput(file="0" * 64),
    }
    return Job(**fields | values)


class Life(RuleBasedStateMachine):
    """One job through any changes: it ends once, and within its budgets."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.job = make_job(attempts=2, losses=1)
        self.outcomes: list[str] = []
        self.ended: JobState | None = None

    def write(self, change: rules.Change) -> None:
        self.job = replace(self.job, **change.values)
        if change.outcome:
            self.outcomes.append(change.outcome)
        if self.job.state.ended:
            self.ended = self.job.state

    @precondition(lambda self: self.job.state is JobState.QUEUED)
    @rule()
    def claim(self) -> None:
        token = self.job.token
        self.write(rules.claim(self.job, "me", self.now))
        assert self.job.token > token

    @precondition(lambda self: self.job.state is JobState.STARTING)
    @rule(how=st.sampled_from(["begins", "dies", "does not start"]))
    def start(self, how: str) -> None:
        if how == "begins":
            self.write(rules.begin(self.job, "w", self.now))
        elif how == "dies":
            self.write(rules.lose_start(self.job, BOOM, self.now))
        else:
            attempt = self.job.attempt
            self.write(rules.put_back(self.job, "No node.", self.now))
            assert self.job.attempt == attempt - 1 or self.job.state.ended

    @precondition(lambda self: rules.is_held(self.job))
    @rule()
    def adopt(self) -> None:
        attempt, token = self.job.attempt, self.job.token
        self.write(rules.adopt(self.job, "other", self.now))
        assert (self.job.attempt, self.job.token) == (attempt, token + 1)

    @precondition(lambda self: self.job.state is JobState.RUNNING)
    @rule(how=st.sampled_from(["result", "error", "caller's error", "loss", "preemption"]))
    def end(self, how: str) -> None:
        if how == "preemption":
            budgets = (self.job.raised, self.job.lost)
            self.write(rules.preempt(self.job, 0, self.now))
            assert (self.job.raised, self.job.lost) == budgets
            assert self.job.state in (JobState.QUEUED, JobState.CANCELLED)
        elif how == "result":
            self.write(rules.succeed(self.job, {"result": "r"}, self.now))
        elif how == "loss":
            self.write(rules.lose(self.job, self.now))
        else:
            code = "caller_error" if how.startswith("caller") else "call_failed"
            self.write(rules.fail(self.job, BOOM | {"code": code}, self.now))
            assert self.job.state.ended or code == "call_failed"

    @rule()
    def cancel(self) -> None:
        if self.job.state.ended:
            with pytest.raises(JobEnded):
                rules.cancel(self.job, self.now)
            return
        self.write(rules.cancel(self.job, self.now))

    @invariant()
    def stays_ended(self) -> None:
        assert self.ended is None or self.job.state is self.ended
        assert (self.job.ended is not None) == self.job.state.ended
        assert (self.job.holder is None) != rules.is_held(self.job)

    @invariant()
    def stays_within_its_budgets(self) -> None:
        assert self.outcomes.count("failed") <= self.job.attempts
        assert self.outcomes.count("lost") <= max(self.job.losses, rules.START_LOSSES) + 1
        assert self.outcomes.count("succeeded") <= 1
        if self.job.cancel and self.job.state.ended:
            assert self.job.state in (JobState.CANCELLED, JobState.SUCCEEDED)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=25)


def test_pauses_between_attempts_grow_up_to_a_minute() -> None:
    job = make_job(attempts=20, state=JobState.RUNNING)
    pauses = []
    for raised in range(8):
        change = rules.fail(replace(job, raised=raised), BOOM, 100.0)
        pauses.append(change.values["not_before"] - 100.0)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


def test_a_job_that_is_preempted_in_vain_again_and_again_fails() -> None:
    job = make_job(state=JobState.RUNNING, checkpoint="c" * 64)
    pauses = []
    for in_vain in range(rules.IN_VAIN):
        change = rules.preempt(job, in_vain, 100.0)
        assert change.values["state"] is JobState.QUEUED
        pauses.append(change.values["not_before"] - 100.0)
    assert pauses == [0, 2, 4, 8, 16]
    change = rules.preempt(job, rules.IN_VAIN, 100.0)
    assert change.values["state"] is JobState.FAILED and change.outcome == "preempted"
    assert "6 times without a new checkpoint" in change.values["error"]["message"]


def test_pauses_between_starts_grow_up_to_five_minutes() -> None:
    pauses = [rules.start_pause(make_job(token=n, attempt=1), 10.0) for n in (1, 2, 3, 9, 99)]
    assert pauses == [10, 20, 40, 300, 300]


def test_ids_sort_by_time() -> None:
    made = [new_id(float(second)) for second in range(1, 50)]
    assert made == sorted(made) and len({len(one) for one in made}) == 1
