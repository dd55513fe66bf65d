"""Checks of JSON values: duplicate keys, of which parsers use the last one, and their size."""

import json
from typing import Any, TypeVar

import msgspec

from easymlnb.contract.errors import BadRequest

T = TypeVar("T")

SHOWN = 80
"""Characters of a key in a message."""


class _RepeatedError(Exception):
    """An object gives a key twice."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) == len(pairs):
        return
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _RepeatedError(key)
        seen.add(key)


_decode = json.JSONDecoder(object_pairs_hook=_once).decode


def check_keys(body: bytes | str, keys: int = 0) -> None:
    """Raise ``BadRequest`` if an object in ``body``, which is valid JSON, repeats a key.

    ``keys`` is the number of different keys of the outermost object. If there are only as many
    colons, no key repeats, so that most bodies are not parsed again.
    """
    colons = body.count(b":") if isinstance(body, bytes) else body.count(":")
    if colons <= max(keys, 1):
        return
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        _decode(text)
    except _RepeatedError as error:
        key = str(error)
        shown = key if len(key) <= SHOWN else f"{key[:SHOWN]}..."
        raise BadRequest(f"Duplicate key {shown!r}. Send each key once.") from None
    except (ValueError, RecursionError):
        return  # other parsers accept more than this one


def decode_body(data: bytes, kind: type[T], advice: str, *, unique: bool = True) -> T:
    """Decode the JSON body of a request.

    Raises ``BadRequest``: the body is not JSON, does not match ``kind``, or, unless ``unique`` is
    false, repeats a key. ``advice`` says what to send; the reason is added in parentheses.
    """
    try:
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"{advice} ({error}).") from error
    if unique:
        check_keys(data)
    return found


def count_nodes(value: Any, most: int, max_depth: int = 10**9) -> int:
    """Return the number of values, names and containers in a JSON value.

    Counting stops above ``most``; values nested deeper than ``max_depth`` count as more than
    ``most``.
    """
    count, level = 0, [value]
    for _ in range(max_depth):
        inside: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                inside += container.values()
            elif isinstance(container, list | tuple):
                inside += container
        count += len(level)
        if count + len(inside) > most:
            return most + 1
        if not inside:
            return count
        level = inside
    return most + 1
