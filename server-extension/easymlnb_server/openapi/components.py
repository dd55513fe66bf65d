"""JSON Schemas as components of an OpenAPI document."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

_MAPS = {"properties", "patternProperties", "dependentSchemas", "$defs"}
"""Keywords whose value maps names, which may look like keywords, to schemas."""
_DATA = {"default", "enum", "const", "examples", "example", "x-easymlnb", "required"}
"""Keywords whose value is no schema."""


def component(owner: str, name: str) -> str:
    return f"{owner}.{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"


def components(owner: str, schema: Schema) -> dict[str, Schema]:
    """Return ``schema`` as component ``owner`` and its ``$defs`` as ``owner.<name>``.

    They have no titles: generators name classes after them, and two services may have a ``Point``.
    """
    rewrite = rewriter(owner)
    root = rewrite(schema)
    defs = root.pop("$defs", {})
    found = {owner: root} | {component(owner, name): one for name, one in defs.items()}
    return {
        name: {key: value for key, value in one.items() if key != "title"}
        if isinstance(one, dict)
        else one
        for name, one in found.items()
    }


def rewriter(owner: str) -> Callable[[Any], Any]:
    """Return a function that copies a schema with its references pointing at the components."""

    def target(pointer: str) -> str:
        if not pointer.startswith("#"):
            return pointer
        parts = pointer.removeprefix("#").removeprefix("/").split("/")
        if parts[0] != "$defs" or len(parts) < 2:
            return "/".join(["#/components/schemas", owner, *filter(None, parts)])
        name = unquote(parts[1]).replace("~1", "/").replace("~0", "~")
        return "/".join(["#/components/schemas", component(owner, name), *parts[2:]])

    def one(key: str, value: Any) -> Any:
        if key == "$ref" and isinstance(value, str):
            return target(value)
        if key == "discriminator" and isinstance(value, dict):
            mapping = {k: target(v) for k, v in value.get("mapping", {}).items()}
            return value | ({"mapping": mapping} if mapping else {})
        if key in _DATA:
            return value
        if key in _MAPS and isinstance(value, dict):
            return {name: schema(found) for name, found in value.items()}
        return schema(value)

    def schema(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: one(key, found) for key, found in value.items()}
        return [schema(found) for found in value] if isinstance(value, list) else value

    return schema


def without_false_items(schema: Any) -> Any:
    """Return a schema whose tuples are limited by ``maxItems`` only.

    Generators of clients do not know that ``items`` can be false.
    """
    if isinstance(schema, list):
        return [without_false_items(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_false_items(one)
        for key, one in schema.items()
        if key != "items" or one is not False
    }
