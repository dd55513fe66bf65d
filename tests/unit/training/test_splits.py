"""Splits: by time, by groups, by classes and by chance."""

import numpy as np
import pandas as pd
import pytest

from easymlnb.contract.errors import CallerError
from easymlnb.training.datasets import dataset
from easymlnb.training.splits import split


def table(rows: int) -> pd.DataFrame:
    chance = np.random.default_rng(0)
    return pd.DataFrame({"x": chance.normal(size=rows), "y": chance.normal(size=rows)})


def test_each_fold_is_tested_on_later_rows_with_a_gap() -> None:
    given = table(200).assign(hour=pd.date_range("2024-01-01", periods=200, freq="h"))
    made = split(dataset(given, "y", horizon=24), folds=4)
    assert made.kind == "time" and "24 steps apart" in made.text
    for before, after in (*made.folds, (made.train, made.test)):
        assert after.min() - before.max() == 25
    assert len(made.folds) == 4 and made.test.max() == 199


def test_rows_of_one_time_stay_together() -> None:
    days = np.repeat(pd.date_range("2024-01-01", periods=40), 5)
    made = split(dataset(table(200).assign(day=days), "y"))
    for before, after in (*made.folds, (made.train, made.test)):
        assert days[before].max() < days[after].min()


def test_rows_of_one_group_stay_together() -> None:
    groups = np.repeat([f"patient {n}" for n in range(20)], 5)
    made = split(dataset(table(100).assign(patient=groups), "y", groups="patient"))
    assert made.kind == "groups"
    for before, after in (*made.folds, (made.train, made.test)):
        assert not set(groups[before]) & set(groups[after])


def test_classes_have_the_same_share_in_all_parts() -> None:
    given = table(200).assign(y=["yes"] * 40 + ["no"] * 160)
    made = split(dataset(given, "y"))
    assert made.kind == "stratified"
    for _, after in made.folds:
        assert (given["y"].iloc[after] == "yes").mean() == pytest.approx(0.2, abs=0.02)


def test_no_row_is_in_the_test_part_and_in_a_fold() -> None:
    made = split(dataset(table(100), "y"))
    tested = np.concatenate([after for _, after in made.folds])
    assert sorted([*tested, *made.test]) == list(range(100))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: split(dataset(table(50), "y"), folds=1), "folds must be from 2 to 50"),
        (lambda: split(dataset(table(50), "y"), test=1.5), "test must be a share"),
        (
            lambda: split(dataset(table(50).assign(g=["a", "b"] * 25), "y", groups="g")),
            "2 groups are too few",
        ),
        (
            lambda: split(
                dataset(table(50).assign(t=pd.date_range("2024", periods=50)), "y", horizon=45)
            ),
            "too few to split by time",
        ),
    ],
)
def test_data_that_cannot_be_split_is_refused(made: object, words: str) -> None:
    with pytest.raises(CallerError, match=words):
        made()  # type: ignore[operator]
