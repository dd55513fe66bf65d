"""Comparisons: scores, choice, significance, and resuming after an interruption."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from easymlnb.contract.errors import CallerError, DefinitionError
from easymlnb.training.baselines import SeasonalNaive, season_of
from easymlnb.training.candidates import Candidate, candidates_for, pipeline
from easymlnb.training.comparing import as_rows, as_units, compare, evaluate
from easymlnb.training.datasets import Dataset, dataset
from easymlnb.training.searching import check_space, sample
from easymlnb.training.significance import corrected_t_test
from easymlnb.training.splits import split


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that spin are slow on a busy machine."""
    with threadpool_limits(1):
        yield


def houses(rows: int = 120) -> Dataset:
    chance = np.random.default_rng(0)
    size = chance.uniform(20, 200, rows)
    town = chance.choice(["Oslo", "Rome", None], rows)
    price = 3 * size + 50 * (town == "Oslo") + chance.normal(0, 5, rows)
    return dataset(pd.DataFrame({"size": size, "town": town, "price": price}), "price")


def linear() -> Candidate:
    return Candidate("linear", lambda: pipeline(LinearRegression(), scaled=True), complexity=1)


def test_the_better_model_comes_first_and_the_baseline_is_not_chosen() -> None:
    made = compare(houses(), [linear()])
    assert [row.name for row in made.rows] == ["linear", "baseline"]
    assert made.chosen == "linear" and made.metric == "mae" and made.complete
    assert made.rows[0].is_best and not made.rows[1].is_best
    assert made.rows[0].score == pytest.approx(4, abs=2) and made.rows[0].size > 100
    assert list(made.table.index) == ["linear", "baseline"]
    assert "* linear" in repr(made)


def test_a_comparison_goes_on_where_it_stopped() -> None:
    class Stop(Exception):
        pass

    stored: list[dict[str, object]] = []

    def stop(unit: object, units: dict[object, object], total: int) -> None:
        stored[:] = as_rows(units.values())  # type: ignore[arg-type]
        assert total == 10
        if len(units) == 5:
            raise Stop

    with pytest.raises(Stop):
        compare(houses(), [linear()], on_unit=stop)
    fitted = []
    made = compare(
        houses(), [linear()], done=as_units(stored), on_unit=lambda unit, *_: fitted.append(unit)
    )
    assert len(fitted) == 5 and made.complete
    assert made.to_dict()["rows"][0]["score"] == compare(houses(), [linear()]).rows[0].score


def test_a_model_that_fails_is_a_row_with_its_problem() -> None:
    def broken() -> object:
        raise ValueError("no such kernel")

    made = compare(houses(), [linear(), Candidate("broken", broken)])
    assert made.rows[-1].problem == "ValueError: no such kernel"
    assert made.chosen == "linear"


@pytest.mark.filterwarnings("ignore")
def test_a_score_that_is_infinite_is_a_problem() -> None:
    made = houses()
    made.y.iloc[:40] = 1e200
    with pytest.raises(CallerError, match=r"The metric 'rmse' of \d+ rows is inf"):
        compare(made, [linear()], metric="rmse")


def test_models_that_chance_cannot_tell_apart_are_marked_and_the_simplest_is_chosen() -> None:
    twin = Candidate("twin", linear().make, complexity=3)
    made = compare(houses(), [twin, linear()])
    assert {row.name for row in made.rows if row.is_best} == {"linear", "twin"}
    assert made.chosen == "linear"
    assert "cannot tell them apart" in made.notes[0]


def test_the_test_part_is_for_the_chosen_model_only() -> None:
    data = houses()
    parts = split(data)
    result = evaluate(data, parts, linear())
    assert len(result.true) == len(parts.test)
    assert result.metrics["mae"] == pytest.approx(4, abs=2) and result.metrics["r2"] > 0.9


def test_the_usual_candidates_fit_classes_with_texts_dates_and_gaps() -> None:
    chance = np.random.default_rng(3)
    age = chance.uniform(20, 80, 80)
    given = pd.DataFrame(
        {
            "age": np.where(age > 75, np.nan, age),
            "seen": pd.date_range("2024-01-01", periods=80),
            "town": chance.choice(["Oslo", "Rome"], 80),
            "ill": np.where(age > 50, "yes", "no"),
        }
    )
    data = dataset(given, "ill", time="")
    made = compare(data, folds=3)
    assert not any(row.problem for row in made.rows)
    assert {row.name for row in made.rows} == {"linear", "forest", "boosting", "baseline"}
    assert made.row("forest").score > 0.8
    model = evaluate(data, split(data, folds=3), candidates_for(data)[1]).model
    row = data.x.head(1)
    model.predict(row.assign(town="Lima", other=1))
    with pytest.raises(CallerError, match="lacks the column 'town'"):
        model.predict(row.drop(columns="town"))
    with pytest.raises(CallerError, match="'age' must have numbers, not 'old'"):
        model.predict(row.assign(age="old"))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(CallerError, match="no candidate 'magic'"):
        compare(houses(), ["magic"])
    with pytest.raises(CallerError, match="metric must be one of mae, rmse, r2"):
        compare(houses(), [linear()], metric="accuracy")
    with pytest.raises(CallerError, match="Two candidates have the name 'linear'"):
        compare(houses(), [linear(), linear()])


def test_the_seasonal_baseline_repeats_the_last_day() -> None:
    hours = pd.date_range("2024-01-01", periods=96, freq="h")
    values = 100 + 10 * hours.hour.to_numpy()
    assert season_of(hours.to_series()) == 24
    table = pd.DataFrame({"hour": hours, "load": values})
    model = SeasonalNaive("hour").fit(table.iloc[:72], table["load"].iloc[:72])
    assert list(model.predict(table.iloc[72:])) == list(values[72:])
    names = [one.name for one in candidates_for(dataset(table, "load"), ["linear"])]
    assert names == ["baseline", "seasonal_naive", "linear"]


def test_the_corrected_test_finds_less_than_the_usual_one() -> None:
    # With 10 folds of a tenth each, the variance is 1/10 + 1/9 in place of 1/10.
    differences = [0.5, 0.2, 0.4, 0.1, 0.6, 0.3, 0.2, 0.5, 0.1, 0.4]
    mean, spread = 0.33, 0.0312222
    statistic = mean / np.sqrt((0.1 + 1 / 9) * spread)
    assert statistic == pytest.approx(4.0645, abs=1e-3)
    assert corrected_t_test(differences, 1 / 9) == pytest.approx(0.00282, abs=1e-4)
    assert corrected_t_test([0.1], 0.1) == 1 and corrected_t_test([0, 0], 0.1) == 1


def test_a_sample_is_the_same_for_the_same_seed_and_ends_with_the_space() -> None:
    space = {"trees": (10, 500), "rate": (0.001, 1.0, "log"), "kind": ["a", "b"]}
    first = [point for point, _ in zip(sample(space, seed=4), range(20), strict=False)]
    again = [point for point, _ in zip(sample(space, seed=4), range(20), strict=False)]
    assert first == again
    assert all(10 <= p["trees"] <= 500 and 0.001 <= p["rate"] <= 1 for p in first)
    assert len(list(sample({"kind": ["a", "b"], "on": [True, False]}))) == 4


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({}, "dict of parameters"),
        ({"trees": 5}, "list of values, or a range"),
        ({"trees": (5, 1)}, "must go up"),
        ({"trees": (0, 1, "log")}, "must go up above 0"),
        ({"trees": (1, 2, 3)}, r"\(low, high\)"),
        ({"wood": (1, 2)}, "no parameter 'wood'. Parameters: trees"),
    ],
)
def test_a_wrong_space_is_refused(space: dict[str, object], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        check_space(space, ["trees"])
