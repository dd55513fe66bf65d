"""The size of a JSON value, found without reading all of it."""

from typing import Any


def count_nodes(value: Any, most: int, max_depth: int = 10**9) -> int:
    """Return the number of values, names and containers in a JSON value.

    Counting stops above ``most``; values nested deeper than ``max_depth`` count as more than
    ``most``.
    """
    count, level = 0, [value]
    for _ in range(max_depth):
        inside: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inside += one.values()
            elif isinstance(one, list | tuple):
                inside += one
        count += len(level)
        if count + len(inside) > most:
            return most + 1
        if not inside:
            return count
        level = inside
    return most + 1
