"""A function's schema: JSON Schema for readers, a compiled check for calls."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from easymlnb.contract.errors import DefinitionError, EasyMLNBError, ResultNotEncodable
from easymlnb.contract.jsonkeys import check_keys
from easymlnb.services import signature, validation_errors, validators
from easymlnb.services.signature import MISSING, Signature
from easymlnb.types import inference, multipart, surrogates
from easymlnb.types.finite_numbers import OUTPUT
from easymlnb.types.resolve import marker_of

MASKED = b"**********"
"""What pydantic writes instead of a secret."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Schema:
    """What one function takes and gives.

    ``input`` and ``output`` are self-contained JSON Schemas (2020-12); for a stream ``output`` is
    that of one item. ``accepts`` are media types that may come raw as the whole body, for the one
    parameter named ``raw``; ``produces`` those that ``Accept`` may ask for besides JSON.
    ``markers`` are the types of the parameters that own their wire form, ``defaults`` the
    function's own defaults, which stand in, unchecked, for what was not sent.
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

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Schema":
        """Read a function; raise ``DefinitionError`` naming the parameter and the fix."""
        return cls(function, signature.read(function))

    def load_json(self, body: bytes) -> dict[str, Any]:
        """Turn a JSON body into checked keyword arguments.

        Raises ``BadRequest`` when it is not JSON or gives a key twice, ``InvalidInput`` when it
        breaks the schema.
        """
        try:
            found: dict[str, Any] = self._validate_json(body, strict=True)
        except ValidationError as error:
            raise self._refuse_json(error, body) from None
        if body.count(b":") != len(found):
            check_keys(body, len(found))
        return {**self.defaults, **found} if self.defaults else found

    def load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Turn values from Python, or the parts of a form, into checked keyword arguments.

        It is lenient as a form must be: ``"6"`` is a number where one is asked for. Raises
        ``InvalidInput``.
        """
        return {**self.defaults, **self._check(values)}

    def encode_input(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return checked values as JSON values, as a caller would send them, without defaults."""
        body = self._reader.dump_json(self._check(values), warnings=False, by_alias=True)
        found: dict[str, Any] = from_json(body)
        return found

    def _check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._reader.validator.validate_python(dict(values))
        except ValidationError as error:
            raise validation_errors.from_pydantic(error, lambda: values) from None
        return found

    def dump(self, value: Any) -> bytes:
        """Turn a result, or one item of a stream, into JSON; NaN becomes ``null``.

        Raises ``ResultNotEncodable`` naming what cannot be sent and where it is.
        """
        found = self._dump(value)
        if surrogates.REPLACEMENT in found:
            surrogates.refuse(value)
        return found

    def _dump(self, value: Any) -> bytes:
        if self.untyped:
            return self._dump_plain(inference.to_json_value(value))
        try:
            return self._to_json(value, warnings="error")
        except (PydanticSerializationError, ValueError, TypeError):
            surrogates.refuse(value)
            fitting = self.coerce_result(value)
        try:
            return self._to_json(fitting, warnings=False)
        except (PydanticSerializationError, ValueError, TypeError) as error:
            plain = inference.to_json_value(value)  # It knows the place, and raises.
            try:
                # Of the class that is said, but without a JSON form of it: NaT as a time.
                return self._to_json(self.coerce_result(plain), warnings=False)
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
        """Return the result as its hint says it is: a numpy number where ``int`` is said.

        Raises ``ResultNotEncodable``.
        """
        check = self._writer.validator.validate_python
        try:
            return check(value, context=OUTPUT)
        except ValidationError:
            plain = inference.to_json_value(value)
        try:
            return check(plain, context=OUTPUT)
        except ValidationError as error:
            found = validation_errors.details(error.errors(include_url=False), plain)
            said = "; ".join(
                f"at {item['field']!r}: {item['message']}" if item["field"] else item["message"]
                for item in found[:3]
            )
            raise ResultNotEncodable(
                f"The result of {self.signature.name!r} ({type(value).__name__}) does not match "
                f"its return hint. {said}"
            ) from None

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
        found = reader.json_schema(mode="validation")
    except Exception:
        validators.raise_for_bad_parameter(hints)
        raise
    properties = found.setdefault("properties", {})
    for item in hints.signature.parameters:
        if item.description and item.name in properties:
            # Markers that write their own schema do not see what stands around them.
            properties[item.name].setdefault("description", item.description)
    for name, node in properties.items():
        if wrong := multipart.misfit(node, found):
            raise DefinitionError(
                f"Parameter {name!r} of {hints.signature.name!r} is a {wrong}. Change the type "
                "or the marker so that they match."
            )
    for name, value in defaults.items():
        adapter = validators.adapter(hints.hints[name])
        try:
            written = adapter.dump_json(value, warnings="error", by_alias=True)
            if name not in hints.markers:
                read = adapter.validate_json(written, strict=True)
                if MASKED in written and read != value:
                    continue  # A secret: whoever sends its asterisks sends another value.
            properties[name] = {**properties[name], "default": from_json(written)}
        except (PydanticSerializationError, ValueError):
            continue  # A default without JSON form still works: it is the function's own.
    found.pop("title", None)
    return {"$schema": DIALECT, **found, "additionalProperties": False}


def _output_schema(hints: validators.ResolvedHints, writer: TypeAdapter[Any]) -> dict[str, Any]:
    found = {} if hints.untyped else writer.json_schema(mode="serialization")
    if hints.signature.returns_description and "$ref" not in found:
        found.setdefault("description", hints.signature.returns_description)
    return {"$schema": DIALECT, **found}


def _raw(hints: validators.ResolvedHints, defaults: dict[str, Any]) -> str:
    """Return the parameter that a raw body is for: it alone reads bytes, no other is needed."""
    takers = [name for name, marker in hints.markers.items() if marker.reads]
    needed = [name for name in hints.hints if name not in defaults]
    required = [name for name in takers if name in needed] or takers
    if len(required) != 1 or any(name != required[0] for name in needed):
        return ""
    return required[0]
