"""A function's schema: JSON Schema for clients, and compiled checks for calls."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from easymlnb.contract import jsonschema
from easymlnb.contract.errors import (
    DefinitionError,
    EasyMLNBError,
    InvalidInput,
    ResultNotEncodable,
)
from easymlnb.contract.json_values import check_keys
from easymlnb.services import signature, validation_errors, validators, whole_numbers
from easymlnb.services.signature import MISSING, Signature
from easymlnb.types import inference, multipart, surrogates
from easymlnb.types.finite_numbers import OUTPUT
from easymlnb.types.resolve import marker_of
from easymlnb.types.uploaded_files import Data

MASKED = b"**********"
"""pydantic's text in place of a secret."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

JSON_TYPES = {
    "number": {"number", "integer"},
    "slider": {"number", "integer"},
    "text": {"string"},
    "longtext": {"string"},
    "secret": {"string"},
    "color": {"string"},
    "interval": {"array"},
    "choices": {"array"},
}
"""The JSON types of the widgets of pydantic's own types."""


class WireForm(Protocol):
    """Reads and writes calls of another protocol, under a media type of ours."""

    def decode(self, content_type: str, body: Data) -> dict[str, Any]:
        """Return the arguments of the function."""

    def encode(self, value: Any) -> tuple[str, Data, str]:
        """Return the media type, the bytes and the file name of a response."""


class Schema:
    """The input and output of a function.

    - ``input``, ``output``: self-contained JSON Schemas (2020-12); for a stream, of one item.
    - ``accepts``: media types of raw bodies, the value of the parameter ``raw``.
    - ``produces``: media types of the result besides JSON.
    - ``markers``: the types of the parameters with their own encoding.
    - ``defaults``: the function's defaults, used without checks for missing values.
    - ``wire_forms``: how requests and responses of other protocols are read and written.
    """

    def __init__(self, function: Callable[..., Any], found: Signature) -> None:
        self.function = function
        self.signature = found
        self.description = found.description
        self.stream = found.stream
        self.is_async = found.is_async
        self.hints = hints = validators.ResolvedHints.of(found)
        self.defaults = {
            item.name: item.default for item in found.parameters if item.default is not MISSING
        }
        self.markers = hints.markers
        self._reader = validators.input_adapter(hints)
        self._validate_json = self._reader.validator.validate_json
        self.returns = hints.returns
        self.untyped = hints.untyped
        self.result = marker_of(hints.returns)
        self._writer = validators.output_adapter(hints)
        self._to_json = self._writer.serializer.to_json
        self.input = _input_schema(hints, self._reader, self.defaults)
        self.output = _output_schema(hints, self._writer)
        self.shapes = {
            name: multipart.shape(node, self.input)
            for name, node in self.input["properties"].items()
        }
        self.raw = _raw(hints, self.defaults)
        self.accepts = self.markers[self.raw].reads if self.raw else ()
        self.produces = self.result.writes if self.result and not self.stream else ()
        self.wire_forms: dict[str, WireForm] = {}

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Schema":
        """Read a function; raises ``DefinitionError`` with the parameter and the fix."""
        return cls(function, signature.read(function))

    def load_json(self, body: bytes) -> dict[str, Any]:
        """Decode a JSON body to checked keyword arguments.

        Raises ``BadRequest`` for invalid JSON and duplicate keys, ``InvalidInput`` for values that
        do not match the schema.
        """
        try:
            values: dict[str, Any] = self._validate_json(body, strict=True)
        except ValidationError as error:
            values = self._validate_again(error, body)
        if body.count(b":") != len(values):
            check_keys(body, len(values))
        return {**self.defaults, **values} if self.defaults else values

    def load_leniently(self, body: bytes) -> dict[str, Any]:
        """Decode a JSON body as FastAPI does: ``"4"`` is a number, unknown names are ignored.

        Raises ``InvalidInput`` with the place of each error.
        """
        try:
            values: dict[str, Any] = self._lenient_reader.validator.validate_json(body)
        except ValidationError as error:
            raise InvalidInput(validation_errors.with_locations(error)) from None
        return {**self.defaults, **values}

    @cached_property
    def _lenient_reader(self) -> TypeAdapter[Any]:
        return validators.input_adapter(self.hints, unknown="ignore")

    def load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check values from Python, or the parts of a form, and return keyword arguments.

        Conversion is lenient: ``"6"`` is accepted as a number. Raises ``InvalidInput``.
        """
        return {**self.defaults, **self._check(values)}

    def encode_input(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return checked values as the JSON values that a caller would send, without defaults."""
        body = self._reader.dump_json(self._check(values), warnings=False, by_alias=True)
        encoded: dict[str, Any] = from_json(body)
        return encoded

    def _check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        try:
            checked: dict[str, Any] = self._reader.validator.validate_python(dict(values))
        except ValidationError as error:
            raise validation_errors.from_pydantic(error, lambda: values) from None
        return checked

    def dump(self, value: Any) -> bytes:
        """Encode a result, or one item of a stream, as JSON; NaN becomes ``null``.

        Raises ``ResultNotEncodable`` with the place of the value.
        """
        body = self._dump(value)
        if surrogates.REPLACEMENT in body:
            surrogates.refuse(value)
        return body

    def _dump(self, value: Any) -> bytes:
        if self.untyped:
            return self._dump_plain(inference.to_json_value(value))
        try:
            return self._to_json(value, warnings="error", by_alias=True)
        except (PydanticSerializationError, ValueError, TypeError):
            surrogates.refuse(value)
            fitting = self.coerce_result(value)
        try:
            return self._to_json(fitting, warnings=False, by_alias=True)
        except (PydanticSerializationError, ValueError, TypeError) as error:
            encoded = inference.to_json_value(value)  # raises an error with the place
            try:
                # A value of the hinted class that pydantic cannot encode, such as NaT.
                return self._to_json(self.coerce_result(encoded), warnings=False, by_alias=True)
            except (PydanticSerializationError, ValueError, TypeError):
                raise self._unsendable(value) from error

    def _dump_plain(self, value: Any) -> bytes:
        try:
            return to_json(value, inf_nan_mode="null")
        except (PydanticSerializationError, ValueError) as error:
            surrogates.refuse(value)
            raise self._unsendable(value) from error

    def _unsendable(self, value: Any) -> ResultNotEncodable:
        return ResultNotEncodable(
            f"The result of {self.signature.name!r} ({type(value).__name__}) cannot be sent."
        )

    def coerce_result(self, value: Any) -> Any:
        """Convert a result to its hint, such as a numpy number to ``int``.

        Raises ``ResultNotEncodable``.
        """
        check = self._writer.validator.validate_python
        try:
            return check(value, context=OUTPUT)
        except ValidationError:
            encoded = inference.to_json_value(value)
        try:
            return check(encoded, context=OUTPUT)
        except ValidationError as error:
            problems = validation_errors.details(error.errors(include_url=False), encoded)
            text = "; ".join(
                f"at {item['field']!r}: {item['message']}" if item["field"] else item["message"]
                for item in problems[:3]
            )
            raise ResultNotEncodable(
                f"The result of {self.signature.name!r} ({type(value).__name__}) does not match "
                f"its return hint. {text}"
            ) from None

    def _validate_again(self, error: ValidationError, body: bytes) -> dict[str, Any]:
        """Check a refused body with integers for whole floats, which JSON does not tell apart."""
        if (changed := whole_numbers.as_integers(error, body)) is not None:
            try:
                values: dict[str, Any] = self._validate_json(changed, strict=True)
            except ValidationError as other:
                error = other
            else:
                return values
        raise self._refuse_json(error, body) from None

    def _refuse_json(self, error: ValidationError, body: bytes) -> EasyMLNBError:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            return validation_errors.invalid_json(body, first["ctx"]["error"])
        try:
            check_keys(body)
        except EasyMLNBError as repeated:
            return repeated
        return validation_errors.from_pydantic(error, lambda: from_json(body))


def _input_schema(
    hints: validators.ResolvedHints, reader: TypeAdapter[Any], defaults: dict[str, Any]
) -> dict[str, Any]:
    try:
        schema = reader.json_schema(mode="validation")
    except Exception:
        validators.raise_for_bad_parameter(hints)
        raise
    properties = schema.setdefault("properties", {})
    for item in hints.signature.parameters:
        if item.description and item.name in properties:
            # Markers with their own schema do not see the description.
            properties[item.name].setdefault("description", item.description)
    for name, node in properties.items():
        if problem := _misfit(node, schema):
            raise DefinitionError(
                f"Parameter {name!r} of {hints.signature.name!r} is a {problem}. Change the type "
                "or the marker so that they match."
            )
    for name, value in defaults.items():
        adapter = validators.adapter(hints.hints[name])
        try:
            written = adapter.dump_json(value, warnings="error", by_alias=True)
            if name not in hints.markers:
                read = adapter.validate_json(written, strict=True)
                if MASKED in written and read != value:
                    continue  # a secret, whose asterisks would be another value
            properties[name] = {**properties[name], "default": from_json(written)}
        except (PydanticSerializationError, ValueError):
            continue  # defaults without a JSON encoding work too
    schema.pop("title", None)
    return {"$schema": DIALECT, **schema, "additionalProperties": False}


def _misfit(schema: jsonschema.Schema, document: jsonschema.Schema) -> str:
    """Describe a widget of a parameter that does not match its JSON type; empty if all do."""
    for branch in (schema, *jsonschema.branches(schema, document)):
        widget, kind = jsonschema.own_hints(branch).get("widget"), branch.get("type")
        if isinstance(kind, str) and kind not in JSON_TYPES.get(str(widget), {kind}):
            return f"{kind}, which does not match its {widget} marker"
    return ""


def _output_schema(hints: validators.ResolvedHints, writer: TypeAdapter[Any]) -> dict[str, Any]:
    schema = {} if hints.untyped else writer.json_schema(mode="serialization")
    if hints.signature.returns_description and "$ref" not in schema:
        schema.setdefault("description", hints.signature.returns_description)
    return {"$schema": DIALECT, **schema}


def _raw(hints: validators.ResolvedHints, defaults: dict[str, Any]) -> str:
    """Return the parameter for a raw body: the only one for files, if no other is required."""
    takers = [name for name, marker in hints.markers.items() if marker.reads]
    needed = [name for name in hints.hints if name not in defaults]
    required = [name for name in takers if name in needed] or takers
    if len(required) != 1 or any(name != required[0] for name in needed):
        return ""
    return required[0]
