"""Find keys that a JSON object has twice; parsers silently use the last one."""

import json
from typing import Any

from easymlnb.contract.errors import BadRequest

SHOWN = 80
"""Characters of a key that are shown at most."""


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
    """Raise ``BadRequest`` if an object in ``body``, which is known to be JSON, repeats a key.

    ``keys`` is how many different ones the outermost object has. Each key has a colon, so when
    there are as many colons there is nothing more to look for: what most calls bring costs nothing.
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
        return  # only what other parsers take and this one does not
