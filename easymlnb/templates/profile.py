"""What a table looks like: its columns with their kinds, gaps and distributions, as plain data."""

from typing import TYPE_CHECKING, Any

from easymlnb.templates import column_kinds, proposals
from easymlnb.templates.column_kinds import ColumnKind
from easymlnb.templates.reading import Reading, with_dates
from easymlnb.types.table_encoding import to_columns

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 200_000
"""Rows that a profile reads at most."""

PREVIEW = 8
BINS = 20
TOP = 8
"""Rows of the preview, bars of a histogram, and most frequent values that are listed."""


def profile(frame: "pd.DataFrame", reading: Reading) -> dict[str, Any]:
    """Describe a table, how it was read, and what could be predicted."""
    sample = frame if len(frame) <= SAMPLE else frame.sample(SAMPLE, random_state=0).sort_index()
    dates = {}
    columns = []
    for name in sample.columns:
        kind = column_kinds.infer(sample[name], reading.dates)
        if kind is ColumnKind.DATE and sample[name].dtype.kind != "M":
            texts = sample[name].dropna().astype(str).tolist()
            dates[str(name)] = column_kinds.date_order(texts, reading.dates) or ""
        columns.append(describe(sample[name], kind, reading))
    order = next((order for order in dates.values() if order != "iso"), "")
    found = with_dates(reading, order)
    target = proposals.target(columns)
    return {
        "rows": len(frame),
        "sampled": len(sample) < len(frame),
        "columns": columns,
        "reading": found.to_dict(),
        "preview": _preview(frame),
        "target": target,
        "question": proposals.question(columns, target),
        "time": proposals.time_column(columns),
    }


def describe(column: "pd.Series[Any]", kind: ColumnKind, reading: Reading) -> dict[str, Any]:
    """Describe one column."""
    known = column.dropna()
    about: dict[str, Any] = {
        "name": str(column.name),
        "kind": kind.value,
        "missing": int(column.isna().sum()),
        "unique": int(known.nunique()),
        "rows": len(column),
        "examples": [column_kinds.category(cell) for cell in known.head(3).tolist()],
    }
    if kind is ColumnKind.NUMBER:
        return about | _numbers(column_kinds.to_numbers(column, reading.decimal or "."))
    if kind is ColumnKind.DATE:
        return about | _dates(column_kinds.to_dates(column, reading.dates))
    if kind in (ColumnKind.CATEGORY, ColumnKind.BOOLEAN):
        counts = known.map(column_kinds.category).value_counts().head(TOP)
        about["top"] = [[str(value), int(count)] for value, count in counts.items()]
    return about


def _numbers(values: "pd.Series[Any]") -> dict[str, Any]:
    import numpy as np

    known = values[np.isfinite(values)]
    if known.empty:
        return {}
    low, high = float(known.min()), float(known.max())
    found: dict[str, Any] = {
        "min": low,
        "max": high,
        "whole": bool((known == known.round()).all()),
    }
    with np.errstate(over="ignore", invalid="ignore"):  # of huge numbers
        middles = {"mean": float(known.mean()), "median": float(known.median())}
    found |= {name: value for name, value in middles.items() if np.isfinite(value)}
    if high > low and np.isfinite(high - low):
        counts, edges = np.histogram(known.to_numpy(), bins=BINS)
        found["histogram"] = {"counts": counts.tolist(), "edges": edges.tolist()}
    return found


def _dates(values: "pd.Series[Any]") -> dict[str, Any]:
    import numpy as np

    known = values.dropna()
    if known.empty:
        return {}
    first, last = known.min(), known.max()
    found: dict[str, Any] = {"min": first.isoformat(), "max": last.isoformat()}
    if first < last:
        seconds = known.astype("int64").to_numpy() / 1e9
        counts, edges = np.histogram(seconds, bins=BINS)
        found["histogram"] = {"counts": counts.tolist(), "edges": edges.tolist()}
    return found


def _preview(frame: "pd.DataFrame") -> dict[str, Any]:
    names, columns = to_columns(frame.head(PREVIEW))
    return {
        "columns": [str(name) for name in names],
        "rows": [list(row) for row in zip(*columns, strict=True)],
    }
