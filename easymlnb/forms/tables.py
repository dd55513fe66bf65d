"""Tables as results: short ones as HTML, long ones as a widget that shows the visible rows."""

import base64
import gzip
import json
from typing import Any

from traitlets import Bytes, Int, List, Unicode

from easymlnb.forms.esm_widget import EsmWidget
from easymlnb.forms.markup import Markup, element, join

FEW_ROWS = 20
"""Rows of a table that are all in the page at once."""


def spaced(text: str) -> str:
    """Return a formatted number with thin spaces between the thousands instead of commas."""
    return text.replace(",", "\u2009")


def is_number(value: Any) -> bool:
    """Whether a value is a number; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class Grid(EsmWidget):
    """A table to scroll, sort and save. ``data`` is gzip of a JSON list of columns."""

    script_name = "grid"
    columns = List(Unicode()).tag(sync=True)
    data = Bytes().tag(sync=True)
    total = Int(0).tag(sync=True)
    title = Unicode().tag(sync=True)


def grid(title: str, data: dict[str, Any], more: dict[str, Any]) -> Grid:
    """Return the widget of a long table."""
    names = [str(name) for name in data.get("columns", ())]
    rows = data.get("rows") or []
    packed = more.get("columns_gzip")
    if isinstance(packed, str):
        content = base64.b64decode(packed)
    else:
        columns = [[row[at] for row in rows] for at in range(len(names))]
        content = gzip.compress(json.dumps(columns).encode(), 1)
    total = int(data.get("total") or len(rows))
    return Grid(columns=names, data=content, total=total, title=title)


def short_table(data: dict[str, Any]) -> Markup:
    """Return all rows under a header that stays visible."""
    columns, rows = list(data.get("columns", ())), list(data.get("rows", ()))
    heads = [
        element("th" + _alignment(rows, at), name, scope="col") for at, name in enumerate(columns)
    ]
    body = join(element("tr", *map(_cell, row)) for row in rows)
    total = int(data.get("total") or len(rows))
    note = f"The first {len(rows)} of {spaced(f'{total:,}')} rows."
    table = element("table", element("thead", element("tr", *heads)), element("tbody", body))
    return join(
        (
            element("div.em-table", table, tabindex=0),
            element("div.em-help", note) if total > len(rows) else "",
        )
    )


def _alignment(rows: list[Any], column: int) -> str:
    known = [row[column] for row in rows if len(row) > column and row[column] is not None]
    return ".em-num" if known and is_number(known[0]) else ""


def _cell(value: Any) -> Markup:
    if is_number(value):
        return element("td.em-num", f"{value:.6g}" if isinstance(value, float) else value)
    if value is None or isinstance(value, str):
        return element("td", value)
    return element("td", json.dumps(value, ensure_ascii=False))
