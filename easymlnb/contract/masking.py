"""Replace the values of credentials in texts that people read."""

import html
import json
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"

SHORTEST = 6
"""Characters of the shortest value that is replaced: shorter ones occur in unrelated text."""

SHORTEST_LINE = 16
"""The same for a single line of a value with several lines."""


def patterns(values: Collection[str]) -> list[str]:
    """Return what to look for: each value as text, and as Python, JSON, URLs and HTML show it."""
    found: set[str] = set()
    for value in values:
        parts = [value, value.strip()]
        lines = value.split("\n")
        if len(lines) > 1:
            parts += [line.strip() for line in lines if len(line.strip()) >= SHORTEST_LINE]
        for part in parts:
            if len(part) >= SHORTEST:
                found |= {part, repr(part)[1:-1], json.dumps(part)[1:-1], quote(part, safe="")}
                found |= {quote_plus(part), quote(part), html.escape(part)}
    # A value may contain another one.
    return sorted(found, key=len, reverse=True)


def mask(value: Any, searched: Collection[str]) -> Any:
    """Return text, or plain containers of it, with every one of ``patterns`` replaced."""
    if not searched:
        return value
    if isinstance(value, str):
        for pattern in searched:
            if pattern in value:
                value = value.replace(pattern, MASK)
        return value
    if isinstance(value, dict):
        return {key: mask(item, searched) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item, searched) for item in value]
    return value
