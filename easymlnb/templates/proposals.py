"""What could be predicted from a table, and what kind of question that is."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from easymlnb.templates.column_kinds import ColumnKind

MAX_CLASSES = 100
"""Classes that a model may tell apart."""

FEW_VALUES = 10
"""Whole numbers with at most this many values are rather classes."""

_WORDS = ("target", "label", "class", "klasse", "price", "preis", "outcome", "result", "y")
"""Names of columns that people usually want to predict."""


class Question(StrEnum):
    """What a model answers."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    FORECAST = "forecast"  # what its template always answers


Columns = Sequence[Mapping[str, Any]]


def target(columns: Columns) -> str:
    """Return the column that a user probably wants to predict; empty if there is none."""
    possible = [column for column in columns if can_be_target(column)]
    named = [column for column in possible if str(column["name"]).strip().lower() in _WORDS]
    chosen = named or possible
    return str(chosen[-1]["name"]) if chosen else ""


def can_be_target(column: Mapping[str, Any]) -> bool:
    """Return whether a column can be predicted at all."""
    if column["kind"] == ColumnKind.NUMBER:
        return int(column["unique"]) > 1
    return (
        column["kind"] in (ColumnKind.CATEGORY, ColumnKind.BOOLEAN)
        and 1 < column["unique"] <= MAX_CLASSES
    )


def question(columns: Columns, name: str) -> str:
    """Return the question of a target; empty without one."""
    column = next((column for column in columns if column["name"] == name), None)
    if column is None:
        return ""
    if column["kind"] != ColumnKind.NUMBER:
        return Question.CLASSIFICATION.value
    few = column["unique"] <= FEW_VALUES and column.get("whole") and column["rows"] > 50
    return (Question.CLASSIFICATION if few else Question.REGRESSION).value


def time_column(columns: Columns) -> str:
    """Return the first column of dates; empty if there is none."""
    return next(
        (str(column["name"]) for column in columns if column["kind"] == ColumnKind.DATE), ""
    )
