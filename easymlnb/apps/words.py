"""Short texts for input values and results."""

from collections.abc import Mapping
from typing import Any

from easymlnb.apps.permalinks import NOTE
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.call_protocol import Part
from easymlnb.forms.renderers import figure
from easymlnb.forms.widget_kinds import widget_kind

CUT = 28
"""Characters of a value in a line."""

LISTED = 4
"""Entries of a list or record that are named in a line."""

WORDS_FOR = {True: "yes", False: "no", None: "none"}

KINDS = {
    "image": "image",
    "plotly": "plot",
    "audio": "audio",
    "html": "formatted text",
    "markdown": "formatted text",
    "error": "part that cannot be displayed",
}
"""What to call a part of a result that is looked at, not read."""


def inputs(spec: ServiceSpec, values: Mapping[str, Any], cut: int = CUT) -> list[tuple[str, str]]:
    """Return what a person filled in, as labels and short words; files by their names."""
    root = SchemaNode.root(spec.input)
    properties = root.properties
    told = []
    for name, value in values.items():
        if name == NOTE:
            continue
        node = root.child(properties.get(name), name)
        secret = "secret" in map(widget_kind, (node, *node.alternatives))
        told.append((node.title, "\u2022\u2022\u2022" if secret else short(value, cut)))
    return told


def short(value: Any, cut: int = CUT) -> str:
    """Return a JSON value in a few characters, without brackets and quotes."""
    text = _said(value, 0)
    return text if len(text) <= cut else text[: cut - 1] + "\u2026"


def _said(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return "a file" if value.startswith("data:") else " ".join(value.split())
    if isinstance(value, bool) or value is None:
        return WORDS_FOR[value]
    if isinstance(value, int | float):
        return figure(value)
    if isinstance(value, Mapping):
        return _record(value, depth)
    return _list(value, depth) if isinstance(value, list | tuple) else str(value)


def _record(value: Mapping[str, Any], depth: int) -> str:
    if isinstance(value.get("name"), str) and ("b64" in value or "upload" in value):
        return str(value["name"])
    if "b64" in value or "upload" in value:
        return "a file"
    if not value:
        return "empty"
    if depth > 1:
        return f"{len(value)} values"
    entries = [
        f"{str(key).replace('_', ' ')} {_said(one, depth + 1)}"
        for key, one in list(value.items())[:LISTED]
    ]
    more = f", and {len(value) - LISTED} more" if len(value) > LISTED else ""
    return f"{', '.join(entries)}{more}"


def _list(value: list[Any] | tuple[Any, ...], depth: int) -> str:
    if not value:
        return "empty list"
    if depth > 1:
        return f"{len(value)} entries"
    between = "; " if any(isinstance(one, list | Mapping) for one in value[:LISTED]) else ", "
    shown = between.join(_said(one, depth + 1) for one in value[:LISTED])
    # How many there are comes first: the end of a line may be cut off.
    return f"{len(value)} entries: {shown}, \u2026" if len(value) > LISTED else shown


def found(parts: list[Part], most: int) -> list[tuple[str, str]]:
    """Return a result in a few words: its numbers and texts first, then what else there is."""
    told = [
        (str(part.get("title") or "").replace("_", " "), _part(part))
        for part in sorted(parts, key=lambda part: part.get("kind") not in ("number", "text"))
    ]
    return told[:most]


def _part(part: Part) -> str:
    kind, data = part.get("kind"), part.get("data")
    if kind == "table" and isinstance(data, Mapping):
        columns, rows = data.get("columns") or (), data.get("rows") or ()
        total = data.get("total") or len(rows)
        return f"table with {total} rows, {len(columns)} columns"
    if kind == "file":
        return str(part.get("name") or "a file")
    return KINDS.get(str(kind)) or short(data)
