"""Form input as part of a URL, for permalinks, and as drafts that a browser stores."""

import base64
import json
import re
import zlib
from binascii import Error
from collections.abc import Mapping
from typing import Any

from easymlnb.contract.json_values import count_nodes
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.snippets import MAX_INLINE
from easymlnb.contract.spec import ServiceSpec

MAX_LINK = 6000
"""Characters of a URL's fragment that all browsers and messengers support."""

MAX_DRAFT = 60_000
"""Characters of the input that the browser stores over a reload."""

MAX_VALUES = MAX_DRAFT // 2
"""Values in a draft or link; each has at least two characters."""

MAX_DEPTH = 50
"""Levels of nested values that a form is filled in with."""

MAX_DECODED = 100_000
"""Bytes of JSON in a link; larger links were not made by an app page."""

MAX_JOBS = 10
"""Jobs that a browser stores over a reload."""

_CALL = re.compile(r"[0-9a-f]{16}\Z")
_JOB = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}\Z")

NOTE = ""
"""The entry that lists what was left out; no parameter has this name."""

MAX_NOTED = 100
"""Parameters of a note that are read: links are not trusted."""

MESSAGES = {
    "file": "The file was not saved. Please choose it again.",
    "secret": "This value is secret and was not saved. Please enter it again.",
}


def encode(spec: ServiceSpec, values: Mapping[str, Any]) -> str | None:
    """Return values without files and secrets as part of a URL; ``None`` if they are too long."""
    if count_nodes(values, MAX_VALUES) > MAX_VALUES:
        return None
    raw = noted(spec, values).encode()
    if len(raw) > MAX_DECODED:
        return None
    packed = zlib.compress(raw, 9)
    code = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return code if len(code) <= MAX_LINK else None


def decode(code: str) -> dict[str, Any] | None:
    """Return the values of a link; ``None`` if it is invalid."""
    try:
        packed = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
        raw = zlib.decompressobj().decompress(packed, MAX_DECODED)
        return read(raw)
    except (Error, ValueError, zlib.error):
        return None


def draft(spec: ServiceSpec, values: Mapping[str, Any]) -> str:
    """Return what a browser stores over a reload; "" if it is too long."""
    if count_nodes(values, MAX_VALUES) > MAX_VALUES:
        return ""
    stored = noted(spec, values, uploads=True)
    return stored if len(stored) <= MAX_DRAFT else ""


def without_files(spec: ServiceSpec, values: Mapping[str, Any]) -> str:
    """Return values without files and secrets as JSON."""
    kept, _ = _split(spec, values, uploads=False)
    return json.dumps(kept, ensure_ascii=False)


def noted(spec: ServiceSpec, values: Mapping[str, Any], *, uploads: bool = False) -> str:
    """Return the same with a note of what was left out, which ``missing`` reads.

    ``uploads`` keeps the names of uploaded files.
    """
    kept, left_out = _split(spec, values, uploads=uploads)
    return json.dumps({**kept, NOTE: left_out} if left_out else kept, ensure_ascii=False)


def missing(values: dict[str, Any]) -> dict[str, str]:
    """Remove the note from values and return the messages for the parameters in it."""
    note = values.pop(NOTE, None)
    entries = note if isinstance(note, list) else []
    return {
        name: MESSAGES[kind]
        for entry in entries[:MAX_NOTED]
        if isinstance(entry, list) and len(entry) == 2
        for name, kind in [entry]
        if isinstance(name, str) and isinstance(kind, str) and kind in MESSAGES
    }


def _split(
    spec: ServiceSpec, values: Mapping[str, Any], *, uploads: bool
) -> tuple[dict[str, Any], list[list[str]]]:
    """Return values without files and secrets, and the names and kinds of what was left out."""
    root = SchemaNode.root(spec.input)
    kept: dict[str, Any] = {}
    left_out: list[list[str]] = []
    for name, value in values.items():
        node = _inside(root, name)
        kinds: set[str] = set()
        rest = _strip(node, value, uploads, kinds)
        if rest is not LEFT_OUT:
            kept[name] = rest
        if kinds and value != node.get("default", LEFT_OUT):
            left_out.append([name, min(kinds)])
    return kept, left_out


def read(raw: str | bytes) -> dict[str, Any] | None:
    """Return the values of a draft or link; ``None`` if it is invalid."""
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or count_nodes(values, MAX_DECODED, MAX_DEPTH) > MAX_DECODED:
        return None
    return values


def stored_jobs(spec: ServiceSpec, found: list[tuple[str, dict[str, Any]]]) -> str:
    """Return what a browser stores of jobs, newest first: their IDs and inputs."""
    entries = [(id, draft(spec, values) or "{}") for id, values in found[:MAX_JOBS] if id]
    if len(json.dumps(entries)) > MAX_DRAFT:
        entries = [(id, "{}") for id, _ in entries]  # too long: only the IDs
    return json.dumps(entries) if entries else ""


def read_jobs(raw: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the IDs and inputs of stored jobs, oldest first; invalid ones are left out."""
    try:
        entries = json.loads(raw)
    except (ValueError, RecursionError):
        return []
    found = []
    for entry in reversed(entries[:MAX_JOBS] if isinstance(entries, list) else []):
        if isinstance(entry, list) and len(entry) == 2 and _JOB.match(str(entry[0])):
            found.append((str(entry[0]), read(str(entry[1])) or {}))
    return found


def stored_call(spec: ServiceSpec, id: str, values: Mapping[str, Any]) -> str:
    """Return what a browser stores of a running call: its ID and input."""
    return json.dumps([id, draft(spec, values) or "{}"])


def read_call(raw: str) -> tuple[str, dict[str, Any]] | None:
    """Return the ID and input of a stored call; ``None`` if it is invalid."""
    try:
        id, values = json.loads(raw)
    except (ValueError, TypeError, RecursionError):
        return None
    return (id, read(str(values)) or {}) if _CALL.match(str(id)) else None


LEFT_OUT: Any = object()


def _strip(node: SchemaNode, value: Any, uploads: bool, kinds: set[str]) -> Any:
    """Return a value without files and secrets, and add to ``kinds`` which of them it had."""
    if _is_file(value, uploads) or _is_secret(node, value):
        if value != "":
            kinds.add("file" if _is_file(value, uploads) else "secret")
        return LEFT_OUT
    if isinstance(value, Mapping):
        entries = {
            key: _strip(_inside(node, key), entry, uploads, kinds) for key, entry in value.items()
        }
        return {key: entry for key, entry in entries.items() if entry is not LEFT_OUT}
    if isinstance(value, list):
        inner = _item(node)
        items = [_strip(inner, item, uploads, kinds) for item in value]
        return LEFT_OUT if any(item is LEFT_OUT for item in items) else items
    return value


def _inside(node: SchemaNode, key: str) -> SchemaNode:
    """Return the schema of an entry, also if only an alternative has it."""
    for each in (node, *node.alternatives):
        schema = each.properties.get(key) or each.get("additionalProperties")
        if isinstance(schema, Mapping):
            return each.child(schema)
    return node.child(None)


def _item(node: SchemaNode) -> SchemaNode:
    nodes = (node, *node.alternatives)
    return next(
        (each.child(each.get("items")) for each in nodes if each.get("items")), node.child(None)
    )


def _is_file(value: Any, uploads: bool) -> bool:
    if isinstance(value, str):
        return value.startswith("data:") and len(value) > MAX_INLINE
    if not isinstance(value, Mapping) or "dtype" in value:
        return False
    return "b64" in value or ("upload" in value and not uploads)


def _is_secret(node: SchemaNode, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    nodes = (node, *node.alternatives)
    return any(
        each.get("format") == "password" or each.hint("widget") == "secret" for each in nodes
    )
