"""Messages for invalid values from callers.

pydantic's own errors contain URLs, the input itself and the names of union branches; none of that
belongs in a response.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import BadRequest, EasyMLNBError, InvalidInput

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails, ValidationError

MESSAGES: dict[str, str] = {
    "missing": "A value is required.",
    "missing_argument": "A value is required.",
    "extra_forbidden": "Unknown field. Remove it.",
    "unexpected_keyword_argument": "Unknown field. Remove it.",
    "finite_number": "The value must be a finite number, not NaN or infinity.",
    "int_type": "The value must be a whole number.",
    "int_parsing": "The value must be a whole number.",
    "int_from_float": "The value must be a whole number.",
    "int_parsing_size": "The number has too many digits.",
    "float_type": "The value must be a number.",
    "float_parsing": "The value must be a number.",
    "decimal_type": "The value must be a number.",
    "decimal_parsing": "The value must be a number.",
    "bool_type": "The value must be true or false.",
    "bool_parsing": "The value must be true or false.",
    "string_type": "The value must be a string.",
    "list_type": "The value must be a list.",
    "tuple_type": "The value must be a list.",
    "set_type": "The value must be a list.",
    "frozen_set_type": "The value must be a list.",
    "dict_type": "The value must be a JSON object.",
    "mapping_type": "The value must be a JSON object.",
    "dataclass_type": "The value must be a JSON object.",
    "model_type": "The value must be a JSON object.",
    "model_attributes_type": "The value must be a JSON object.",
    "none_required": "The value must be null.",
    "greater_than": "The value must be greater than {gt}.",
    "greater_than_equal": "The value must be at least {ge}.",
    "less_than": "The value must be less than {lt}.",
    "less_than_equal": "The value must be at most {le}.",
    "multiple_of": "The value must be a multiple of {multiple_of}.",
    "string_too_short": "The text must have at least {min_length} characters.",
    "string_too_long": "The text must have at most {max_length} characters.",
    "string_pattern_mismatch": "The text must match the pattern {pattern}.",
    "literal_error": "The value must be {expected}.",
    "enum": "The value must be {expected}.",
    "too_short": "The list must have at least {min_length} entries.",
    "too_long": "The list must have at most {max_length} entries.",
    "date_type": "The value must be a date such as 2025-01-31.",
    "date_parsing": "The value must be a date such as 2025-01-31.",
    "date_from_datetime_parsing": "The value must be a date such as 2025-01-31.",
    "datetime_type": "The value must be a date and time such as 2025-01-31T12:00:00.",
    "datetime_parsing": "The value must be a date and time such as 2025-01-31T12:00:00.",
    "datetime_from_date_parsing": "The value must be a date and time such as 2025-01-31T12:00:00.",
    "time_type": "The value must be a time such as 12:00:00.",
    "time_parsing": "The value must be a time such as 12:00:00.",
    "recursion_loop": "The value contains itself.",
}
"""Message by pydantic's error type; other types keep pydantic's message."""

DEEP = "The JSON is nested too deeply; send at most 200 levels."


def from_pydantic(error: "ValidationError", root: Callable[[], Any]) -> EasyMLNBError:
    """Convert a pydantic error to an easymlnb error; ``root`` returns the validated values."""
    errors = error.errors(include_url=False)
    if errors[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON: {errors[0]['ctx']['error']}.")
    value = root()
    if errors[0]["type"] in ("dict_type", "mapping_type") and not errors[0]["loc"]:
        return BadRequest("The body must be a JSON object with a value for each parameter.")
    return InvalidInput(details(errors, value))


def invalid_json(body: bytes, reason: str) -> BadRequest:
    """Return the error for a body that is not valid JSON."""
    if not body.strip():
        return BadRequest("The body is empty. Send a JSON object with a value for each parameter.")
    if "recursion limit" in reason:
        return BadRequest(DEEP)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return BadRequest(f"The body is not UTF-8 text: invalid byte at position {wrong.start}.")
    return BadRequest(f"The body is not valid JSON: {reason}.")


def details(errors: Iterable["ErrorDetails"], value: Any) -> list[dict[str, str]]:
    """Return one entry per field; messages of union branches about one field are joined."""
    by_field: dict[str, list[str]] = {}
    for error in errors:
        field = ".".join(map(str, error_path(error, value)))
        messages = by_field.setdefault(field, [])
        message = sentence(error)
        if message not in messages:
            messages.append(message)
    return [
        {"field": field, "message": " Or: ".join(messages[:3])}
        for field, messages in by_field.items()
    ]


def error_path(error: "ErrorDetails", value: Any) -> list[str | int]:
    """Return the path to the invalid value, without pydantic's names of union branches."""
    path: list[str | int] = []
    *way, last = error["loc"] or ("",)
    for step in way:
        if _has(value, step):
            path.append(step)
            value = value[step]
    if _has(value, last) or error["type"] in ("missing", "missing_argument"):
        path.append(last)
    return path


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
    """Return the message in one sentence, without the value itself."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        text = str(context.get("error", "")) or "The value is invalid."
    elif kind == "extra_forbidden" and len(error["loc"]) == 1:
        text = "The service has no such parameter. Remove it."
    elif kind in MESSAGES:
        text = MESSAGES[kind].format_map(context)
    else:
        text = error["msg"]
    return text if text.endswith((".", "!", "?")) else f"{text}."
