"""What the columns of a table must hold, and saying which one does not."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from easymlnb.types import column_inference

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


def check_columns(frame: "pd.DataFrame", columns: Mapping[str, str]) -> "pd.DataFrame":
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
    if converted:
        frame = frame.copy(deep=False)
        for name, column in converted.items():
            frame[name] = column
    return frame


def convert(
    column: "pd.Series[Any]", kind: str, decimal: str = ".", zone: str | None = None
) -> "pd.Series[Any]":
    """Return a column as its kind; missing values stay missing.

    ``decimal`` is the decimal sign of numbers that are texts, ``zone`` that of times without one.
    """
    found = to_times(column, zone) if kind == "datetime" else _READERS[kind](column, decimal)
    lost = (found.isna() & column.notna()).to_numpy()
    if lost.any():
        row = int(lost.argmax())
        shown = str(column.iloc[row])[:40]
        raise ValueError(
            f"Column {column.name!r} must contain {KINDS[kind]}; row {row + 1} has "
            f"{shown!r}.{_advice(shown, kind, decimal)}"
        )
    return found


def _advice(shown: str, kind: str, decimal: str) -> str:
    """Return what to do about a number that is written in another country's way."""
    digits = re.fullmatch(r"[+-]?[0-9.,' ]*[0-9]", shown.strip())
    if (
        kind not in ("int", "float")
        or not digits
        or column_inference.number(shown, decimal) is not None
    ):
        return ""
    sign = "point" if decimal == "." else "comma"
    return f" Write numbers with a decimal {sign} and without thousands separators."


def _by_cell(
    column: "pd.Series[Any]", read: Callable[[Any], Any], plain: Any, gapped: Any
) -> "pd.Series[Any]":
    """Return what ``read`` makes of each cell that is not missing, in one of two types."""
    import pandas as pd

    found = [None if cell is None else read(cell) for cell in column_inference.to_list(column)]
    kind = gapped if any(cell is None for cell in found) else plain
    return pd.Series(found, index=column.index, name=column.name, dtype=kind)


def _float(column: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return pd.to_numeric(column).astype("float64")
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.map(lambda _: None)
    return _by_cell(column, lambda cell: _as_number(cell, decimal), "float64", "float64")


def _as_number(cell: Any, decimal: str) -> float | None:
    if isinstance(cell, str):
        return column_inference.number(cell, decimal)
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def _int(column: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_integer_dtype(column.dtype):
        return column
    if pd.api.types.is_float_dtype(column.dtype):
        exact = (column % 1 == 0) & (column.abs() <= column_inference.EXACT)
        whole = column.where(exact)
        # Only pandas' own integers can have missing values.
        return whole.astype("Int64" if whole.isna().any() else "int64")
    return _by_cell(column, lambda cell: _as_whole(cell, decimal), "int64", "Int64")


def _as_whole(cell: Any, decimal: str) -> int | None:
    if isinstance(cell, str) and re.fullmatch(r"\s*[+-]?[0-9]+\s*", cell, re.ASCII):
        found = int(cell) if len(cell) < 50 else 2**63
    elif isinstance(cell, int):
        found = int(cell)
    else:
        number = _as_number(cell, decimal)
        if number is None or not number.is_integer() or abs(number) > column_inference.EXACT:
            return None
        found = int(number)
    return found if -(2**63) <= found < 2**63 else None


def _str(column: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    import pandas as pd

    kind = column_inference.text_type()
    if kind != "object" and column.dtype == kind:
        return column
    return _by_cell(column, str, kind, kind) if len(column) else pd.Series(column, dtype=kind)


def _bool(column: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column
    return _by_cell(
        column,
        lambda cell: TRUTHS.get(str(cell).strip().lower().removesuffix(".0")),
        "bool",
        "boolean",
    )


def to_times(column: "pd.Series[Any]", zone: str | None = None) -> "pd.Series[Any]":
    """Return a column of times; what is none becomes ``NaT``.

    Those with an offset are converted to ``zone``, those without are in it. Without a ``zone``
    all need an offset, and become UTC, or none may have one.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        # A bare number may count days, seconds or nanoseconds: guessing would be wrong silently.
        return column.map(lambda _: pd.NaT)
    if not pd.api.types.is_datetime64_any_dtype(column):
        cells = map(_time_text, column_inference.to_list(column))
        texts = pd.Series(list(cells), name=column.name, dtype="object")
        found: pd.Series[Any] = _from_texts(texts, zone).set_axis(column.index)
        return found
    return column if zone is None else _in_zone(column, zone)


def _time_text(cell: Any) -> str | None:
    """Return the text to parse; a date may lack its dashes, but other bare numbers are no times."""
    text = "" if cell is None else str(cell).strip()
    return None if not text or (text.isdigit() and len(text) != len("20250131")) else text


def _from_texts(texts: "pd.Series[Any]", zone: str | None) -> "pd.Series[Any]":
    import pandas as pd

    fixed = pd.Series([bool(text and _OFFSET.search(text)) for text in texts], dtype="bool")
    if fixed.all() or not fixed.any():
        same = _parsed(texts, utc=bool(fixed.any()))
        return same if zone is None else _in_zone(same, zone)
    # pandas cannot read the two together.
    bare = _parsed(texts[~fixed], utc=False)
    if zone is None and bare.notna().any():
        row = int(bare.index[bare.notna()][0])
        raise ValueError(
            f"Column {texts.name!r} mixes times with and without an offset; "
            f"row {row + 1} has {texts.iloc[row][:40]!r}."
        )
    target = zone or "UTC"
    parts = [_in_zone(_parsed(texts[fixed], utc=True), target), _in_zone(bare, target)]
    joined: pd.Series[Any] = pd.concat(parts).sort_index()
    return joined


def _parsed(texts: "pd.Series[Any]", *, utc: bool) -> "pd.Series[Any]":
    import pandas as pd

    found: pd.Series[Any] = pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=utc)
    return found


def _in_zone(column: "pd.Series[Any]", zone: str) -> "pd.Series[Any]":
    if column.dt.tz is None:
        return _localized(column, zone)
    found: pd.Series[Any] = column.dt.tz_convert(zone)
    return found


def _localized(column: "pd.Series[Any]", zone: str) -> "pd.Series[Any]":
    """Return times without a zone as times in it; raise ``ValueError`` at a clock change."""
    found: pd.Series[Any] = column.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    lost = (found.isna() & column.notna()).to_numpy()
    if lost.any():
        # A clock that is put back shows an hour twice, one put forward leaves one out.
        time = column.iloc[int(lost.argmax())].isoformat()
        raise ValueError(
            f"The time {time} is ambiguous or does not exist in {zone}; "
            "send it with its offset, such as 2025-10-26T02:00:00+02:00."
        )
    return found


_OFFSET = re.compile(r"[Tt ]\s*\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$")
_READERS = {"float": _float, "int": _int, "str": _str, "bool": _bool}
