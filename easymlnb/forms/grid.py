"""Tables as results: rows and columns as packed bytes, of which the page shows what is in sight."""

import base64
import gzip
import json
from typing import Any

from traitlets import Bytes, Int, List, Unicode

from easymlnb.forms.esm_widget import EsmWidget


class Grid(EsmWidget):
    """A table to scroll, sort and save. ``data`` is gzip of a JSON list of columns."""

    script_name = "grid"
    columns = List(Unicode()).tag(sync=True)
    data = Bytes().tag(sync=True)
    total = Int(0).tag(sync=True)
    title = Unicode().tag(sync=True)


def grid(title: str, data: dict[str, Any], more: dict[str, Any]) -> Grid:
    """Return the widget of a part of kind ``table``."""
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
