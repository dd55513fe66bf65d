"""Reading JSON Schema: what a field is, whatever references and unions it is wrapped in."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

Schema = Mapping[str, Any]


def resolve(schema: Any, root: Schema) -> Schema:
    """Return ``schema`` with its own ``$ref`` into ``root`` followed; never fails."""
    for _ in range(32):  # a reference may lead to a reference, but a circle must end
        if not isinstance(schema, Mapping):
            return {}
        pointer = schema.get("$ref")
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            return schema
        found: Any = root
        for part in pointer[1:].split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**found, **beside} if isinstance(found, Mapping) else {}
    return {}


def options(schema: Any, root: Schema) -> Iterator[Schema]:
    """Yield the schemas a value may follow: those of a union, without null, else the one."""
    schema = resolve(schema, root)
    inner = schema.get("anyOf") or schema.get("oneOf")
    if not inner:
        yield schema
        return
    if "x-easymlnb" in schema:
        yield schema
    for option in inner:
        found = resolve(option, root)
        if found.get("type") != "null":
            yield found


def hints(schema: Any, root: Schema) -> dict[str, Any]:
    """Return the ``x-easymlnb`` hints of a field, also of an optional one; empty without any."""
    for option in options(schema, root):
        found = option.get("x-easymlnb")
        if isinstance(found, Mapping):
            return dict(found)
    return {}


def fields(schema: Schema) -> dict[str, Any]:
    """Return the properties of an object's schema."""
    found = schema.get("properties")
    return dict(found) if isinstance(found, Mapping) else {}
