"""The inputs of a model: learned from its data, then checked in every row to predict.

A row with a missing column or no readable number is an error that names the row, the column and
what to send. A new category or a value far outside of the data is predicted with a warning.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import CallerError
from easymlnb.templates import column_kinds
from easymlnb.templates.column_kinds import ColumnKind

if TYPE_CHECKING:
    import pandas as pd

MAX_CHOICES = 200
"""Values of a category that a signature lists."""

FAR = 3.0
"""Times the range of the data that a number may be outside of it without a warning."""

MAX_WARNINGS = 100

Signature = dict[str, Any]

_TYPES = {ColumnKind.NUMBER: "double", ColumnKind.BOOLEAN: "boolean", ColumnKind.DATE: "datetime"}


def learn(frame: "pd.DataFrame", kinds: Mapping[str, str], target: str, question: str) -> Signature:
    """Return the signature of a model for converted columns; ``target`` is its output."""
    inputs = [
        _input(frame[name], ColumnKind(kind))
        for name, kind in kinds.items()
        if name != target and kind in column_kinds.USED
    ]
    classes = question == "classification"
    return {
        "inputs": inputs,
        "outputs": [{"name": target, "type": "string" if classes else "double"}],
        "question": question,
    }


def _input(column: "pd.Series[Any]", kind: ColumnKind) -> dict[str, Any]:
    import numpy as np

    known = column.dropna()
    about: dict[str, Any] = {
        "name": str(column.name),
        "type": _TYPES.get(kind, "string"),
        "kind": kind.value,
        "required": len(known) == len(column),
    }
    if known.empty:
        return about
    if kind is ColumnKind.NUMBER:
        finite = known[np.isfinite(known)]
        if finite.empty:
            return about
        whole = bool((finite == finite.round()).all())
        low, high = float(finite.min()), float(finite.max())
        middle = float(finite.quantile(0.5, "lower"))
        return about | {"min": low, "max": high, "example": middle, "whole": whole}
    if kind is ColumnKind.DATE:
        low, high = known.min().isoformat(), known.max().isoformat()
        return about | {"min": low, "max": high, "example": high}
    if kind is ColumnKind.BOOLEAN:
        return about | {"example": bool(known.iloc[0])}
    values = known.value_counts()
    listed = sorted(map(str, values.index[:MAX_CHOICES]))
    return about | {
        "choices": listed,
        "complete": len(values) <= MAX_CHOICES,
        "example": str(values.index[0]),
    }


def prepare(
    rows: Sequence[Any], signature: Signature, decimal: str = ".", dates: str = ""
) -> "tuple[pd.DataFrame, list[dict[str, Any]]]":
    """Return rows as converted columns, with warnings; raises ``CallerError``."""
    import pandas as pd

    inputs = signature["inputs"]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise CallerError(f"Row {number} must be an object with a value for each column.")
        _check_columns(number, row, inputs)
    names = [column["name"] for column in inputs]
    table = pd.DataFrame([[row.get(name) for name in names] for row in rows], columns=names)
    table = table.astype("object")
    kinds = {column["name"]: column["kind"] for column in inputs}
    frame = column_kinds.convert(table, kinds, decimal, dates)
    warnings: list[dict[str, Any]] = []
    for column in inputs:
        _check_values(column, table[column["name"]], frame[column["name"]], warnings)
    return frame, warnings[:MAX_WARNINGS]


def _check_columns(number: int, row: Mapping[str, Any], inputs: Sequence[dict[str, Any]]) -> None:
    missing = [repr(column["name"]) for column in inputs if column["name"] not in row]
    if not missing:
        return
    word = "column" if len(missing) == 1 else "columns"
    more = "" if len(missing) <= 5 else f" and {len(missing) - 5} more"
    names = ", ".join(column["name"] for column in inputs[:30])
    raise CallerError(
        f"Row {number} lacks the {word} {', '.join(missing[:5])}{more}. The model needs: {names}. "
        "Send null for an unknown value."
    )


def _check_values(
    column: Mapping[str, Any],
    given: "pd.Series[Any]",
    found: "pd.Series[Any]",
    warnings: list[dict[str, Any]],
) -> None:
    name, kind = column["name"], column["kind"]

    def warn(row: int, message: str) -> None:
        warnings.append({"row": row, "column": name, "message": message})

    for row, (cell, value) in enumerate(zip(given.tolist(), found.tolist(), strict=True), 1):
        unknown = value is None or value != value
        if unknown and _is_blank(cell):
            if column["required"]:
                warn(row, f"{name!r} is missing, which never was the case in the training data.")
        elif unknown:
            example = f" An example is {column['example']!r}." if "example" in column else ""
            raise CallerError(
                f"Row {row}: {str(cell)[:40]!r} in the column {name!r} is not a "
                f"{_word(kind)}.{example}"
            )
        elif kind == ColumnKind.NUMBER and (problem := _far(column, float(value))):
            warn(row, problem)
        elif (
            kind == ColumnKind.CATEGORY
            and column.get("complete")
            and value not in column["choices"]
        ):
            shown = ", ".join(column["choices"][:10])
            warn(row, f"{name!r} has the new value {value!r}; the model knows: {shown}.")


def _is_blank(cell: Any) -> bool:
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def _word(kind: str) -> str:
    return {"number": "number", "date": "date", "boolean": "yes or no"}.get(kind, "value")


def _far(column: Mapping[str, Any], value: float) -> str:
    """Return a warning about a number far outside of the data, such as one in another unit."""
    if "min" not in column:
        return ""
    low, high = column["min"], column["max"]
    margin = FAR * ((high - low) or abs(high) or 1.0)
    if low - margin <= value <= high + margin:
        return ""
    return (
        f"{column['name']!r} is {value:g}, far outside of the training data ({low:g} to {high:g}). "
        "Is it in another unit?"
    )
