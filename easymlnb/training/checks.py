"""Look at a table before the first fit: leaks, identifiers, rows that occur twice, and others.

This module imports pandas.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from pandas.api import types as kinds

from easymlnb.contract.errors import CallerError
from easymlnb.training.columns import CATEGORY, NUMBER, as_numbers, count_different, kind_of
from easymlnb.training.datasets import (
    CLASSIFICATION,
    RARE,
    find_times,
    guess_task,
    target_problem,
)
from easymlnb.training.findings import ERROR, DataFinding

LEAK = 0.999
"""Correlation with the target from which on a column is taken for the target itself."""

FEW_ROWS = 10
"""Rows of a class below which its predictions are not reliable."""

SAMPLE = 200_000
"""Rows that the checks read at most."""

MOSTLY_MISSING = 0.5


def check(
    table: pd.DataFrame,
    target: str,
    *,
    task: str = "",
    time: str | None = None,
    groups: str | None = None,
) -> list[DataFinding]:
    """Return what the owner of a table should know before a model is trained; errors first.

    Parameters
    ----------
    table : pandas.DataFrame
    target, task, time, groups
        As for ``dataset``.

    Raises
    ------
    CallerError
        The table has no such target.
    """
    table = table.rename(columns=str)
    if target not in table.columns:
        names = ", ".join(map(repr, table.columns[:20])) or "none"
        raise CallerError(f"The table has no column {target!r}. Columns: {names}.")
    problem = target_problem(table, target, task)
    if problem is not None:
        return [problem]
    if len(table) > SAMPLE:
        table = table.sample(SAMPLE, random_state=0).sort_index()
    task = task or guess_task(table[target])
    features = [name for name in table.columns if name not in (target, groups)]
    found = [
        *_target(table, target, task),
        *_rows_twice(table, target),
        *_times(table, target, time),
        *(finding for name in features for finding in _column(table, name, target, task)),
    ]
    if not features:
        found.append(DataFinding("no_features", "The table has only the target.", level=ERROR))
    if groups is None:
        found.extend(_group_columns(table, features, target, found))
    return sorted(found, key=lambda finding: finding.level != ERROR)


def _target(table: pd.DataFrame, target: str, task: str) -> Iterator[DataFinding]:
    missing = int(table[target].isna().sum())
    if missing:
        message = f"The target {target!r} is missing in {missing:,} of {len(table):,} rows."
        yield DataFinding("target_missing", f"{message} They are left out.", target)
    if task != CLASSIFICATION:
        return
    counts = table[target].dropna().astype(object).map(str).value_counts()
    few = counts[counts < FEW_ROWS]
    if len(few):
        names = ", ".join(f"{name!r} ({count})" for name, count in few.head(5).items())
        message = f"Classes with fewer than {FEW_ROWS} rows: {names}. Predictions of them are weak"
        left_out = f"; those with fewer than {RARE} are left out" if (few < RARE).any() else ""
        yield DataFinding("rare_classes", f"{message}{left_out}.", target)


def _rows_twice(table: pd.DataFrame, target: str) -> Iterator[DataFinding]:
    try:
        twice = int(table.duplicated().sum())
    except TypeError:  # lists and the like
        twice = int(table.astype(str).duplicated().sum())
    if twice:
        yield DataFinding(
            "duplicates",
            f"{twice:,} of {len(table):,} rows occur more than once. A copy in the test part makes "
            "a model look better than it is; remove the copies.",
        )


def _times(table: pd.DataFrame, target: str, time: str | None) -> Iterator[DataFinding]:
    if time is not None:
        return
    column = find_times(table, target)
    if column:
        yield DataFinding(
            "time_column",
            f"{column!r} has times, so models are tested on later rows than they were trained on.",
            column,
            action="time",
        )


def _column(table: pd.DataFrame, name: str, target: str, task: str) -> Iterator[DataFinding]:
    values = table[name]
    found = values.dropna()
    kind = kind_of(values)
    if found.empty or count_different(found) == 1:
        what = "empty" if found.empty else "the same in every row"
        yield DataFinding(
            "constant", f"{name!r} is {what}, so it says nothing.", name, action="drop"
        )
        return
    if len(found) < MOSTLY_MISSING * len(values):
        share = 100 * (1 - len(found) / len(values))
        yield DataFinding(
            "mostly_missing", f"{name!r} is missing in {share:.0f} % of the rows.", name
        )
    yield from _mixed(name, found, kind)
    if is_leak(values, table[target], task):
        yield DataFinding(
            "leak",
            f"{name!r} almost equals the target {target!r}. If it is not known before the "
            "prediction, leave it out.",
            name,
            action="drop",
        )
    elif _is_identifier(found, kind):
        yield DataFinding(
            "id_column",
            f"{name!r} is different in each row. If it is a name or number of the row, leave it "
            "out.",
            name,
            action="drop",
        )


def _mixed(name: str, found: pd.Series, kind: str) -> Iterator[DataFinding]:
    if kinds.is_numeric_dtype(found) or kinds.is_datetime64_any_dtype(found):
        return
    numbers = pd.to_numeric(found.astype(object), errors="coerce")
    wrong = found[numbers.isna()]
    if kind == NUMBER and len(wrong):
        yield DataFinding(
            "mixed_types",
            f"{name!r} has numbers, but {len(wrong):,} values are not, such as "
            f"{str(wrong.iloc[0])[:40]!r}. They count as missing.",
            name,
        )
    elif kind == CATEGORY and 0 < len(wrong) < len(found):
        number = found[numbers.notna()].iloc[0]
        yield DataFinding(
            "mixed_types",
            f"{name!r} has texts such as {str(wrong.iloc[0])[:40]!r} and numbers such as {number}. "
            "All count as texts.",
            name,
        )


def is_leak(values: pd.Series, target: pd.Series, task: str) -> bool:
    """Return whether a column gives the target away."""
    both = values.notna() & target.notna()
    if both.sum() < FEW_ROWS:
        return False
    values, target = values[both], target[both]
    if kind_of(values) == NUMBER:
        numbers = as_numbers(values).fillna(0).to_numpy()
        if task != CLASSIFICATION:
            return _correlation(numbers, as_numbers(target).to_numpy()) > LEAK
        codes = pd.factorize(target.astype(object).map(str), sort=True)[0]
        if len(set(codes)) == 2 and _correlation(numbers, codes.astype(float)) > LEAK:
            return True
    return task == CLASSIFICATION and _determines(values, target)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # of huge numbers
        if first.std() == 0 or second.std() == 0:
            return 0.0
        return float(abs(np.corrcoef(first, second)[0, 1]))


def _determines(values: pd.Series, classes: pd.Series) -> bool:
    """Return whether each value of a column of few values has one class."""
    texts, names = values.astype(object).map(str), classes.astype(object).map(str)
    different = texts.nunique()
    if different > len(texts) / 5:
        return False
    return bool(names.groupby(texts.to_numpy()).nunique().max() == 1)


def _is_identifier(found: pd.Series, kind: str) -> bool:
    """Return whether a column of texts or whole numbers is different in each row."""
    if kind not in (CATEGORY, NUMBER) or count_different(found) < len(found):
        return False
    if kind == CATEGORY:
        return True
    numbers = as_numbers(found).dropna()
    steps = numbers.diff().dropna()
    return bool(
        (numbers == numbers.round()).all() and len(steps) and (steps == steps.iloc[0]).all()
    )


def _group_columns(
    table: pd.DataFrame, features: list[str], target: str, found: list[DataFinding]
) -> Iterator[DataFinding]:
    """Suggest columns whose name says that several rows belong to one person or thing."""
    settled = {finding.column for finding in found if finding.action == "drop"}
    for name in features:
        words = name.lower().replace("-", "_").split("_")
        if name in settled or not {"id", "patient", "subject", "group", "user"} & set(words):
            continue
        different = count_different(table[name])
        if 1 < different < len(table):
            yield DataFinding(
                "groups",
                f"{name!r} has {different:,} values in {len(table):,} rows. If rows of one value "
                "belong together, choose it as the groups: they then stay on one side of a split.",
                name,
                action="groups",
            )
