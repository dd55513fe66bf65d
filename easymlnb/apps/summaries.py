"""Short texts for input values and results."""

from collections.abc import Mapping
from typing import Any

from easymlnb.apps.permalinks import NOTE
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.call_protocol import Part
from easymlnb.forms.renderers import figure, plain_text
from easymlnb.forms.widget_kinds import widget_kind

MAX_CHARACTERS = 28
"""Characters of a value in a line."""

MAX_ENTRIES = 4
"""Entries of a list or record that are named in a line."""

CONSTANTS = {True: "yes", False: "no", None: "none"}

KINDS = {
    "image": "image",
    "plotly": "plot",
    "audio": "audio",
    "html": "formatted text",
    "markdown": "formatted text",
    "error": "part that cannot be displayed",
}
"""Names of the parts of a result without a short text."""


def inputs(
    spec: ServiceSpec, values: Mapping[str, Any], limit: int = MAX_CHARACTERS
) -> list[tuple[str, str]]:
    """Return the input as labels and short texts; files by their names, secrets as dots."""
    root = SchemaNode.root(spec.input)
    properties = root.properties
    texts = []
    for name, value in values.items():
        if name == NOTE:
            continue
        node = root.child(properties.get(name), name)
        secret = "secret" in map(widget_kind, (node, *node.alternatives))
        texts.append((node.title, "\u2022\u2022\u2022" if secret else short(value, limit)))
    return texts


def short(value: Any, limit: int = MAX_CHARACTERS) -> str:
    """Return a JSON value in a few characters, without brackets and quotes."""
    return cut(_text(value, 0), limit)


def cut(text: str, limit: int) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"


def _text(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return "a file" if value.startswith("data:") else " ".join(value.split())
    if isinstance(value, bool) or value is None:
        return CONSTANTS[value]
    if isinstance(value, int | float):
        return figure(value)
    if isinstance(value, Mapping):
        return _record(value, depth)
    return _list(value, depth) if isinstance(value, list | tuple) else str(value)


def _record(value: Mapping[str, Any], depth: int) -> str:
    if "b64" in value or "upload" in value:
        name = value.get("name")
        return name if isinstance(name, str) else "a file"
    if not value:
        return "empty"
    if depth > 1:
        return f"{len(value)} values"
    entries = [
        f"{str(key).replace('_', ' ')} {_text(entry, depth + 1)}"
        for key, entry in list(value.items())[:MAX_ENTRIES]
    ]
    more = f", and {len(value) - MAX_ENTRIES} more" if len(value) > MAX_ENTRIES else ""
    return f"{', '.join(entries)}{more}"


def _list(value: list[Any] | tuple[Any, ...], depth: int) -> str:
    if not value:
        return "empty list"
    if depth > 1:
        return f"{len(value)} entries"
    first = value[:MAX_ENTRIES]
    separator = "; " if any(isinstance(entry, list | Mapping) for entry in first) else ", "
    text = separator.join(_text(entry, depth + 1) for entry in first)
    # The number comes first: the end of a line may be cut.
    return f"{len(value)} entries: {text}, \u2026" if len(value) > MAX_ENTRIES else text


def results(parts: list[Part], most: int) -> list[tuple[str, str]]:
    """Return a result as titles and short texts, its numbers and texts first."""
    texts = [
        (str(part.get("title") or "").replace("_", " "), _part(part))
        for part in sorted(parts, key=lambda part: part.get("kind") not in ("number", "text"))
    ]
    return texts[:most]


def _part(part: Part) -> str:
    kind, data = part.get("kind"), part.get("data")
    if kind == "table" and isinstance(data, Mapping):
        columns, rows = data.get("columns") or (), data.get("rows") or ()
        total = data.get("total") or len(rows)
        return f"table with {total} rows, {len(columns)} columns"
    if kind == "text":
        return short(plain_text(part))
    if kind == "file":
        return str(part.get("name") or "a file")
    return KINDS.get(str(kind)) or short(data)
