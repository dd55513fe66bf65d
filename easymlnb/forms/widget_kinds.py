"""The kind of widget for a schema, as a name in ``registry.WIDGETS``."""

from collections.abc import Callable, Mapping

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms.ranges import is_draggable


def widget_kind(node: SchemaNode) -> str:
    """Return the kind of widget for a schema; the author's hint is not considered."""
    return next(kind for test, kind in RULES if test(node))


def _is(kind: str, form: str = "") -> Callable[[SchemaNode], bool]:
    def test(node: SchemaNode) -> bool:
        return node.get("type") == kind and (not form or node.get("format") == form)

    return test


def _choice(node: SchemaNode) -> bool:
    if "enum" in node.schema:
        return True
    return bool(node.alternatives) and all("const" in each.schema for each in node.alternatives)


def _loose_number(node: SchemaNode) -> bool:
    """Whether a number may also be given as text, as decimals are."""
    return {str(each.get("type")) for each in node.alternatives} == {"number", "string"}


def _choices(node: SchemaNode) -> bool:
    items = node.child(node.get("items"))
    return node.get("type") == "array" and bool(node.get("uniqueItems")) and _choice(items)


def _tuple(node: SchemaNode) -> bool:
    return node.get("type") == "array" and "prefixItems" in node.schema


def _object(node: SchemaNode) -> bool:
    return node.get("type") == "object" and bool(node.get("properties"))


def _dict(node: SchemaNode) -> bool:
    return node.get("type") == "object" and isinstance(node.get("additionalProperties"), Mapping)


def _slider(node: SchemaNode) -> bool:
    return node.get("type") in ("integer", "number") and is_draggable(node)


RULES: tuple[tuple[Callable[[SchemaNode], bool], str], ...] = (
    (lambda node: node.nullable, "optional"),
    (lambda node: "const" in node.schema, "const"),
    (_choice, "choice"),
    (_loose_number, "number"),
    (lambda node: bool(node.alternatives), "union"),
    (_choices, "choices"),
    (_tuple, "tuple"),
    (_is("array"), "list"),
    (_object, "object"),
    (_dict, "dict"),
    (_is("string", "date"), "date"),
    (_is("string", "date-time"), "datetime"),
    (_is("string", "time"), "time"),
    (_is("string", "duration"), "duration"),
    (_is("string", "color"), "color"),
    (_is("string", "binary"), "file"),
    (_is("string", "byte"), "file"),
    (_is("string", "password"), "secret"),
    (_is("string"), "text"),
    (_slider, "slider"),
    (_is("integer"), "number"),
    (_is("number"), "number"),
    (_is("boolean"), "checkbox"),
    (_is("null"), "const"),
    (lambda node: True, "json"),
)
"""Tests from the most specific to the most general; the first that matches decides."""
