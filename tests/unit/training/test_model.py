"""``ml.Model`` and ``@ml.train``: metrics, plots, the form's schema, compare and search."""

import json
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

import easymlnb as ml
from easymlnb.contract.errors import CallerError, DefinitionError
from easymlnb.services.definition import SERVICES
from easymlnb.services.presentation import to_parts
from easymlnb.training import plots
from easymlnb.training.function import DataWarning
from easymlnb.training.model import metrics_table


def lines(rows: int = 60) -> pd.DataFrame:
    chance = np.random.default_rng(0)
    x = chance.uniform(0, 10, rows)
    return pd.DataFrame({"x": x, "z": chance.normal(size=rows), "y": 2 * x + 1})


def fitted() -> ml.Model:
    table = lines()
    features = table[["x", "z"]]
    return ml.Model(
        LinearRegression().fit(features[:40], table["y"][:40]),
        test=(features[40:], table["y"][40:]),
    )


def test_test_rows_give_metrics_and_plots() -> None:
    model = fitted()
    assert set(model.metrics) == {"mae", "rmse", "r2"} and model.metrics["r2"] > 0.99
    assert list(model.plots) == ["Predicted and true", "Residuals", "Permutation importance"]
    assert "LinearRegression, mae=" in repr(model) and "<table" in model._repr_html_()


def test_classes_of_any_type_are_measured() -> None:
    table = lines()
    for labels in (
        table["y"] > 10,
        (table["y"] > 10).astype(int),
        np.where(table["y"] > 10, "a", "b"),
    ):
        y = np.asarray(labels)
        forest = RandomForestClassifier(10, random_state=0).fit(table[["x", "z"]], y)
        model = ml.Model(forest, test=(table[["x", "z"]], y))
        assert model.metrics["balanced_accuracy"] > 0.9 and model.metrics["roc_auc"] > 0.9
        assert list(model.plots)[:2] == ["Confusion", "ROC curve"]


def test_metrics_must_be_numbers() -> None:
    with pytest.raises(DefinitionError, match="metric 'mae' must be a number, not 'low'"):
        ml.Model(None, metrics={"mae": "low"})  # type: ignore[dict-item]
    with pytest.raises(DefinitionError, match="must be a pair"):
        ml.Model(None, test=[1, 2, 3])  # type: ignore[arg-type]


def test_own_metrics_and_score() -> None:
    scored = ml.Model(3, test=(1, 2), score=lambda obj, x, y: {"sum": obj + x + y})
    assert scored.metrics == {"sum": 6.0} and scored.plots == {}


def test_the_view_shows_the_model_next_to_the_one_in_production() -> None:
    model = fitted()
    model.production = {"version": 3, "metrics": {"mae": 5.0, "rmse": 6.0}}
    table = metrics_table(model)
    assert list(table.columns) == ["metric", "this model", "production (version 3)"]
    parts = to_parts(model)
    assert [part["kind"] for part in parts] == ["table", "plotly", "plotly", "plotly"]


@pytest.fixture
def training() -> Any:
    @ml.train(model="line", metric="mae", attempts=2, timeout="8h", examples=[{"data": lines(20)}])
    def fit(
        data: ml.Table,  # type: ignore[valid-type]
        target: str = "y",
        power: Annotated[int, ml.Slider(1, 5)] = 1,
    ) -> ml.Model:
        """Fit a line."""
        x, y = data.drop(columns=target) ** power, data[target]  # type: ignore[attr-defined]
        half = len(x) // 2
        model = LinearRegression().fit(x[:half], y[:half])
        return ml.Model(_Powered(model, power), test=(x[half:] ** (1 / power), y[half:]))

    yield fit
    SERVICES.pop("fit", None)


class _Powered:
    def __init__(self, model: Any, power: int) -> None:
        self.model, self.power = model, power

    def predict(self, x: Any) -> Any:
        return self.model.predict(x**self.power)


def test_a_training_is_a_function_and_a_service_whose_calls_are_jobs(training: Any) -> None:
    positive = lines().abs()
    assert training(positive).metrics["r2"] > 0.99
    spec = training.service.spec
    assert spec.training.model == "line" and spec.training.timeout == 8 * 3600
    assert spec.on_timeout == "job" and spec.min_workers == 0 and spec.training.attempts == 2
    assert type(spec).from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec.output["title"] == "Model"


def test_the_result_of_a_call_has_the_metrics_and_parameters(training: Any) -> None:
    service = training.service
    model = service.function(data=lines().abs(), power=2)
    result = json.loads(service.schema.dump(model))
    assert result["params"] == {"target": "y", "power": 2}
    assert result["metrics"]["mae"] > 0 and result["production"] is None


def test_something_else_than_a_model_is_refused() -> None:
    @ml.train(model="line")
    def forgets(seed: int = 0) -> ml.Model:
        return seed  # type: ignore[return-value]

    try:
        with pytest.raises(DefinitionError, match=r"forgets must return an ml\.Model"):
            forgets.service.function(seed=1)
    finally:
        SERVICES.pop("forgets", None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "The Forest"}, "Invalid model name"),
        ({"model": "a", "attempts": 0}, "attempts must be"),
        ({"model": "a", "attempts": 99}, "at most 20"),
        ({"model": "a", "timeout": "long"}, "timeout"),
        ({"model": "a", "lane": 3}, "lane must be a text"),
        ({"modle": "a"}, "no option 'modle'. Did you mean 'model'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        ml.train(**options)


def test_compare_trains_each_candidate_on_each_fold(training: Any) -> None:
    table = lines(90).abs()
    with pytest.warns(DataWarning, match="'x' almost equals the target 'y'"):
        made = training.compare(table, {"line": {}, "cube": {"power": 3}}, target="y", folds=3)
    assert made.chosen == "line" and made.rows[0].name == "line"
    assert made.row("cube").folds == 3 and not made.row("cube").problem
    with pytest.raises(DefinitionError, match="fit has no parameter 'powr' of 'x'"):
        training.compare(table, {"x": {"powr": 3}}, target="y")
    with pytest.raises(CallerError, match="no column 'price'"):
        training.compare(table, {"x": {}}, target="price")


def test_search_finds_the_best_parameters_and_goes_on(training: Any) -> None:
    table = lines().abs()
    first = training.search({"power": [1, 2, 3]}, table, n=2)
    found = training.search({"power": [1, 2, 3]}, table, n=5)
    assert [trial.params["power"] for trial in found.trials] == [1, 2, 3]
    assert found.best is not None and found.best.score == found.table["mae"].min()
    assert {t.params["power"] for t in first.trials} < {1, 2, 3}
    with pytest.raises(DefinitionError, match="no parameter 'depth'"):
        training.search({"depth": [1]}, table)
    wrong = training.search({"power": [1]}, table, metric="f1", n=1)
    assert wrong.best is None and "no metric 'f1'" in wrong.trials[0].problem


def test_search_submits_trials_as_jobs(training: Any) -> None:
    class Job:
        id = "J1"

        def __init__(self, power: int) -> None:
            self.power = power

        def result(self) -> dict[str, Any]:
            if self.power == 2:
                raise CallerError("no power")
            return {"metrics": {"mae": self.power}}

        def info(self) -> dict[str, Any]:
            return {"model": {"version": 10 + self.power}}

    submitted = []
    training.submit = lambda **values: submitted.append(values) or Job(values["power"])
    found = training.search({"power": [1, 2, 3]}, lines(), jobs=True)
    assert [trial.score for trial in found.trials] == [1, 3, None]
    assert [trial.version for trial in found.trials] == [11, 13, None]
    assert found.table["version"].tolist()[:2] == [11, 13]
    assert found.trials[2].problem == "CallerError: no power"
    training.search({"power": [1, 2, 3]}, lines(), jobs=True)
    assert len(submitted) == 3, "the same search waits for the same jobs"


@pytest.mark.parametrize("jobs", [False, True])
def test_optuna_learns_from_the_trials(training: Any, jobs: bool) -> None:
    pytest.importorskip("optuna")

    class Job:
        id = "J1"

        def __init__(self, power: int) -> None:
            self.power = power

        def result(self) -> dict[str, Any]:
            return {"metrics": {"mae": abs(self.power - 70)}}

        def info(self) -> dict[str, Any]:
            return {"model": None}

    training.submit = lambda **values: Job(values["power"])
    found = training.search(
        {"power": (1, 3) if not jobs else (1, 100)}, lines().abs(), n=25 if jobs else 4,
        sampler="tpe", jobs=jobs,
    )  # fmt: skip
    assert len(found.trials) == (25 if jobs else 4)
    assert found.best is not None and not found.best.problem
    if jobs:  # by chance, 25 points are this close in 2 of 3 searches; half of them never are
        close = [trial for trial in found.trials if abs(trial.params["power"] - 70) <= 15]
        assert len(close) > 12


def test_figures() -> None:
    curve = plots.learning_curve({"loss": list(range(5000)), "other": {10: 2.0}})
    assert len(curve.data[0].x) == 2000 and curve.data[1].x == (10,)
    shown = plots.confusion(["a", "a", "b"], ["a", "b", "b"])
    assert shown.data[0].z.tolist() == [[50.0, 50.0], [0.0, 100.0]]
    assert len(plots.calibration([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.2], bins=2).data) == 2
    times = pd.date_range("2024", periods=3)
    assert (
        len(plots.forecast(times, [1, 2, 3], true=[1, 2, 3], low=[0] * 3, high=[4] * 3).data) == 4
    )
