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


def for_generators(schema: Any) -> Any:
    """Return the same schema in the form that generators of clients read.

    They know no ``items`` that are false, next to ``maxItems``, no array without ``items``, and no
    ``enum`` of one number or boolean.
    """
    if isinstance(schema, list):
        return [for_generators(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: for_generators(one)
        for key, one in schema.items()
        if key != "items" or one is not False
    }
    kinds = found.get("type")
    is_list = kinds == "array" or (isinstance(kinds, list) and "array" in kinds)
    if is_list and not {"items", "prefixItems"} & found.keys():
        found["items"] = {}
    match found.get("enum"):
        case [only] if not isinstance(only, str):
            found["const"] = found.pop("enum")[0]
    return found


def with_plain_names(schemas: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return schemas of structs, where those of two areas with the same name have the area's too.

    msgspec names them by their modules, with the same title for all; generators of clients have one
    class for each title. ``prefix`` begins all references.
    """
    names = {name: _with_area(name) for name in schemas if "." in name}

    def renamed(schema: Any) -> Any:
        if isinstance(schema, list):
            return [renamed(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        found = {key: renamed(one) for key, one in schema.items()}
        name = str(found.get("$ref", "")).removeprefix(prefix)
        return found | {"$ref": prefix + names[name]} if name in names else found

    return {
        names.get(name, name): renamed(schema) | ({"title": names[name]} if name in names else {})
        for name, schema in schemas.items()
    }


def _with_area(name: str) -> str:
    """Return ``JobsFileShown`` for ``easymlnb_server.jobs.models.FileShown``."""
    _, *area, _, own = name.split(".")
    return "".join(word.capitalize() for part in area for word in part.split("_")) + own
