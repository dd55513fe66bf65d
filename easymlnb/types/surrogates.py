"""Find text in a result that has no UTF-8 encoding, and so cannot be sent."""

import enum
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.contract.message import sendable
from easymlnb.types import inference

REPLACEMENT = "\ufffd".encode()
"""pydantic's silent replacement for a lone surrogate in a key."""

SHOWN = 40
"""Characters of a text in a message."""


def refuse(value: Any) -> None:
    """Raise ``ResultNotEncodable`` if a text in ``value`` has no UTF-8 encoding."""
    for place, text in _texts(value, "", ()):
        if sendable(text) != text:
            at = f" at {sendable(place)!r}" if place else ""
            raise ResultNotEncodable(
                f"The result cannot be sent{at}: the text {text[:SHOWN]!a} contains a lone "
                "surrogate, which is not a valid character. Clean the text before you return it: "
                "text.encode('utf-8', 'replace').decode()."
            )


def _texts(value: Any, place: str, outer: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, PurePath):
        yield place, str(value)
    elif id(value) not in outer and len(outer) <= inference.MAX_DEPTH:
        inside = (*outer, id(value))
        for key, item in _members(value):
            at = f"{place}.{key}".lstrip(".")
            if isinstance(key, str):
                yield at, key
            yield from _texts(item, at, inside)


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    # All fields of a model are searched, though its dump may have fewer.
    fields = getattr(type(value), "__pydantic_fields__", None)
    named = inference.members(value) if fields is None else vars(value)
    if named is not None:
        yield from named.items()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from enumerate(value)
