"""Tables with a target: what is learned from them, and tables that cannot be learned from."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

from easymlnb.contract.errors import CallerError
from easymlnb.training.candidates import pipeline
from easymlnb.training.checks import check
from easymlnb.training.columns import turning_parts
from easymlnb.training.datasets import dataset, guess_task


def table(rows: int = 100) -> pd.DataFrame:
    chance = np.random.default_rng(0)
    size = chance.uniform(20, 200, rows)
    return pd.DataFrame(
        {
            "size": size,
            "town": chance.choice(["Oslo", "Rome"], rows),
            "price": 3 * size + chance.normal(0, 9, rows),
        }
    )


@pytest.mark.parametrize(
    ("first", "periods", "freq", "parts"),
    [
        ("2024-03-01", 6, "h", []),
        ("2024-03-04", 3, "D", ["hour"]),
        ("2024-03-01", 30, "D", ["day_of_week", "hour"]),
        ("2024-01-01", 366, "D", ["day", "day_of_week", "hour"]),
        ("2023-12-01", 90, "D", ["year", "month", "day", "day_of_week", "hour"]),
    ],
)
def test_dates_have_the_parts_that_have_turned(
    first: str, periods: int, freq: str, parts: list[str]
) -> None:
    assert turning_parts(pd.Series(pd.date_range(first, periods=periods, freq=freq))) == parts


def test_a_linear_model_of_one_year_does_not_jump_at_new_year() -> None:
    days = pd.date_range("2024-01-01", periods=366, freq="D")
    rises = pd.DataFrame({"day": days, "y": np.arange(366.0)})
    rises["y"] += np.random.default_rng(0).normal(0, 5, 366)
    model = pipeline(RidgeCV(np.logspace(-9, 4, 14)), scaled=True).fit(rises[["day"]], rises["y"])
    following = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=7, freq="D")})
    assert np.abs(model.predict(following) - np.arange(366, 373)).max() < 20


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([1.5, 2.5] * 10, "regression"),
        ([0, 1] * 10, "classification"),
        (list(range(20)), "regression"),
        ([True, False] * 10, "classification"),
        (["a", "b"] * 10, "classification"),
        (["1.5", "2,5"] * 10, "classification"),
    ],
)
def test_the_task_follows_from_the_target(values: list[object], task: str) -> None:
    assert guess_task(pd.Series(values)) == task


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: table(0), "0 rows; 10 are needed"),
        (lambda: table().assign(price=1.0), "only one"),
        (lambda: table().assign(price="cheap"), "only one class: 'cheap'"),
        (lambda: table().assign(price=None), "0 values; 10 are needed"),
        (lambda: table(5000).assign(price=[f"c{n}" for n in range(5000)]), "5,000 classes"),
        (lambda: table().assign(price=["x"] * 98 + ["y", "z"]), "two classes with 3 rows"),
        (lambda: table().drop(columns="price"), "no column 'price'. Columns: 'size', 'town'"),
        (lambda: table()[["price"]], "no column besides the target"),
        (lambda: pd.concat([table(), table()[["size"]]], axis=1), "two columns named 'size'"),
    ],
)
def test_data_without_anything_to_learn_is_refused(made: object, words: str) -> None:
    with pytest.raises(CallerError) as error:
        dataset(made(), "price")  # type: ignore[operator]
    assert words in error.value.message


def test_a_million_classes_are_refused_with_their_number() -> None:
    many = pd.DataFrame({"x": np.arange(10**6), "y": [f"c{n}" for n in range(10**6)]})
    with pytest.raises(CallerError, match="1,000,000 classes"):
        dataset(many, "y")


def test_numbers_with_texts_among_them_are_no_target() -> None:
    mixed = table(1000)
    mixed["price"] = mixed["price"].astype(object)
    mixed.loc[3, "price"] = "on request"
    with pytest.raises(CallerError, match="1 of 1000 values are not, such as 'on request'"):
        dataset(mixed, "price")


def test_rows_without_target_and_rare_classes_are_left_out_and_named() -> None:
    given = table().assign(price=["a"] * 50 + ["b"] * 47 + ["c"] + [None] * 2)
    made = dataset(given, "price")
    assert made.classes == ["a", "b"]
    assert [note.code for note in made.notes] == ["target_missing", "rare_classes"]
    assert len(made.x) == 97


def test_rows_are_in_the_order_of_their_times() -> None:
    given = table(50)
    given["day"] = pd.date_range("2024-01-01", periods=50)[::-1]
    made = dataset(given, "price")
    assert made.times is not None and made.times.is_monotonic_increasing
    assert made.y.iloc[0] == given["price"].iloc[-1]
    assert dataset(given, "price", time="").times is None


def codes(given: pd.DataFrame, **options: str) -> dict[str, str]:
    return {finding.code: finding.column for finding in check(given, "price", **options)}


def test_good_data_is_not_questioned() -> None:
    assert check(table(), "price") == []


def test_a_leak_and_an_identifier_are_found() -> None:
    given = table()
    given["net"] = given["price"] * 0.8 + 1
    given["number"] = range(100)
    found = codes(given)
    assert found["leak"] == "net" and found["id_column"] == "number"
    assert {f.action for f in check(given, "price")} == {"drop"}


def test_a_category_that_gives_the_class_away_is_a_leak() -> None:
    chance = np.random.default_rng(1)
    kinds = chance.choice(["low", "high"], 200)
    given = pd.DataFrame({"size": chance.uniform(0, 1, 200), "label": kinds, "price": kinds})
    given["label"] = given["label"].map({"low": "L", "high": "H"})
    assert codes(given)["leak"] == "label"


def test_other_findings() -> None:
    given = pd.concat([table(), table().head(3)], ignore_index=True)
    given["same"] = "x"
    given["few"] = [1.0] * 20 + [2.0] * 10 + [None] * 73
    given["mixed"] = ["a", 1, "b"] * 34 + ["c"]
    given["patient_id"] = [n // 4 for n in range(103)]
    found = codes(given)
    assert found["constant"] == "same"
    assert found["mostly_missing"] == "few"
    assert found["mixed_types"] == "mixed"
    assert found["groups"] == "patient_id"
    assert "duplicates" in codes(pd.concat([table(), table().head(3)]))


def test_an_error_comes_alone() -> None:
    (only,) = check(table().assign(price=1), "price")
    assert only.level == "error" and only.code == "constant_target"
