"""Limits of a schema that a form checks without a call.

They are checked only if the input cannot be sent anyway, so that all errors are shown together:
otherwise the service decides which values are valid.
"""

from collections.abc import Callable, Iterator, Sized
from operator import ge, gt, le, lt
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.services.validation_errors import MESSAGES

Violations = Iterator[tuple[list[str], str]]


def violations(node: SchemaNode, value: Any) -> Violations:
    """Yield the path and the message of each value outside of its limits."""
    if value is None:
        return
    if len(node.alternatives) == 1:
        node = node.narrowed(node.alternatives[0])
    if isinstance(value, dict):
        yield from _entries(node, value)
    elif isinstance(value, list):
        yield from _items(node, value)
    elif isinstance(value, str):
        yield from _length(node, "Length", value, ("string_too_short", "string_too_long"))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(node, value)


def _entries(node: SchemaNode, value: dict[str, Any]) -> Violations:
    known = node.properties
    for name, entry in value.items():
        inner = node.child(known.get(name, node.get("additionalProperties")))
        for path, message in violations(inner, entry):
            yield [name, *path], message


def _items(node: SchemaNode, value: list[Any]) -> Violations:
    yield from _length(node, "Items", value, ("too_short", "too_long"))
    fixed = node.get("prefixItems") or ()
    for at, item in enumerate(value):
        schema = fixed[at] if at < len(fixed) else node.get("items")
        for path, message in violations(node.child(schema), item):
            yield [str(at), *path], message


def _length(node: SchemaNode, unit: str, value: Sized, kinds: tuple[str, str]) -> Violations:
    least, most = node.get(f"min{unit}"), node.get(f"max{unit}")
    if least is not None and len(value) < least:
        yield [], MESSAGES[kinds[0]].format(min_length=least)
    if most is not None and len(value) > most:
        yield [], MESSAGES[kinds[1]].format(max_length=most)


NUMBERS: tuple[tuple[str, str, str, Callable[[float, float], bool]], ...] = (
    ("minimum", "greater_than_equal", "ge", ge),
    ("exclusiveMinimum", "greater_than", "gt", gt),
    ("maximum", "less_than_equal", "le", le),
    ("exclusiveMaximum", "less_than", "lt", lt),
)
"""Keyword, its message, the message's placeholder for the limit, and the condition."""


def _number(node: SchemaNode, value: float) -> Violations:
    for keyword, kind, word, holds in NUMBERS:
        limit = node.get(keyword)
        if isinstance(limit, int | float) and not holds(value, limit):
            yield [], MESSAGES[kind].format(**{word: limit})
            return
