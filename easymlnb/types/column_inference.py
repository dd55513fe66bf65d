"""Infer the types of columns from their cells, which are texts or JSON values.

A column gets a type only if all cells have it and none loses information: ``007``, ``+49`` and
whole numbers that would be rounded stay unchanged.
"""

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None"})
"""Words for a missing value, except in text columns."""

MAX_EXACT = 2**53
"""Floats represent all whole numbers up to this one."""

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_LONG = re.compile(r"-?[0-9]{16,}")
_BOOLEANS = {"true": True, "false": False}


def _number(point: str) -> "re.Pattern[str]":
    return re.compile(
        rf" *-?(?:(?:(?:0|[1-9][0-9]*)(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?|inf) *"
    )


_NUMBERS = {".": _number(r"\."), ",": _number(",")}
_DECLARED = {
    sign: re.compile(
        rf"[+-]?(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
        "|[+-]?inf(?:inity)?",
        re.IGNORECASE,
    )
    for sign, point in ((".", r"\."), (",", ","))
}


def to_list(column: "pd.Series[Any]") -> list[Any]:
    """Return the cells of a column, ``None`` for missing values of any kind."""
    gaps = column.isna().tolist()
    return [None if gap else cell for cell, gap in zip(column.tolist(), gaps, strict=True)]


def number(text: str, decimal: str = ".") -> float | None:
    """Parse a text in a column declared as numbers; ``None`` if it is not a number."""
    text = text.strip()
    return float(text.replace(decimal, ".")) if _DECLARED[decimal].fullmatch(text) else None


def are_numbers(texts: list[str], decimal: str) -> bool:
    """Say whether all texts are numbers, for a column that is not declared."""
    return all(map(_NUMBERS[decimal].fullmatch, texts))


def infer_from_texts(column: "pd.Series[Any]", decimal: str = ".") -> "pd.Series[Any]":
    """Infer the type of a column of texts, in which NaN is an empty cell."""
    import pandas as pd

    if column.isna().all():
        return column.astype("float64")
    cells = to_list(column)
    if set(map(type, cells)) > {bool}:
        return infer_from_json(column)  # booleans with missing values, as pandas reads them
    bare = [None if cell is None or (text := cell.strip()) in MISSING else text for cell in cells]
    known = [cell for cell in bare if cell is not None]
    values: list[Any] | None = None
    if not known:
        pass
    elif all(map(_WHOLE.fullmatch, known)):
        values = [None if cell is None else int(cell) for cell in bare]
    elif are_numbers(known, decimal):
        values = _floats(bare, decimal)
    elif all(cell.lower() in _BOOLEANS for cell in known):
        values = [None if cell is None else _BOOLEANS[cell.lower()] for cell in bare]
    if values is not None and (typed := _typed(values)) is not None:
        return pd.Series(typed, index=column.index, name=column.name)
    return column.astype(text_type())


def _floats(cells: list[str | None], decimal: str) -> list[Any] | None:
    numbers = []
    for cell in cells:
        value = math.nan if cell is None else float(cell.replace(decimal, "."))
        if cell is not None and (
            (math.isinf(value) and "inf" not in cell)
            or (_LONG.fullmatch(cell) and int(value) != int(cell))
        ):
            return None
        numbers.append(value)
    # A column with only "inf" is more likely text.
    return numbers if any(math.isfinite(value) for value in numbers) else None


def infer_from_json(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Infer the type of a column of JSON values."""
    import pandas as pd

    cells = to_list(column)
    kinds = set(map(type, cells)) - {type(None)}
    if kinds == {str}:
        return column.astype(text_type())
    typed = None
    if kinds in ({int}, {bool}):
        typed = _typed(cells)
    elif kinds and kinds <= {int, float}:
        try:
            typed = _typed([math.nan if cell is None else float(cell) for cell in cells])
        except OverflowError:
            typed = None
    return column if typed is None else pd.Series(typed, index=column.index, name=column.name)


def text_type() -> Any:
    """Return the dtype of texts: pandas' own since 3.0, ``object`` before."""
    import pandas as pd

    return pd.Series(["a"]).dtype


def _typed(values: list[Any]) -> Any:
    """Return numbers of one kind as an array, or ``None`` if no dtype can represent all.

    Whole numbers with missing values become floats, unless that would round them.
    """
    import numpy as np
    import pandas as pd

    known = [value for value in values if value is not None]
    gaps = len(known) < len(values)
    if isinstance(known[0], bool):
        return pd.array(values, "boolean") if gaps else np.array(values, "bool")
    if isinstance(known[0], float):
        return np.array(values, "float64")
    low, high = min(known), max(known)
    if gaps and low >= -MAX_EXACT and high <= MAX_EXACT:
        return np.array([math.nan if value is None else value for value in values], "float64")
    if low >= -(2**63) and high < 2**63:
        return pd.array(values, "Int64") if gaps else np.array(values, "int64")
    if low >= 0 and high < 2**64:
        return pd.array(values, "UInt64") if gaps else np.array(values, "uint64")
    return None
