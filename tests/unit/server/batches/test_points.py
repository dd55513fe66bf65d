"""The points of a sweep, and its table."""

from typing import Any

import msgspec
import pytest

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.batches import sweep_table
from easymlnb_server.batches.points import MAX_TRIALS, SweepRequest, expand
from easymlnb_server.jobs.models import Job, JobInput, JobState

SPEC = ServiceSpec(
    name="fit",
    title="Fit",
    input={"properties": {"trees": {}, "depth": {}, "seed": {}}, "required": ["trees"]},
    output={},
)


def test_a_grid_is_all_combinations() -> None:
    sweep = expand(SweepRequest(grid={"trees": [1, 2], "depth": [3, 4]}, values={"seed": 0}), SPEC)
    assert sweep.parameters == ["trees", "depth"]
    assert sweep.points == [
        {"trees": 1, "depth": 3},
        {"trees": 1, "depth": 4},
        {"trees": 2, "depth": 3},
        {"trees": 2, "depth": 4},
    ]
    assert msgspec.json.decode(sweep.body(3)) == {"seed": 0, "trees": 2, "depth": 4}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({}, "Send either a grid"),
        ({"grid": {"trees": [1]}, "points": [{"trees": 1}]}, "Send either a grid"),
        ({"grid": {"trees": []}}, "no values for 'trees'"),
        ({"grid": {"trees": list(range(MAX_TRIALS + 1))}}, "1,001 trials; at most 1,000"),
        ({"grid": {"leaves": [1]}}, "'leaves' is no parameter of 'fit'. It has: 'trees'"),
        ({"grid": {"trees": [1]}, "values": {"trees": 2}}, "swept and also has a value"),
        ({"grid": {"depth": [1]}}, "The sweep has no value for 'trees'"),
        ({"points": [{"trees": 1}, {"depth": 2}]}, "Trial 2 has no value for 'trees'"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_said(request_: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence.replace(".", r"\.")):
        expand(SweepRequest(**request_), SPEC)


def test_the_size_is_checked_before_points_are_made() -> None:
    grid = {"trees": [0] * 10_000, "depth": [0] * 10_000, "seed": [0] * 10_000}
    with pytest.raises(BadRequest, match="1,000,000,000,000 trials"):
        expand(SweepRequest(grid=grid), SPEC)


def trial(item: int, **values: Any) -> Job:
    names = {"service": "fit", "version": "1", "bundle": "b", "author": "ann", "owner": "ann"}
    return Job(id=f"job{item}", lane="jobs", input=JobInput(file=""), item=item, **names, **values)


def test_the_table_has_a_row_for_each_trial() -> None:
    sweep = expand(SweepRequest(grid={"trees": [1, 2, 3]}), SPEC)
    files = {"a": b'{"trees": 0.5, "loss": 2}', "b": b"x" * 100_000}
    trials = [
        trial(0, state=JobState.SUCCEEDED, result="a", result_type="application/json"),
        trial(1, state=JobState.FAILED, error={"code": "call_failed", "message": 'a "bad" one'}),
        trial(2, state=JobState.STARTING, result="b", result_type="application/json"),
    ]
    table = sweep_table.make(sweep, trials, files.__getitem__)
    assert [one.state for one in table.trials] == ["succeeded", "failed", "queued"]
    assert table.trials[2].result is None  # too large
    assert sweep_table.as_csv(table).decode().splitlines() == [
        "trial,trees,state,result_trees,loss,error,seconds,job",
        "1,1,succeeded,0.5,2,,,job0",
        '2,2,failed,,,"a ""bad"" one",,job1',
        "3,3,queued,,,,,job2",
    ]
    assert sweep_table.failed(trials) is None
    assert sweep_table.failed(trials[1:2]) is trials[1]
