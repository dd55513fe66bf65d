"""Dataclasses, TypedDicts and NamedTuples with fields of our types, as JSON objects."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from easymlnb.types.base import Hint

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema


def is_named_tuple(kind: Any) -> TypeGuard[Any]:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def fields(kind: type) -> dict[str, bool] | None:
    """Return whether each field of a record is required; ``None`` for other classes."""
    if hasattr(kind, "__pydantic_fields__"):
        return None
    if dataclasses.is_dataclass(kind):
        missing = dataclasses.MISSING
        return {
            field.name: field.default is missing and field.default_factory is missing
            for field in dataclasses.fields(kind)
            if field.init
        }
    if typing.is_typeddict(kind):
        required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
        return {name: name in required for name in kind.__annotations__}
    if is_named_tuple(kind):
        return {name: name not in kind._field_defaults for name in kind._fields}
    return None


def as_dict(value: Any) -> Any:
    """Return a record's fields by name, one level deep."""
    if isinstance(value, Mapping):
        return value
    if is_named_tuple(type(value)):
        return value._asdict()
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value


class RecordValidator(Hint):
    """Validates ``kind`` from a JSON object with the given, resolved hints."""

    def __init__(self, kind: type, hints: dict[str, Any], required: dict[str, bool]) -> None:
        self.kind = kind
        self.hints = hints
        self.required = required

    # pydantic does not iterate over it, as in ``Type``.
    __is_annotated_types_grouped_metadata__ = None
    __iter__ = None  # type: ignore[assignment]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from pydantic_core import core_schema

        inner = core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(
                    handler.generate_schema(hint), required=self.required[name]
                )
                for name, hint in self.hints.items()
            },
            extra_behavior="forbid",
        )
        return core_schema.no_info_wrap_validator_function(
            self._build,
            inner,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, write: write(as_dict(value)), schema=inner
            ),
        )

    def _build(self, value: Any, read: Any) -> Any:
        fields = read(as_dict(value))
        return fields if typing.is_typeddict(self.kind) else self.kind(**fields)

    def __get_pydantic_json_schema__(
        self, schema: "CoreSchema", handler: "GetJsonSchemaHandler"
    ) -> dict[str, Any]:
        return {"title": self.kind.__name__, **handler(schema["schema"])}
