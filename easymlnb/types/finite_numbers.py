"""Refuse NaN and infinity in hints that do not constrain numbers."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from easymlnb.types import inference
from easymlnb.types.base import Hint

OUTPUT = {"easymlnb": "output"}
"""Validation context of results, which may contain NaN (encoded as ``null``)."""


def numbers(value: Any) -> Iterator[float]:
    """Yield every float inside plain containers, models and dataclasses."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from numbers(item)
    elif dataclasses.is_dataclass(value) or hasattr(value, "__pydantic_fields__"):
        yield from numbers(getattr(value, "__dict__", {}))


def check(value: Any, info: Any) -> Any:
    """Return the value; raise ``ValueError`` when a number in it is not finite."""
    if info.context is not OUTPUT and not all(map(math.isfinite, numbers(value))):
        raise ValueError("All numbers must be finite, not NaN or infinity.")
    return value


class Finite(Hint):
    """For hints whose numbers pydantic does not check by our rules: models, aliases."""

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator

        yield AfterValidator(check)


class Anything(Hint):
    """For ``Any``: finite numbers as input, and values of our types as output."""

    def __iter__(self) -> Iterator[object]:
        from pydantic import AfterValidator, PlainSerializer, WithJsonSchema

        yield AfterValidator(check)
        # pydantic would encode a path as its text and fail on an array.
        yield PlainSerializer(inference.to_json_value, when_used="json")
        yield WithJsonSchema({})
