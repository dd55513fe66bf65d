"""The kinds of columns: find them in a table, and convert cells to them, always in the same way."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from easymlnb.types import column_inference

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 50
"""Values of a text column up to which it is a category in any case."""

CATEGORY_SHARE = 0.2
"""Different values per row up to which a text column is a category."""

MOSTLY = 0.9
"""The share of cells that must fit a kind which the other cells do not have."""

_TRUE = frozenset({"true", "yes", "y", "ja", "wahr", "on", "1", "1.0"})
_FALSE = frozenset({"false", "no", "n", "nein", "falsch", "off", "0", "0.0"})

_ISO = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
)
_DAYS = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)(?:,? (\d{1,2}:\d\d)(:\d\d)?)?")


class ColumnKind(StrEnum):
    """What the cells of a column are."""

    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    DATE = "date"
    TEXT = "text"
    EMPTY = "empty"


USED = frozenset({ColumnKind.NUMBER, ColumnKind.CATEGORY, ColumnKind.BOOLEAN, ColumnKind.DATE})
"""Kinds of columns from which a model can learn."""


def infer(column: "pd.Series[Any]", dates: str = "") -> ColumnKind:
    """Return the kind of a column."""
    known = column.dropna()
    if known.empty:
        return ColumnKind.EMPTY
    if known.dtype.kind == "M":
        return ColumnKind.DATE
    if known.dtype.kind == "b" or known.dtype.name == "boolean":
        return ColumnKind.BOOLEAN
    if known.dtype.kind in "iuf":
        return ColumnKind.NUMBER
    texts = known.astype(str)
    if texts.str.strip().isin({"", *column_inference.MISSING}).all():
        return ColumnKind.EMPTY
    if date_order(texts.tolist(), dates) is not None:
        return ColumnKind.DATE
    if _share_of_numbers(texts) >= MOSTLY:
        return ColumnKind.NUMBER
    different = texts.nunique()
    few = different <= MAX_CATEGORIES and different < max(2, len(texts))
    return (
        ColumnKind.CATEGORY if few or different <= CATEGORY_SHARE * len(texts) else ColumnKind.TEXT
    )


def _share_of_numbers(texts: "pd.Series[str]") -> float:
    numbers = sum(
        column_inference.number(cell, ".") is not None
        or column_inference.number(cell, ",") is not None
        for cell in texts.head(10_000)
    )
    return numbers / min(len(texts), 10_000)


def date_order(texts: Sequence[str], given: str = "") -> str | None:
    """Return how all of the texts are dates: ``iso``, ``day`` or ``month`` first; else ``None``.

    ``given`` decides where both orders are possible; without it, dots mean that the day is first.
    """
    cells = [text.strip() for text in texts if text.strip()]
    if not cells:
        return None
    if all(map(_ISO.fullmatch, cells)):
        return "iso"
    found = [_DAYS.fullmatch(cell) for cell in cells]
    if not all(found):
        return None
    first = max(int(match[1]) for match in found if match)
    second = max(int(match[3]) for match in found if match)
    if first > 31 or second > 31 or (first > 12 and second > 12):
        return None
    if first > 12 or second > 12:
        return "day" if first > 12 else "month"
    dots = all(match[2] == "." for match in found if match)
    return given or ("day" if dots else "month")


def is_ambiguous(texts: Sequence[str]) -> bool:
    """Return whether texts are dates in which day and month could be swapped."""
    return date_order(texts, "day") == "day" and date_order(texts, "month") == "month"


def convert(
    frame: "pd.DataFrame", kinds: Mapping[str, str], decimal: str = ".", dates: str = ""
) -> "pd.DataFrame":
    """Return the columns of ``kinds`` with the types of their kinds; other cells are missing."""
    import pandas as pd

    columns = {
        name: _converted(frame[name], ColumnKind(kind), decimal, dates)
        for name, kind in kinds.items()
    }
    return pd.DataFrame(columns, index=frame.index)


def _converted(
    column: "pd.Series[Any]", kind: ColumnKind, decimal: str, dates: str
) -> "pd.Series[Any]":
    import pandas as pd

    if kind is ColumnKind.NUMBER:
        return to_numbers(column, decimal)
    if kind is ColumnKind.DATE:
        return to_dates(column, dates)
    if kind is ColumnKind.BOOLEAN:
        return column.map(_boolean, na_action="ignore").astype("float64")
    if kind is ColumnKind.EMPTY:
        return pd.Series(None, index=column.index, dtype="object")
    return column.map(category, na_action="ignore").astype("object")


def to_numbers(column: "pd.Series[Any]", decimal: str = ".") -> "pd.Series[Any]":
    """Return a column as floats; cells that are not numbers are missing."""
    if column.dtype.kind in "iufb":
        return column.astype("float64")
    return column.map(lambda cell: _number(cell, decimal)).astype("float64")


def _number(cell: Any, decimal: str) -> float:
    if isinstance(cell, bool | int | float):
        try:
            return float(cell)
        except OverflowError:
            return float("nan")
    if not isinstance(cell, str):
        return float("nan")
    other = "," if decimal == "." else "."
    text = cell.strip().replace(" ", "").replace("\u00a0", "").replace("'", "")
    if re.fullmatch(rf"[+-]?[1-9]\d{{0,2}}(?:\{other}\d{{3}})+(?:\{decimal}\d+)?", text):
        text = text.replace(other, "")
    value = column_inference.number(text, decimal)
    return float("nan") if value is None else value


def not_numbers(column: "pd.Series[Any]", decimal: str = ".") -> list[str]:
    """Return cells that are neither missing nor numbers."""
    if column.dtype.kind in "iufb":
        return []
    texts = column.dropna().astype(str)
    known = texts[~texts.str.strip().isin({"", *column_inference.MISSING})]
    return [str(cell) for cell in known[to_numbers(known, decimal).isna()].tolist()]


def looks_like_date(text: str) -> bool:
    """Return whether a text is a date in one of the formats that are read."""
    return bool(_ISO.fullmatch(text) or _DAYS.fullmatch(text))


def not_dates(column: "pd.Series[Any]", found: "pd.Series[Any]") -> list[str]:
    """Return cells that are neither missing nor dates; ``found`` are the dates."""
    texts = column[found.isna()].dropna().astype(str)
    return [cell for cell in texts.tolist() if cell.strip() not in {"", *column_inference.MISSING}]


def has_mixed_dates(column: "pd.Series[Any]") -> bool:
    """Return whether most cells are dates, but in more than one format."""
    texts = column.dropna().astype(str).head(10_000)
    return len(texts) > 0 and texts.map(looks_like_date).mean() >= MOSTLY


def to_dates(column: "pd.Series[Any]", dates: str = "") -> "pd.Series[Any]":
    """Return a column as times without a zone; cells that are not dates are missing."""
    import pandas as pd

    if column.dtype.kind == "M":
        found = pd.to_datetime(column, utc=True)
    else:
        texts = column.map(lambda cell: cell.strip() if isinstance(cell, str) else None)
        known = [text for text in texts.tolist() if text]
        order = dates if dates and date_order(known) != "iso" else date_order(known) or "iso"
        form = "ISO8601" if order == "iso" else "mixed"
        found = pd.to_datetime(
            texts, format=form, dayfirst=order == "day", errors="coerce", utc=True
        )
    found = found.dt.tz_localize(None)
    return found.where(found.between(pd.Timestamp.min, pd.Timestamp.max)).astype("datetime64[ns]")


def _boolean(cell: Any) -> float | None:
    word = str(cell).strip().lower()
    return 1.0 if word in _TRUE else 0.0 if word in _FALSE else None


def category(cell: Any) -> str:
    """Return a cell as the name of a category; whole numbers have no fraction."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
