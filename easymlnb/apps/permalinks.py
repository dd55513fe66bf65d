"""Form input as part of a URL, and back: permalinks, and drafts of a visit."""

import base64
import json
import zlib
from binascii import Error
from collections.abc import Mapping
from typing import Any

from easymlnb.contract.json_values import count_nodes
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.snippets import LONG
from easymlnb.contract.spec import ServiceSpec

LONGEST = 6000
"""Characters of an address that every browser and messenger carries."""

DRAFT = 60_000
"""Characters of what was typed that the browser keeps over a reload."""

MOST = DRAFT // 2
"""Values in a draft or link; each has two characters at least."""

DEEPEST = 50
"""Levels of values that a form is filled in with."""

LARGEST = 100_000
"""Bytes of JSON that a link may unfold to; what is larger was not made here."""

NOTE = ""
"""The entry of what stayed behind; no parameter has this name."""

MOST_NOTED = 100
"""Parameters of a note that are read; a link may come from anybody."""

WORDS = {
    "file": "The file was not saved. Please choose it again.",
    "secret": "This value is secret and was not saved. Please enter it again.",
}


def fold(spec: ServiceSpec, values: Mapping[str, Any]) -> str | None:
    """Return values as a piece of an address; None when they are too long for one.

    Files and secrets stay behind.
    """
    if count_nodes(values, MOST) > MOST:
        return None
    plain = noted(spec, values).encode()
    if len(plain) > LARGEST:
        return None
    packed = zlib.compress(plain, 9)
    code = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return code if len(code) <= LONGEST else None


def unfold(code: str) -> dict[str, Any] | None:
    """Return the values of a link; None when it is not one of ours."""
    try:
        packed = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
        # Whoever made the link, it must not unfold to more than fits.
        raw = zlib.decompressobj().decompress(packed, LARGEST)
        return read(raw)
    except (Error, ValueError, zlib.error):
        return None


def draft(spec: ServiceSpec, values: Mapping[str, Any]) -> str:
    """Return what a browser keeps over a reload; "" when it is too long for that."""
    if count_nodes(values, MOST) > MOST:
        return ""
    kept = noted(spec, values, uploads=True)
    return kept if len(kept) <= DRAFT else ""


def text(spec: ServiceSpec, values: Mapping[str, Any]) -> str:
    """Return what may leave the form as JSON: neither files nor secrets."""
    kept, _ = _parted(spec, values, uploads=False)
    return json.dumps(kept, ensure_ascii=False)


def noted(spec: ServiceSpec, values: Mapping[str, Any], *, uploads: bool = False) -> str:
    """Return the same with a note of what stayed behind, which ``missing`` reads.

    ``uploads`` keeps the names that the server gave to files which lie there.
    """
    kept, gone = _parted(spec, values, uploads=uploads)
    return json.dumps({**kept, NOTE: gone} if gone else kept, ensure_ascii=False)


def missing(values: dict[str, Any]) -> dict[str, str]:
    """Take the note out of values that came back: what to say at which parameter."""
    gone = values.pop(NOTE, None)
    names = gone if isinstance(gone, list) else []
    return {
        name: WORDS[kind]
        for one in names[:MOST_NOTED]
        if isinstance(one, list) and len(one) == 2
        for name, kind in [one]
        if isinstance(name, str) and isinstance(kind, str) and kind in WORDS
    }


def _parted(
    spec: ServiceSpec, values: Mapping[str, Any], *, uploads: bool
) -> tuple[dict[str, Any], list[list[str]]]:
    """Return what may leave the form, and the names of the others with what they are."""
    root = SchemaNode.root(spec.input)
    kept: dict[str, Any] = {}
    gone: list[list[str]] = []
    for name, value in values.items():
        place = _inside(root, name)
        left: set[str] = set()
        found = _kept(place, value, uploads, left)
        if found is not LEFT_OUT:
            kept[name] = found
        if left and value != place.get("default", LEFT_OUT):
            gone.append([name, min(left)])
    return kept, gone


def read(raw: str | bytes) -> dict[str, Any] | None:
    """Return JSON that a browser kept for us; None when it is something else."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or count_nodes(found, LARGEST, DEEPEST) > LARGEST:
        return None
    return found


LEFT_OUT: Any = object()


def _kept(node: SchemaNode, value: Any, uploads: bool, left: set[str]) -> Any:
    """Return a value without files and secrets, and note in ``left`` which of them it had."""
    if _file(value, uploads) or _secret(node, value):
        if value != "":
            left.add("file" if _file(value, uploads) else "secret")
        return LEFT_OUT
    if isinstance(value, Mapping):
        entries = {key: _kept(_inside(node, key), one, uploads, left) for key, one in value.items()}
        return {key: one for key, one in entries.items() if one is not LEFT_OUT}
    if isinstance(value, list):
        item = _item(node)
        kept = [_kept(item, one, uploads, left) for one in value]
        return LEFT_OUT if any(one is LEFT_OUT for one in kept) else kept
    return value


def _inside(node: SchemaNode, key: str) -> SchemaNode:
    """Return the place of an entry, also inside an alternative that has it."""
    for place in (node, *node.alternatives):
        schema = place.properties.get(key) or place.get("additionalProperties")
        if isinstance(schema, Mapping):
            return place.child(schema)
    return node.child(None)


def _item(node: SchemaNode) -> SchemaNode:
    return next(
        (one.child(one.get("items")) for one in (node, *node.alternatives) if one.get("items")),
        node.child(None),
    )


def _file(value: Any, uploads: bool) -> bool:
    if isinstance(value, str):
        return value.startswith("data:") and len(value) > LONG
    if not isinstance(value, Mapping) or "dtype" in value:
        return False
    return "b64" in value or ("upload" in value and not uploads)


def _secret(node: SchemaNode, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    places = (node, *node.alternatives)
    return any(one.get("format") == "password" or one.hint("widget") == "secret" for one in places)
