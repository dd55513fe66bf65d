"""Accept whole floats where a hint asks for an integer, as JSON Schema does: 4.0 is an integer.

Only a call that was refused pays for this: its body is changed where pydantic found a float in
place of an integer, and checked again.
"""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

INTEGER_ERRORS = frozenset({"int_type", "literal_error", "enum"})


def as_integers(error: ValidationError, body: bytes) -> bytes | None:
    """Return a refused JSON body with integers for whole floats; ``None`` if there are none."""
    wrong = [
        item["loc"]
        for item in error.errors(include_url=False, include_context=False)
        if item["type"] in INTEGER_ERRORS and _is_whole(item["input"])
    ]
    if not wrong:
        return None
    values = from_json(body)
    for place in wrong:
        _convert(values, place)
    return to_json(values)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _convert(values: Any, place: tuple[int | str, ...]) -> None:
    """Convert the float at a place; the place may also contain names of a union's members."""
    holder: Any = [values]
    key: int | str = 0
    for step in place:
        if _has(holder[key], step):
            holder, key = holder[key], step
    if _is_whole(holder[key]):
        holder[key] = int(holder[key])


def _has(entry: Any, step: int | str) -> bool:
    if isinstance(entry, list):
        return isinstance(step, int) and step < len(entry)
    return isinstance(entry, dict) and step in entry
