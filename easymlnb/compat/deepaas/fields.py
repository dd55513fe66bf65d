"""Fields of marshmallow as type hints, for schemas and forms, and as Swagger 2.0 parameters."""

import datetime
import decimal
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from marshmallow import Schema, fields, missing, validate
from pydantic import Field as Constraints

from easymlnb.types.base import Type
from easymlnb.types.file import Audio, File

Json = dict[str, Any]

STANDARD_FORMATS = (None, "iso", "iso8601")

MEDIA = ("image", "audio", "video")
"""Kinds of files; the first of these words in a field's description tells its kind."""


class EncodedImage(File):
    """An image as a file, which is not decoded."""

    widget = "image"
    natives = ()
    reads = ("image/*",)


EncodedImage.source = EncodedImage

FILES: dict[str, Type] = {
    "": File(),
    "image": EncodedImage(),
    "audio": Audio(),
    "video": File(accept=["video/*"]),
}
"""The type of a file argument by its kind."""


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What a class of fields is: a Python type, and the type and format in Swagger."""

    python: Any
    type: str
    format: str = ""


KINDS: tuple[tuple[type[fields.Field], FieldKind], ...] = (
    (fields.Boolean, FieldKind(bool, "boolean")),
    (fields.Integer, FieldKind(int, "integer")),
    (fields.Decimal, FieldKind(decimal.Decimal, "number")),
    (fields.Number, FieldKind(float, "number")),
    (fields.Date, FieldKind(datetime.date, "string", "date")),
    (fields.Time, FieldKind(datetime.time, "string", "time")),
    (fields.DateTime, FieldKind(datetime.datetime, "string", "date-time")),
    (fields.TimeDelta, FieldKind(float, "number")),
    (fields.UUID, FieldKind(uuid.UUID, "string", "uuid")),
    (fields.Url, FieldKind(str, "string", "uri")),
    (fields.Email, FieldKind(str, "string", "email")),
    (fields.String, FieldKind(str, "string")),
    (fields.Mapping, FieldKind(dict[str, Any], "object")),
)
"""The first class that a field is an instance of decides."""

ANY = FieldKind(Any, "string")


def kind_of(field: fields.Field) -> FieldKind:
    """Return what a field without parts is."""
    found = next((kind for cls, kind in KINDS if isinstance(field, cls)), ANY)
    if isinstance(field, fields.DateTime) and field.format not in STANDARD_FORMATS:
        return FieldKind(str, "string")
    return found


def is_file(field: fields.Field) -> bool:
    """Return whether a field is for a file."""
    return field.metadata.get("type") == "file"


def media_of(field: fields.Field) -> str:
    """Return ``image``, ``audio`` or ``video`` by the description; empty for other fields."""
    words = description(field).lower()
    found = {words.find(word): word for word in MEDIA if word in words}
    return found[min(found)] if found else ""


def description(field: fields.Field) -> str:
    """Return what a field says about itself."""
    return str(field.metadata.get("description") or "")


def choices(field: fields.Field) -> list[Any]:
    """Return the values to choose from: those that are checked, or only documented."""
    for validator in field.validators:
        if isinstance(validator, validate.OneOf):
            return list(validator.choices)
    documented = field.metadata.get("enum")
    if isinstance(field, fields.Enum):
        return list(field.enum.__members__)
    return list(documented) if isinstance(documented, Iterable) else []


def default(field: fields.Field) -> Any:
    """Return the default of a field, or marshmallow's ``missing``."""
    value = field.load_default
    return value() if callable(value) else value


def hint_of(field: fields.Field, title: str = "") -> Any:
    """Return the type hint of a field, with its bounds and its description."""
    constraints: Json = {"description": description(field) or None, "title": title or None}
    if is_file(field):
        kind = type(FILES[media_of(field)])
        return Annotated[kind, FILES[media_of(field)], Constraints(**constraints)]
    hint = _base(field)
    numeric = isinstance(field, fields.Number)
    for validator in field.validators:
        constraints |= _bounds(validator, numeric)
    hint = Annotated[hint, Constraints(**constraints)]
    return hint | None if field.allow_none else hint


def _base(field: fields.Field) -> Any:
    allowed = choices(field)
    if allowed and all(isinstance(value, str | int) for value in allowed):
        value = default(field)
        if not isinstance(value, str | int) or value in allowed:
            return Literal[tuple(allowed)]
    if isinstance(field, fields.Nested):
        one = _record(field.schema)
        return list[one] if field.many else one  # type: ignore[valid-type]
    if isinstance(field, fields.List):
        return list[hint_of(field.inner)]  # type: ignore[misc]
    if isinstance(field, fields.Tuple):
        return tuple[tuple(hint_of(inner) for inner in field.tuple_fields)]  # type: ignore[misc]
    return kind_of(field).python


def _record(schema: Schema) -> Any:
    """Return the type of a nested schema: a dictionary with its fields."""
    hints = {
        field.data_key or name: hint_of(field) if field.required else NotRequired[hint_of(field)]
        for name, field in schema.fields.items()
        if not field.dump_only
    }
    return TypedDict(type(schema).__name__, hints)  # type: ignore[operator]


def _bounds(validator: Any, numeric: bool) -> Json:
    """Return what a validator demands, as constraints of pydantic."""
    if isinstance(validator, validate.Range) and numeric:
        low = "ge" if validator.min_inclusive else "gt"
        high = "le" if validator.max_inclusive else "lt"
        return {low: validator.min, high: validator.max}
    if isinstance(validator, validate.Length) and not numeric:
        exact = validator.equal
        return {
            "min_length": validator.min if exact is None else exact,
            "max_length": validator.max if exact is None else exact,
        }
    return {}


def swagger_of(field: fields.Field) -> Json:
    """Return a field as a Swagger 2.0 parameter or property."""
    made: Json = {"type": "file"} if is_file(field) else _swagger_type(field)
    if text := description(field):
        made["description"] = text
    allowed = choices(field)
    if allowed:
        made["enum"] = allowed
    value = default(field)
    if value is not missing and value is not None and is_json(value):
        made["default"] = value
    for validator in field.validators:
        if isinstance(validator, validate.Range):
            made |= {
                key: bound
                for key, bound in (("minimum", validator.min), ("maximum", validator.max))
                if is_json(bound) and bound is not None
            }
    return made


def _swagger_type(field: fields.Field) -> Json:
    if isinstance(field, fields.Nested):
        one = {"type": "object", "properties": properties_of(field.schema.fields)}
        return {"type": "array", "items": one} if field.many else one
    if isinstance(field, fields.List):
        return {
            "type": "array",
            "items": swagger_of(field.inner),
            "collectionFormat": "csv" if hasattr(field, "delimiter") else "multi",
        }
    if isinstance(field, fields.Tuple):
        return {"type": "array", "items": {}}
    kind = kind_of(field)
    return {"type": kind.type} | ({"format": kind.format} if kind.format else {})


def properties_of(found: dict[str, fields.Field]) -> Json:
    """Return fields as the properties of a Swagger 2.0 schema."""
    made = {field.data_key or name: swagger_of(field) for name, field in found.items()}
    for one in made.values():
        one.pop("collectionFormat", None)
    return made


def is_json(value: Any) -> bool:
    """Return whether a value, such as a default, can be in a JSON document."""
    if isinstance(value, list | tuple):
        return all(map(is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(item) for key, item in value.items())
    return value is None or isinstance(value, str | int | float)
