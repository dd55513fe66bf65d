"""What a schema says about values, as far as a form can tell it without a call.

Only used once a call is refused anyway, so that all that is wrong is marked at the same time:
the service alone decides which values are good.
"""

from collections.abc import Callable, Iterator
from operator import ge, gt, le, lt
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.services.validation_errors import MESSAGES

Found = Iterator[tuple[list[str], str]]


def broken(node: SchemaNode, value: Any) -> Found:
    """Yield the path and the message of each value that is outside of its limits."""
    if value is None:
        return
    if len(node.alternatives) == 1:
        node = node.narrowed(node.alternatives[0])
    if isinstance(value, dict):
        yield from _entries(node, value)
    elif isinstance(value, list):
        yield from _items(node, value)
    elif isinstance(value, str):
        yield from _text(node, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(node, value)


def _entries(node: SchemaNode, value: dict[str, Any]) -> Found:
    known = node.properties
    for name, one in value.items():
        inner = node.child(known.get(name, node.get("additionalProperties")))
        for path, message in broken(inner, one):
            yield [name, *path], message


def _items(node: SchemaNode, value: list[Any]) -> Found:
    least, most = node.get("minItems"), node.get("maxItems")
    if least is not None and len(value) < least:
        yield [], MESSAGES["too_short"].format(min_length=least)
    if most is not None and len(value) > most:
        yield [], MESSAGES["too_long"].format(max_length=most)
    fixed = node.get("prefixItems") or ()
    for at, one in enumerate(value):
        schema = fixed[at] if at < len(fixed) else node.get("items")
        for path, message in broken(node.child(schema), one):
            yield [str(at), *path], message


def _text(node: SchemaNode, value: str) -> Found:
    least, most = node.get("minLength"), node.get("maxLength")
    if least is not None and len(value) < least:
        yield [], MESSAGES["string_too_short"].format(min_length=least)
    if most is not None and len(value) > most:
        yield [], MESSAGES["string_too_long"].format(max_length=most)


NUMBERS: tuple[tuple[str, str, str, Callable[[float, float], bool]], ...] = (
    ("minimum", "greater_than_equal", "ge", ge),
    ("exclusiveMinimum", "greater_than", "gt", gt),
    ("maximum", "less_than_equal", "le", le),
    ("exclusiveMaximum", "less_than", "lt", lt),
)
"""Keyword, its sentence, the sentence's word for the limit, and what must hold."""


def _number(node: SchemaNode, value: float) -> Found:
    for keyword, kind, word, holds in NUMBERS:
        limit = node.get(keyword)
        if isinstance(limit, int | float) and not holds(value, limit):
            yield [], MESSAGES[kind].format(**{word: limit})
            return
