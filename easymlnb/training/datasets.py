"""A table with its target, ready to be split.

This module imports pandas.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd
from pandas.api import types as kinds

from easymlnb.contract.errors import CallerError
from easymlnb.training.columns import DATE, as_dates, as_numbers, count_different, kind_of
from easymlnb.training.findings import ERROR, DataFinding

CLASSIFICATION, REGRESSION = "classification", "regression"
TASKS = (CLASSIFICATION, REGRESSION)

FEW_VALUES = 10
"""Whole numbers with at most this many different values are classes."""

MAX_CLASSES = 200

MIN_ROWS = 10

RARE = 3
"""Rows of classes with fewer rows than this are left out: they cannot be split."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Features and target of a table, in the order in which they are split.

    Attributes
    ----------
    x : pandas.DataFrame
        The features.
    y : pandas.Series
        The target: numbers, or classes as text.
    target : str
        Name of the target.
    task : {"classification", "regression"}
    times : pandas.Series, optional
        The time of each row, ascending; the data is split by it.
    groups : pandas.Series, optional
        The group of each row; rows of one group stay together.
    horizon : int
        Steps of time between what is known and what is predicted.
    notes : tuple of Finding
        What was left out.
    """

    x: pd.DataFrame
    y: pd.Series
    target: str
    task: str
    times: pd.Series | None = None
    groups: pd.Series | None = None
    horizon: int = 0
    notes: tuple[DataFinding, ...] = field(default=())

    @property
    def classes(self) -> list[str]:
        """The classes in order; empty for a regression."""
        return sorted(self.y.unique()) if self.task == CLASSIFICATION else []


def dataset(
    table: pd.DataFrame,
    target: str,
    *,
    task: str = "",
    time: str | None = None,
    groups: str | None = None,
    drop: Iterable[str] = (),
    horizon: int = 0,
) -> Dataset:
    """Return the features and the target of a table.

    Parameters
    ----------
    table : pandas.DataFrame
    target : str
        The column to predict.
    task : {"classification", "regression"}, optional
        Default: by the values of the target.
    time : str, optional
        The column of times to split by. Default: the first column of dates; ``""`` for none.
    groups : str, optional
        The column of groups, whose rows stay together; it is not a feature.
    drop : iterable of str, optional
        Columns to leave out.
    horizon : int, default 0
        Steps of time between what is known and what is predicted.

    Raises
    ------
    CallerError
        A column does not exist, or no model can be trained; the message says why.
    """
    table = _named(table)
    for name in (target, *filter(None, (time, groups)), *drop):
        _require_column(table, name)
    if task and task not in TASKS:
        raise CallerError(f"task must be one of {', '.join(TASKS)}, not {task!r}.")
    problem = target_problem(table, target, task)
    if problem is not None:
        raise CallerError(problem.message)
    task = task or guess_task(table[target])
    notes: list[DataFinding] = []
    table = _with_target(table, target, task, notes)
    column = time if time is not None else find_times(table, target)
    if column:
        table = _in_order(table, column, notes)
    x = table.drop(columns=list({target, *drop, *filter(None, (groups,))}))
    if x.empty:
        raise CallerError("The table has no column besides the target to predict it from.")
    return Dataset(
        x,
        _target_values(table[target], task),
        target,
        task,
        as_dates(table[column]) if column else None,
        table[groups] if groups else None,
        horizon,
        tuple(notes),
    )


def guess_task(values: pd.Series) -> str:
    """Return whether a target has classes or numbers."""
    if kinds.is_bool_dtype(values) or kind_of(values) != "number":
        return CLASSIFICATION
    numbers = as_numbers(values).dropna()
    whole = bool((numbers == numbers.round()).all())
    return CLASSIFICATION if whole and numbers.nunique() <= FEW_VALUES else REGRESSION


def find_times(table: pd.DataFrame, target: str) -> str:
    """Return the first column of dates besides the target, or an empty text."""
    names = (name for name in table.columns if name != target)
    return next((name for name in names if kind_of(table[name]) == DATE), "")


def target_problem(table: pd.DataFrame, target: str, task: str = "") -> DataFinding | None:
    """Return why no model can be trained for a target, if so."""
    if len(table) < MIN_ROWS:
        return _error(
            "empty", f"The table has {_rows(len(table))}; {MIN_ROWS} are needed at least."
        )
    values = table[target].dropna()
    if len(values) < MIN_ROWS:
        return _error(
            "target_missing",
            f"The target {target!r} has {len(values)} values; {MIN_ROWS} are needed at least.",
            target,
        )
    different = count_different(values)
    task = task or guess_task(values)
    if different == 1:
        what = "one class" if task == CLASSIFICATION else "one value"
        return _error(
            "constant_target",
            f"The target {target!r} has only {what}: {_short(values.iloc[0])}. There is nothing to "
            "learn; choose another target.",
            target,
        )
    if task == REGRESSION:
        return _regression_problem(values, target)
    return _class_problem(values, target, different)


def _regression_problem(values: pd.Series, target: str) -> DataFinding | None:
    numbers = as_numbers(values)
    wrong = values[numbers.isna()]
    if wrong.empty:
        return None
    message = (
        f"The target {target!r} must have finite numbers, but {len(wrong)} of {len(values)} "
        f"values are not, such as {_short(wrong.iloc[0])}."
    )
    return _error("mixed_target", message, target)


def _class_problem(values: pd.Series, target: str, different: int) -> DataFinding | None:
    if different > MAX_CLASSES:
        return _error(
            "too_many_classes",
            f"The target {target!r} has {different:,} classes in {len(values):,} rows; at most "
            f"{MAX_CLASSES} are allowed. Choose another target, or one with numbers.",
            target,
        )
    counts = values.astype(object).map(str).value_counts()
    if (counts >= RARE).sum() < 2:
        return _error(
            "rare_classes",
            f"The target {target!r} has fewer than two classes with {RARE} rows or more.",
            target,
        )
    return None


def _with_target(
    table: pd.DataFrame, target: str, task: str, notes: list[DataFinding]
) -> pd.DataFrame:
    """Return the rows that have a target that can be learned."""
    missing = table[target].isna()
    if missing.any():
        message = f"{_rows(int(missing.sum()))} without {target!r} are left out."
        notes.append(DataFinding("target_missing", message, target))
        table = table[~missing]
    if task == CLASSIFICATION:
        counts = table[target].astype(object).map(str).value_counts()
        rare = sorted(counts.index[counts < RARE])
        if rare:
            names = ", ".join(map(repr, rare[:5])) + (" ..." if len(rare) > 5 else "")
            message = f"Classes with fewer than {RARE} rows are left out: {names}."
            notes.append(DataFinding("rare_classes", message, target))
            table = table[~table[target].astype(object).map(str).isin(rare)]
    return table.reset_index(drop=True)


def _in_order(table: pd.DataFrame, column: str, notes: list[DataFinding]) -> pd.DataFrame:
    """Return the rows that have a time, by time."""
    times = as_dates(table[column])
    missing = int(times.isna().sum())
    if missing > len(table) - MIN_ROWS:
        raise CallerError(f"The column {column!r} has too few times to split by.")
    if missing:
        message = f"{_rows(missing)} without a time in {column!r} are left out."
        notes.append(DataFinding("time_missing", message, column))
    order = times.dropna().sort_values(kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _target_values(values: pd.Series, task: str) -> pd.Series:
    if task == REGRESSION:
        return as_numbers(values)
    return values.astype(object).map(_class_name).astype("str")


def _class_name(value: object) -> str:
    """Return the name of a class; whole numbers are written without a fraction."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns have unique names."""
    table = table.rename(columns=str)
    twice = sorted(set(table.columns[table.columns.duplicated()]))
    if twice:
        raise CallerError(f"The table has two columns named {twice[0]!r}. Rename one of them.")
    return table


def _require_column(table: pd.DataFrame, name: str) -> None:
    if name not in table.columns:
        names = ", ".join(map(repr, table.columns[:20]))
        raise CallerError(f"The table has no column {name!r}. Columns: {names or 'none'}.")


def _error(code: str, message: str, column: str = "") -> DataFinding:
    return DataFinding(code, message, column, ERROR)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _short(value: object) -> str:
    return repr(str(value)[:40])
