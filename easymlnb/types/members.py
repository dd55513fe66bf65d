"""Enums with values other than texts and numbers: tuples, objects, times of day.

JSON has lists instead of tuples, so pydantic would refuse all values of such an enum.
"""

import enum
from collections.abc import Iterator
from typing import Any

from easymlnb.types.base import KEY, Hint

PLAIN = (str, int, float, type(None))


class EnumMembers(Hint):
    """Reads and writes the members of an enum by the JSON form of their values."""

    def __init__(self, kind: type[enum.Enum]) -> None:
        from pydantic_core import to_json, to_jsonable_python

        self.kind = kind
        self.values = [to_jsonable_python(member.value) for member in kind]
        self.by_json = {
            to_json(value): member for value, member in zip(self.values, kind, strict=True)
        }

    @classmethod
    def of(cls, kind: type) -> "EnumMembers | None":
        """Return the hint for an enum that needs one."""
        if not issubclass(kind, enum.Enum):
            return None
        if all(isinstance(member.value, PLAIN) for member in kind):
            return None
        try:
            return cls(kind)
        except ValueError:
            return None  # values without a JSON encoding, which pydantic refuses

    def read(self, value: Any) -> Any:
        from pydantic_core import to_json

        if isinstance(value, self.kind):
            return value
        try:
            return self.by_json[to_json(value)]
        except (KeyError, ValueError):
            known = ", ".join(key.decode() for key in self.by_json)
            raise ValueError(f"The value must be one of: {known}.") from None

    def write(self, member: Any) -> Any:
        return self.values[list(self.kind).index(member)]

    def __iter__(self) -> Iterator[object]:
        from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

        names = {"labels": [member.name for member in self.kind]}
        yield PlainValidator(self.read)
        yield PlainSerializer(self.write, when_used="json")
        yield WithJsonSchema({"enum": self.values, KEY: names})
