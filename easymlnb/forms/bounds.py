"""How much a value is, found out without going through all of it: forms show only so much."""

from typing import Any


def nodes(value: Any, most: int, deepest: int = 10**9) -> int:
    """Return how many values, names and boxes there are in a JSON value; over ``most`` it stops.

    What is nested deeper than ``deepest`` counts as more than ``most``.
    """
    count, level = 0, [value]
    for _ in range(deepest):
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
