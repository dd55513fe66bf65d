"""Optimization of models: variants are measured on examples, failures are reported."""

from typing import Any

import pytest

import easymlnb as ml
from easymlnb.optimization import ORIGINAL, MethodResult, best

torch: Any = pytest.importorskip("torch")


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 8))


def examples() -> list[Any]:
    return [torch.ones(4, 64), torch.zeros(1, 64)]


def by_name(found: Any) -> dict[str, MethodResult]:
    return {trial.how: trial for trial in found.trials}


def test_each_way_is_measured_against_the_original(model: Any) -> None:
    found = by_name(ml.optimize(model, ["bf16", "int8"], examples=examples()))
    assert list(found) == ["original", "bf16", "int8"]
    assert found["original"].error == 0
    assert all(trial.error < 0.05 and trial.seconds > 0 for trial in found.values())
    assert found["int8"].size < found["bf16"].size < found["original"].size


def test_the_original_is_left_as_it_is(model: Any) -> None:
    before = model(examples()[0])
    found = ml.optimize(model, ["bf16", "int8"], examples=examples(), tolerance=-1)
    assert found.model is model
    assert found.how == ORIGINAL
    assert torch.equal(model(examples()[0]), before)
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}


def test_results_of_bf16_are_float32_for_every_kind_of_example() -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, x: Any, at: Any = None) -> dict[str, Any]:
            return {"y": self.layer(x), "rest": [x.sum()]}

    x = torch.ones(3, 4)
    told = [x, (x, torch.tensor(1)), {"x": x, "at": torch.tensor(1)}]
    found = ml.optimize(Two(), ["bf16"], examples=told, tolerance=1)
    assert by_name(found)["bf16"].problem == ""
    from easymlnb.optimization import METHODS

    assert METHODS["bf16"](Two())(x)["y"].dtype == torch.float32


@pytest.mark.parametrize("kind", ["Conv1d", "Linear"])
def test_a_way_that_fails_is_a_line_with_the_reason(kind: str) -> None:
    model = {"Conv1d": torch.nn.Conv1d(1, 1, 3), "Linear": torch.nn.Linear(8, 1)}[kind]
    found = ml.optimize(model, ["int8"], examples=[torch.ones(1, 1, 8)])
    said = "ValueError: the model has no linear or recurrent layers"
    assert by_name(found)["int8"].problem == said
    assert said in repr(found)
    assert (found.how, found.model) == (ORIGINAL, model)
    assert found.table.problem["int8"] == said


@pytest.mark.parametrize(
    ("trials", "kept"),
    [
        ([MethodResult("a", 1, 0.5, 0.0), MethodResult("b", 1, 0.4, 0.0)], "b"),
        ([MethodResult("a", 1, 0.5, 0.0), MethodResult("b", 1, 0.4, 0.1)], "a"),
        ([MethodResult("a", 1, 0.5, float("inf"))], ORIGINAL),
        ([MethodResult("a", 1, 0.99, 0.0)], ORIGINAL),
        ([MethodResult("a", problem="no")], ORIGINAL),
        ([], ORIGINAL),
    ],
)
def test_the_fastest_within_the_tolerance_is_kept(trials: list[MethodResult], kept: str) -> None:
    assert best([MethodResult(ORIGINAL, 1, 1.0, 0.0), *trials], 0.01) == kept


def test_table_and_text(model: Any) -> None:
    found = ml.optimize(model, ["int8"], examples=examples())
    table = found.table
    assert list(table.index) == ["original", "int8"]
    assert list(table.columns) == ["size_mb", "ms", "error", "kept", "problem"]
    assert list(table.index[table.kept]) == [found.how]
    lines = repr(found).splitlines()
    assert lines[0].split() == ["how", "MB", "ms", "error"]
    assert sum(line.startswith("* ") for line in lines[:-1]) == 1


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"how": ["fp4"]}, ValueError),
        ({"how": "int8"}, ValueError),
        ({"examples": []}, ValueError),
        ({"model": len}, TypeError),
    ],
)
def test_what_cannot_be_optimized(model: Any, more: dict[str, Any], error: Any) -> None:
    with pytest.raises(error):
        ml.optimize(**{"model": model, "examples": examples(), **more})


@pytest.mark.slow
def test_compiling_either_works_or_says_why(model: Any) -> None:
    trial = by_name(ml.optimize(model, ["compile"], examples=examples()[:1]))["compile"]
    assert trial.problem or trial.error < 1e-4
