"""Messages for invalid values from callers.

pydantic's own errors contain URLs, the input itself and the names of union branches; none of that
belongs in a response.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import BadRequest, EasyMLNBError, InvalidInput

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails, ValidationError

_ERROR_TYPES = {
    "A value is required.": "missing missing_argument",
    "Unknown field. Remove it.": "extra_forbidden unexpected_keyword_argument",
    "The value must be a finite number, not NaN or infinity.": "finite_number",
    "The value must be a whole number.": "int_type int_parsing int_from_float",
    "The number has too many digits.": "int_parsing_size",
    "The value must be a number.": "float_type float_parsing decimal_type decimal_parsing",
    "The value must be true or false.": "bool_type bool_parsing",
    "The value must be a string.": "string_type",
    "The value must be a list.": "list_type tuple_type set_type frozen_set_type",
    "The value must be a JSON object.": (
        "dict_type mapping_type dataclass_type model_type model_attributes_type"
    ),
    "The value must be null.": "none_required",
    "The value must be greater than {gt}.": "greater_than",
    "The value must be at least {ge}.": "greater_than_equal",
    "The value must be less than {lt}.": "less_than",
    "The value must be at most {le}.": "less_than_equal",
    "The value must be a multiple of {multiple_of}.": "multiple_of",
    "The text must have at least {min_length} characters.": "string_too_short",
    "The text must have at most {max_length} characters.": "string_too_long",
    "The text must match the pattern {pattern}.": "string_pattern_mismatch",
    "The value must be {expected}.": "literal_error enum",
    "The list must have at least {min_length} entries.": "too_short",
    "The list must have at most {max_length} entries.": "too_long",
    "The value must be a date such as 2025-01-31.": (
        "date_type date_parsing date_from_datetime_parsing"
    ),
    "The value must be a date and time such as 2025-01-31T12:00:00.": (
        "datetime_type datetime_parsing datetime_from_date_parsing"
    ),
    "The value must be a time such as 12:00:00.": "time_type time_parsing",
    "The value contains itself.": "recursion_loop",
}

MESSAGES = {kind: text for text, kinds in _ERROR_TYPES.items() for kind in kinds.split()}
"""Message by pydantic's error type; other types keep pydantic's message."""

MAX_LOCATIONS = 100
"""Errors of one body that are reported at most, if each has its own entry."""

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


def with_locations(error: "ValidationError") -> list[dict[str, Any]]:
    """Return the details of a body's errors, also with FastAPI's ``loc``, ``msg`` and ``type``."""
    return [
        {
            "field": ".".join(map(str, found["loc"])) or "body",
            "message": sentence(found),
            "loc": ["body", *found["loc"]],
            "msg": found["msg"],
            "type": found["type"],
        }
        for found in islice(error.errors(include_url=False, include_input=False), MAX_LOCATIONS)
    ]


def error_path(error: "ErrorDetails", value: Any) -> list[str | int]:
    """Return the path to the invalid value, without pydantic's names of union branches."""
    path: list[str | int] = []
    *steps, last = error["loc"] or ("",)
    for step in steps:
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
