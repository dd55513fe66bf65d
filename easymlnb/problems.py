"""Saying in plain words what is wrong with a caller's values.

pydantic's own errors carry URLs, the input itself and the names of union branches; none of that
belongs in an answer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import BadRequest, EasyMLNBError, InvalidInput

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails, ValidationError

WORDS: dict[str, str] = {
    "missing": "A value is required.",
    "missing_argument": "A value is required.",
    "extra_forbidden": "There is no such field here.",
    "unexpected_keyword_argument": "There is no such field here.",
    "finite_number": "It must be a finite number: no NaN, no infinity.",
    "int_type": "It must be a whole number.",
    "int_parsing": "It must be a whole number.",
    "int_from_float": "It must be a whole number.",
    "int_parsing_size": "It has too many digits.",
    "float_type": "It must be a number.",
    "float_parsing": "It must be a number.",
    "decimal_type": "It must be a number.",
    "decimal_parsing": "It must be a number.",
    "bool_type": "It must be true or false.",
    "bool_parsing": "It must be true or false.",
    "string_type": "It must be text.",
    "list_type": "It must be a list.",
    "tuple_type": "It must be a list.",
    "set_type": "It must be a list.",
    "frozen_set_type": "It must be a list.",
    "dict_type": "It must be an object with named values.",
    "mapping_type": "It must be an object with named values.",
    "dataclass_type": "It must be an object with named values.",
    "model_type": "It must be an object with named values.",
    "model_attributes_type": "It must be an object with named values.",
    "none_required": "It must be null.",
    "greater_than": "It must be greater than {gt}.",
    "greater_than_equal": "It must be at least {ge}.",
    "less_than": "It must be less than {lt}.",
    "less_than_equal": "It must be at most {le}.",
    "multiple_of": "It must be a multiple of {multiple_of}.",
    "string_too_short": "It needs at least {min_length} characters.",
    "string_too_long": "It may have at most {max_length} characters.",
    "string_pattern_mismatch": "It must match the pattern {pattern}.",
    "literal_error": "It must be {expected}.",
    "enum": "It must be {expected}.",
    "too_short": "It needs at least {min_length} entries.",
    "too_long": "It may have at most {max_length} entries.",
    "date_type": "It must be a date such as 2025-01-31.",
    "date_parsing": "It must be a date such as 2025-01-31.",
    "date_from_datetime_parsing": "It must be a date such as 2025-01-31.",
    "datetime_type": "It must be a date and time such as 2025-01-31T12:00:00.",
    "datetime_parsing": "It must be a date and time such as 2025-01-31T12:00:00.",
    "datetime_from_date_parsing": "It must be a date and time such as 2025-01-31T12:00:00.",
    "time_type": "It must be a time such as 12:00:00.",
    "time_parsing": "It must be a time such as 12:00:00.",
    "recursion_loop": "It is nested without end.",
}
"""Sentence by pydantic's error type; anything else keeps pydantic's message."""

DEEP = "The JSON is nested too deeply; send at most 200 levels."


def explain(error: "ValidationError", root: Callable[[], Any]) -> EasyMLNBError:
    """Turn a failed validation into our error; ``root`` gives the values that were validated."""
    found = error.errors(include_url=False)
    if found[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON: {found[0]['ctx']['error']}.")
    value = root()
    if found[0]["type"] in ("dict_type", "mapping_type") and not found[0]["loc"]:
        return BadRequest("The body must be a JSON object with a value for each parameter.")
    return InvalidInput(details(found, value))


def broken(body: bytes, reason: str) -> BadRequest:
    """Say what is wrong with a body that is not JSON."""
    if not body.strip():
        return BadRequest("The body is empty; send a JSON object with a value for each parameter.")
    if "recursion limit" in reason:
        return BadRequest(DEEP)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return BadRequest(f"The body is not UTF-8 text: byte {wrong.start} does not belong there.")
    return BadRequest(f"The body is not valid JSON: {reason}.")


def details(errors: Iterable["ErrorDetails"], value: Any) -> list[dict[str, str]]:
    """Return one entry per field; a union's complaints about one place are joined."""
    said: dict[str, list[str]] = {}
    for error in errors:
        field = ".".join(map(str, place(error, value)))
        messages = said.setdefault(field, [])
        message = sentence(error)
        if message not in messages:
            messages.append(message)
    return [
        {"field": field, "message": " Or: ".join(messages[:3])} for field, messages in said.items()
    ]


def place(error: "ErrorDetails", value: Any) -> list[str | int]:
    """Return the path to what is wrong, without the union branches that pydantic puts in it."""
    kept: list[str | int] = []
    *way, last = error["loc"] or ("",)
    for step in way:
        if _has(value, step):
            kept.append(step)
            value = value[step]
    if _has(value, last) or error["type"] in ("missing", "missing_argument"):
        kept.append(last)
    return kept


def _has(value: Any, step: str | int) -> bool:
    if isinstance(value, Mapping):
        return step in value
    return (
        isinstance(step, int)
        and isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and -len(value) <= step < len(value)
    )


def sentence(error: "ErrorDetails") -> str:
    """Return what is wrong in one sentence, never with the value itself in it."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        text = str(context.get("error", "")) or "The value is not valid."
    elif kind == "extra_forbidden" and len(error["loc"]) == 1:
        text = "There is no such parameter."
    elif kind in WORDS:
        text = WORDS[kind].format_map(context)
    else:
        text = error["msg"]
    return text if text.endswith((".", "!", "?")) else f"{text}."
