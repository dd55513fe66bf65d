"""The columns of a table as numbers and categories, as a step of a scikit-learn pipeline.

This module imports pandas and scikit-learn.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types as kinds
from sklearn.base import BaseEstimator, TransformerMixin

from easymlnb.contract.errors import CallerError

NUMBER, DATE, CATEGORY = "number", "date", "category"

CONVERTED = 0.95
"""Share of texts that must be numbers, or dates, for a column to be one of those."""

SAMPLE = 10_000
"""Values of a column by which its kind is found."""

PARTS = ("year", "month", "day", "day_of_week", "hour")
"""What a date may become, besides the days since 1970."""


def kind_of(values: pd.Series) -> str:
    """Return whether a column has numbers, dates or categories."""
    if kinds.is_datetime64_any_dtype(values):
        return DATE
    if kinds.is_numeric_dtype(values) or kinds.is_timedelta64_dtype(values):
        return NUMBER
    found = values.dropna()
    if found.empty:
        return NUMBER
    found = found.iloc[:: max(1, len(found) // SAMPLE)]
    if pd.to_numeric(found.astype(object), errors="coerce").notna().mean() >= CONVERTED:
        return NUMBER
    dates = as_dates(found)
    return DATE if dates.notna().mean() >= CONVERTED else CATEGORY


def count_different(values: pd.Series) -> int:
    """Return the number of different values that are not missing."""
    try:
        return int(values.nunique())
    except TypeError:  # lists and the like
        return int(values.dropna().astype(object).map(str).nunique())


def as_dates(values: pd.Series) -> pd.Series:
    """Return dates without a time zone; what is no date is missing."""
    if not kinds.is_datetime64_any_dtype(values):
        texts = values.astype(object).map(lambda one: None if isinstance(one, int | float) else one)
        values = pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=True)
    if values.dt.tz is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    return values


def as_numbers(values: pd.Series) -> pd.Series:
    """Return floats; what is no number, and what is infinite, is missing."""
    if kinds.is_timedelta64_dtype(values):
        seconds: pd.Series = values.dt.total_seconds()
        return seconds
    numbers = pd.to_numeric(values.astype(object), errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


class TableColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn is untyped
    """Make a table of numbers and texts: dates become their parts, categories texts.

    It learns the columns and their kinds, and later checks that a table has them. Columns that it
    does not know are ignored.
    """

    def fit(self, x: pd.DataFrame, y: Any = None) -> "TableColumns":
        """Learn the columns of ``x`` and their kinds."""
        self.kinds_ = {str(name): kind_of(x[name]) for name in x.columns}
        self.mixed_ = [
            str(name)
            for name in x.columns
            if self.kinds_[str(name)] == NUMBER and _first_text(x[name]) is not None
        ]
        self.parts_ = {
            name: turning_parts(as_dates(x[name]))
            for name, kind in self.kinds_.items()
            if kind == DATE
        }
        self.feature_names_in_ = np.array(list(self.kinds_), dtype=object)
        return self

    def transform(self, x: pd.DataFrame) -> pd.DataFrame:
        """Return the numbers and texts; raises ``CallerError`` if a column is missing."""
        table = x.rename(columns=str)
        missing = [name for name in self.kinds_ if name not in table.columns]
        if missing:
            raise CallerError(_missing_columns(missing, self.kinds_))
        made: dict[str, pd.Series] = {}
        for name, kind in self.kinds_.items():
            made |= self._parts(name, kind, table[name])
        return pd.DataFrame(made, index=table.index)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that ``transform`` makes."""
        empty = pd.DataFrame({name: pd.Series(dtype=object) for name in self.kinds_})
        return np.array(self.transform(empty).columns, dtype=object)

    def _parts(self, name: str, kind: str, values: pd.Series) -> dict[str, pd.Series]:
        if kind == NUMBER:
            text = None if name in self.mixed_ else _first_text(values)
            if text is not None:
                raise CallerError(f"The column {name!r} must have numbers, not {text[:40]!r}.")
            return {name: as_numbers(values)}
        if kind == DATE:
            dates = as_dates(values)
            days = (dates - pd.Timestamp(0)).dt.total_seconds() / 86400
            used = getattr(self, "parts_", {}).get(name, PARTS)  # older models lack it
            parts = {f"{name} {part}": getattr(dates.dt, part).astype("float64") for part in used}
            return parts | {f"{name} days": days}
        return {name: _as_texts(values)}


def turning_parts(dates: pd.Series) -> list[str]:
    """Return the parts of dates that have begun again at least once.

    Within one year, month and days say the same. A linear model may then give both large weights
    that cancel each other, until the month jumps back to January: predictions for the next year
    would be far off. The same holds for the days of one month, and so on.
    """
    known = dates.dropna()
    days = known.dt.normalize()
    turned = {
        "year": known.dt.year.nunique() > 1,
        "month": known.dt.year.nunique() > 1,
        "day": known.dt.to_period("M").nunique() > 1,
        "day_of_week": known.dt.to_period("W").nunique() > 1,
        "hour": days.nunique() > 1,
    }
    return [part for part in PARTS if turned[part]]


def _as_texts(values: pd.Series) -> pd.Series:
    """Return the texts of categories; missing ones are empty texts."""
    return (
        values.astype(object).map(str, na_action="ignore").where(values.notna(), "").astype("str")
    )


def _first_text(values: pd.Series) -> str | None:
    """Return the first value that is neither a number nor missing."""
    if kinds.is_numeric_dtype(values) or kinds.is_timedelta64_dtype(values):
        return None
    found = values.dropna()
    wrong = found[pd.to_numeric(found.astype(object), errors="coerce").isna()]
    return None if wrong.empty else str(wrong.iloc[0])


def _missing_columns(missing: list[str], known: Iterable[str]) -> str:
    names = ", ".join(map(repr, missing[:5])) + (" ..." if len(missing) > 5 else "")
    word = "column" if len(missing) == 1 else "columns"
    return f"The table lacks the {word} {names}. The model needs: {', '.join(known)}."
