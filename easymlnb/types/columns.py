"""What the columns of a table must hold, and saying which one does not."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "any": "anything",
    "int": "whole numbers",
    "float": "numbers",
    "str": "text",
    "bool": "true or false",
    "datetime": "dates or times",
}
"""Kinds of columns and how a sentence calls them."""

TRUTHS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def check(frame: "pd.DataFrame", columns: Mapping[str, str]) -> "pd.DataFrame":
    """Return the table with its columns converted; raises ``ValueError`` naming what is wrong."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        there = ", ".join(map(str, frame.columns[:20])) or "none"
        which = (
            f"column {missing[0]} is" if len(missing) == 1 else f"columns {', '.join(missing)} are"
        )
        raise ValueError(f"The {which} missing; the table has: {there}.")
    converted = {
        name: convert(frame[name], kind) for name, kind in columns.items() if kind != "any"
    }
    return frame.assign(**converted) if converted else frame


def convert(column: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    """Return a column as its kind; missing values stay missing."""
    found = _READERS[kind](column)
    lost = (found.isna() & column.notna()).to_numpy()
    if lost.any():
        row = int(lost.argmax())
        shown = str(column.iloc[row])[:40]
        raise ValueError(
            f"Column {column.name!r} must hold {KINDS[kind]}; row {row + 1} has {shown!r}."
        )
    return found


def _float(column: "pd.Series[Any]") -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return column.map(lambda _: None)
    return pd.to_numeric(column, errors="coerce").astype("float64")


def _int(column: "pd.Series[Any]") -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_integer_dtype(column.dtype):
        return column
    found = _float(column)
    whole = found.where(found.isna() | (found % 1 == 0))
    # Only pandas' own integers can have missing values.
    return whole.astype("Int64" if whole.isna().any() else "int64")


def _str(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.map(lambda cell: None if cell is None or cell != cell else str(cell)).astype(
        "str"
    )


def _bool(column: "pd.Series[Any]") -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        return column
    found = column.map(lambda cell: TRUTHS.get(str(cell).strip().lower().removesuffix(".0")))
    return found.astype("boolean" if found.isna().any() else "bool")


def _datetime(column: "pd.Series[Any]") -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    if pd.api.types.is_numeric_dtype(column):
        # A bare number may count days, seconds or nanoseconds: guessing would be wrong silently.
        return column.map(lambda _: pd.NaT)
    return pd.to_datetime(column, errors="coerce", format="ISO8601", utc=_has_zone(column))


def _has_zone(column: "pd.Series[Any]") -> bool:
    """Tell whether the texts name a zone; pandas cannot mix those that do and those that do not."""
    texts = column.dropna().astype(str)
    return bool(texts.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True).any())


_READERS = {"float": _float, "int": _int, "str": _str, "bool": _bool, "datetime": _datetime}
