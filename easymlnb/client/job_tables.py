"""The tables of batches and sweeps."""

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

KINDS = ("batch", "sweep")
"""The kinds of jobs whose results are tables."""

ERRORS = "errors.csv"
"""The file of a batch with the rows that failed."""


def trial_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each trial of a sweep: its parameters, state, result and error."""
    rows = []
    for one in document["trials"]:
        row = {"trial": one["item"], **one["parameters"], "state": one["state"]}
        found = one["result"] if isinstance(one["result"], dict) else {"result": one["result"]}
        row |= {name if name not in row else f"result_{name}": found[name] for name in found}
        row["error"] = one["error"]["message"] if one["error"] else None
        rows.append({**row, "seconds": one["seconds"], "job": one["job"]})
    return rows


def error_table(data: bytes) -> Any:
    """Return the rows of a batch that failed as a table; ``data`` is their file, or empty."""
    rows = [{**row, "row": int(row["row"])} for row in csv.DictReader(io.StringIO(data.decode()))]
    return as_table(rows, ("row", "code", "message"))


def as_table(rows: list[dict[str, Any]], columns: Sequence[str] = ()) -> Any:
    """Return a DataFrame, or the rows themselves without pandas."""
    if not find_spec("pandas"):
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns) if columns and not rows else None)
