"""Check and convert the columns of a table."""

import re
from collections.abc import Callable, Iterable, Mapping
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
"""Kinds of columns, and their description in messages."""

BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def check_columns(frame: "pd.DataFrame", columns: Mapping[str, str]) -> "pd.DataFrame":
    """Return the table with its columns converted; raises ``ValueError`` naming the column."""
    require(frame, columns)
    converted = {
        name: convert(frame[name], kind) for name, kind in columns.items() if kind != "any"
    }
    if converted:
        frame = frame.copy(deep=False)
        for name, column in converted.items():
            frame[name] = column
    return frame


def require(frame: "pd.DataFrame", columns: Iterable[str]) -> None:
    """Raise ``ValueError`` if columns are missing."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        names = ", ".join(map(str, frame.columns[:20])) or "none"
        plural, verb = ("s", "are") if len(missing) > 1 else ("", "is")
        raise ValueError(
            f"The column{plural} {', '.join(missing)} {verb} missing; the table has: {names}."
        )


def convert(
    column: "pd.Series[Any]", kind: str, decimal: str = ".", zone: str | None = None
) -> "pd.Series[Any]":
    """Convert a column; missing values stay missing.

    ``decimal`` is the decimal sign of numbers in texts, ``zone`` the time zone of times without
    offset. Raises ``ValueError`` with the first row that cannot be converted.
    """
    converted = to_times(column, zone) if kind == "datetime" else _READERS[kind](column, decimal)
    lost = (converted.isna() & column.notna()).to_numpy()
    if lost.any():
        row = int(lost.argmax())
        shown = str(column.iloc[row])[:40]
        raise ValueError(
            f"Column {column.name!r} must contain {KINDS[kind]}; row {row + 1} has "
            f"{shown!r}.{_decimal_advice(shown, kind, decimal)}"
        )
    return converted


def _decimal_advice(shown: str, kind: str, decimal: str) -> str:
    """Return advice for a number with another decimal sign or with thousands separators."""
    digits = re.fullmatch(r"[+-]?[0-9.,' ]*[0-9]", shown.strip())
    if (
        kind not in ("int", "float")
        or not digits
        or column_inference.number(shown, decimal) is not None
    ):
        return ""
    sign = "point" if decimal == "." else "comma"
    return f" Write numbers with a decimal {sign} and without thousands separators."


def _convert_cells(
    column: "pd.Series[Any]", read: Callable[[Any], Any], dtype: Any, nullable_dtype: Any
) -> "pd.Series[Any]":
    """Apply ``read`` to the cells; ``nullable_dtype`` is for missing cells."""
    import pandas as pd

    cells = [None if cell is None else read(cell) for cell in column_inference.to_list(column)]
    kind = nullable_dtype if any(cell is None for cell in cells) else dtype
    return pd.Series(cells, index=column.index, name=column.name, dtype=kind)


def _float(column: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return pd.to_numeric(column).astype("float64")
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.map(lambda _: None)
    return _convert_cells(column, lambda cell: _as_number(cell, decimal), "float64", "float64")


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
        exact = (column % 1 == 0) & (column.abs() <= column_inference.MAX_EXACT)
        whole = column.where(exact)
        # Only pandas' own integers can have missing values.
        return whole.astype("Int64" if whole.isna().any() else "int64")
    return _convert_cells(column, lambda cell: _as_whole(cell, decimal), "int64", "Int64")


def _as_whole(cell: Any, decimal: str) -> int | None:
    if isinstance(cell, str) and re.fullmatch(r"\s*[+-]?[0-9]+\s*", cell, re.ASCII):
        whole = int(cell) if len(cell) < 50 else 2**63
    elif isinstance(cell, int):
        whole = int(cell)
    else:
        number = _as_number(cell, decimal)
        if number is None or not number.is_integer() or abs(number) > column_inference.MAX_EXACT:
            return None
        whole = int(number)
    return whole if -(2**63) <= whole < 2**63 else None


def _str(column: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    import pandas as pd

    kind = column_inference.text_type()
    if kind != "object" and column.dtype == kind:
        return column
    return _convert_cells(column, str, kind, kind) if len(column) else pd.Series(column, dtype=kind)


def _bool(column: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column
    return _convert_cells(
        column,
        lambda cell: BOOLEANS.get(str(cell).strip().lower().removesuffix(".0")),
        "bool",
        "boolean",
    )


def to_times(column: "pd.Series[Any]", zone: str | None = None) -> "pd.Series[Any]":
    """Return a column of times; other cells become ``NaT``.

    Times with an offset are converted to ``zone``, others are taken as in it. Without ``zone``,
    either all times have an offset, and become UTC, or none has one.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        # The unit of a bare number is unknown: days, seconds or nanoseconds.
        return column.map(lambda _: pd.NaT)
    if not pd.api.types.is_datetime64_any_dtype(column):
        cells = map(_time_text, column_inference.to_list(column))
        texts = pd.Series(list(cells), name=column.name, dtype="object")
        parsed: pd.Series[Any] = _from_texts(texts, zone).set_axis(column.index)
        return parsed
    return column if zone is None else _in_zone(column, zone)


def _time_text(cell: Any) -> str | None:
    """Return the text to parse; of bare numbers, only dates without dashes are times."""
    text = "" if cell is None else str(cell).strip()
    return None if not text or (text.isdigit() and len(text) != len("20250131")) else text


def _from_texts(texts: "pd.Series[Any]", zone: str | None) -> "pd.Series[Any]":
    import pandas as pd

    fixed = pd.Series([bool(text and _OFFSET.search(text)) for text in texts], dtype="bool")
    if fixed.all() or not fixed.any():
        same = _parsed(texts, utc=bool(fixed.any()))
        return same if zone is None else _in_zone(same, zone)
    # pandas cannot parse both in one column.
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

    times: pd.Series[Any] = pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=utc)
    return times


def _in_zone(column: "pd.Series[Any]", zone: str) -> "pd.Series[Any]":
    if column.dt.tz is None:
        return _localized(column, zone)
    times: pd.Series[Any] = column.dt.tz_convert(zone)
    return times


def _localized(column: "pd.Series[Any]", zone: str) -> "pd.Series[Any]":
    """Set the zone of times; raises ``ValueError`` for a time in a clock change."""
    times: pd.Series[Any] = column.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    lost = (times.isna() & column.notna()).to_numpy()
    if lost.any():
        time = column.iloc[int(lost.argmax())].isoformat()
        raise ValueError(
            f"The time {time} is ambiguous or does not exist in {zone}; "
            "send it with its offset, such as 2025-10-26T02:00:00+02:00."
        )
    return times


_OFFSET = re.compile(r"[Tt ]\s*\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$")
_READERS = {"float": _float, "int": _int, "str": _str, "bool": _bool}
