"""A function's schema: JSON Schema for readers, pydantic's compiled check for calls.

It is built once per service. The parameters become one typed dictionary in pydantic's core
schema, not a model: any parameter name works (``copy``, ``json``, ``model_name``), nothing is
copied, and a call is one step from body to keyword arguments.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Optional, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaError, core_schema, from_json, to_json

from easymlnb import problems, signature
from easymlnb.contract.errors import DefinitionError, EasyMLNBError, ResultNotEncodable
from easymlnb.signature import MISSING, Parameter, Signature
from easymlnb.types import form, natural
from easymlnb.types.finite import OUTPUT
from easymlnb.types.resolve import marker_of, resolve

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

DIALECT = "https://json-schema.org/draft/2020-12/schema"
INPUT = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=False)
RESULT = ConfigDict(arbitrary_types_allowed=False, ser_json_inf_nan="null")


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
        self.hints = {item.name: _input_hint(found.name, item) for item in found.parameters}
        self.defaults = {
            item.name: item.default for item in found.parameters if item.default is not MISSING
        }
        self.markers = {
            name: marker for name, hint in self.hints.items() if (marker := marker_of(hint))
        }
        reader = self._reader = _input_adapter(self)
        self._validate_json = reader.validator.validate_json
        self.returns = None if found.returns is MISSING else resolve(found.returns)
        self.untyped = found.returns is MISSING
        self.result = marker_of(self.returns)
        self._writer = _output_adapter(self)
        self._to_json = self._writer.serializer.to_json
        self.input = _input_schema(self)
        self.output = _output_schema(self)
        self.shapes = {
            name: form.shape(node, self.input.get("$defs", {}))
            for name, node in self.input["properties"].items()
        }
        self.raw = _raw(self)
        self.accepts = self.markers[self.raw].reads if self.raw else ()
        self.produces = self.result.writes if self.result and not self.stream else ()

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Schema":
        """Read a function; raise ``DefinitionError`` naming the parameter and the fix."""
        return cls(function, signature.read(function))

    def load_json(self, body: bytes) -> dict[str, Any]:
        """Turn a JSON body into checked keyword arguments.

        Raises ``BadRequest`` when it is not JSON, ``InvalidInput`` when it breaks the schema.
        """
        try:
            found: dict[str, Any] = self._validate_json(body, strict=True)
        except ValidationError as error:
            raise self._refuse_json(error, body) from None
        return {**self.defaults, **found} if self.defaults else found

    def load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Turn values from Python, or the parts of a form, into checked keyword arguments.

        It is lenient as a form must be: ``"6"`` is a number where one is asked for. Raises
        ``InvalidInput``.
        """
        return {**self.defaults, **self._check(values)}

    def encode_input(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return checked values as JSON values, as a caller would send them, without defaults."""
        body = self._reader.dump_json(self._check(values), warnings=False)
        found: dict[str, Any] = from_json(body)
        return found

    def _check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._reader.validator.validate_python(dict(values))
        except ValidationError as error:
            raise problems.explain(error, lambda: values) from None
        return found

    def dump(self, value: Any) -> bytes:
        """Turn a result, or one item of a stream, into JSON; NaN becomes ``null``.

        Raises ``ResultNotEncodable`` naming what cannot be sent and where it is.
        """
        if self.untyped:
            return to_json(natural.encode(value), inf_nan_mode="null")
        try:
            return self._to_json(value, warnings="error")
        except (PydanticSerializationError, ValueError):
            fitting = self.fit(value)
        try:
            return self._to_json(fitting, warnings=False)
        except (PydanticSerializationError, ValueError) as error:
            natural.encode(value)  # It knows the place, and raises.
            raise ResultNotEncodable(
                f"The result of {self.signature.name!r} ({type(value).__name__}) cannot be sent."
            ) from error

    def fit(self, value: Any) -> Any:
        """Return the result as its hint says it is: a numpy number where ``int`` is said.

        Raises ``ResultNotEncodable``.
        """
        check = self._writer.validator.validate_python
        try:
            return check(value, context=OUTPUT)
        except ValidationError:
            plain = natural.encode(value)
        try:
            return check(plain, context=OUTPUT)
        except ValidationError as error:
            found = problems.details(error.errors(include_url=False), plain)
            said = "; ".join(
                f"at {item['field']!r}: {item['message']}" if item["field"] else item["message"]
                for item in found[:3]
            )
            raise ResultNotEncodable(
                f"The result of {self.signature.name!r} ({type(value).__name__}) does not fit "
                f"its return hint. {said}"
            ) from None

    def _refuse_json(self, error: ValidationError, body: bytes) -> EasyMLNBError:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            return problems.broken(body, first["ctx"]["error"])
        return problems.explain(error, lambda: from_json(body))


class _Arguments:
    """Annotates a dictionary: its entries are the function's parameters."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> core_schema.CoreSchema:
        return core_schema.typed_dict_schema(
            {
                item.name: core_schema.typed_dict_field(
                    self._one(item, handler), required=item.default is MISSING
                )
                for item in self.schema.signature.parameters
            },
            extra_behavior="forbid",
            config={"allow_inf_nan": False},
        )

    def _one(self, item: Parameter, handler: "GetCoreSchemaHandler") -> core_schema.CoreSchema:
        marker = self.schema.markers.get(item.name)
        if marker is not None and marker.result_only:
            raise DefinitionError(
                f"Parameter {item.name!r} of {self.schema.signature.name!r} is a "
                f"{type(marker).__name__}, which can only be a result. Use another type."
            )
        try:
            if isinstance(item.hint, dict | list | set | tuple):
                # pydantic would take a dictionary for a schema of its own.
                raise TypeError(f"{item.hint!r} is a value, not a type")
            return handler.generate_schema(self.schema.hints[item.name])
        except Exception as error:
            raise _unusable(self.schema.signature.name, item, error) from error


def _unusable(name: str, item: Parameter, error: Exception) -> DefinitionError:
    if isinstance(error, DefinitionError):
        return error
    if isinstance(error, ImportError):
        return DefinitionError(f"Parameter {item.name!r} of {name!r}: {error}.")
    if isinstance(error, SchemaError):
        reason = str(error).strip().splitlines()[-1].strip()
        return DefinitionError(
            f"Parameter {item.name!r} of {name!r} has constraints that cannot be used: {reason}"
        )
    said = item.hint if item.hint is not MISSING else type(item.default)
    shown = said.__qualname__ if isinstance(said, type) else said
    return DefinitionError(
        f"Parameter {item.name!r} of {name!r} has the type {shown}, which has no JSON form. "
        "Use a plain type, a dataclass, a pydantic model or one of easymlnb's types, "
        "or add a type of your own by subclassing 'easymlnb.Type'."
    )


def _input_hint(name: str, item: Parameter) -> Any:
    try:
        return _resolved(item)
    except TypeError as error:
        raise DefinitionError(
            f"Parameter {item.name!r} of {name!r} has a hint that cannot be used: {error}."
        ) from error


def _resolved(item: Parameter) -> Any:
    hint = item.hint
    if hint is MISSING:
        hint = Any if item.default is MISSING or item.default is None else type(item.default)
    elif item.default is None and not _takes_none(hint):
        # 'x: int = None' says that null may be sent, too.
        hint = Optional[hint]  # noqa: UP045 - a marker may stand here, which knows no '|'
    hint = resolve(hint)
    if item.description:
        hint = Annotated[hint, Field(description=item.description)]
    return hint


def _takes_none(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return _takes_none(hint.__origin__)
    return hint in (Any, None) or type(None) in get_args(hint)


def _adapter(hint: Any, config: ConfigDict) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint, config=config)
    except Exception as error:
        # pydantic takes no config beside a model's own.
        if getattr(error, "code", "") != "type-adapter-config-unused":
            raise
        return TypeAdapter(hint)


def _input_adapter(schema: Schema) -> TypeAdapter[Any]:
    try:
        return _adapter(Annotated[dict[str, Any], _Arguments(schema)], INPUT)
    except DefinitionError:
        raise
    except Exception:
        _blame(schema)
        raise


def _blame(schema: Schema) -> None:
    """Raise ``DefinitionError`` for the first parameter that pydantic cannot use by itself."""
    for item in schema.signature.parameters:
        try:
            _adapter(schema.hints[item.name], INPUT).json_schema()
        except Exception as error:
            raise _unusable(schema.signature.name, item, error) from error


def _output_adapter(schema: Schema) -> TypeAdapter[Any]:
    if schema.untyped:
        return TypeAdapter(Any)
    try:
        return _adapter(schema.returns, RESULT)
    except DefinitionError:
        raise
    except Exception as error:
        raise DefinitionError(
            f"The return hint {schema.signature.returns} of {schema.signature.name!r} has no JSON "
            "form. Use a plain type, a dataclass, a pydantic model or one of easymlnb's types, "
            "or leave the hint out."
        ) from error


def _input_schema(schema: Schema) -> dict[str, Any]:
    try:
        found = schema._reader.json_schema(mode="validation")
    except Exception:
        _blame(schema)
        raise
    properties = found.setdefault("properties", {})
    for item in schema.signature.parameters:
        if item.description and item.name in properties:
            # Markers that write their own schema do not see what stands around them.
            properties[item.name].setdefault("description", item.description)
    for name, node in properties.items():
        if wrong := form.misfit(node):
            raise DefinitionError(
                f"Parameter {name!r} of {schema.signature.name!r} is a {wrong}. "
                "Change the type or the marker so that they fit each other."
            )
    for name, value in schema.defaults.items():
        try:
            adapter = _adapter(schema.hints[name], INPUT)
            properties[name] = {
                **properties[name],
                "default": from_json(adapter.dump_json(value, warnings="error")),
            }
        except (PydanticSerializationError, ValueError):
            continue  # A default without JSON form still works: it is the function's own.
    found.pop("title", None)
    return {"$schema": DIALECT, **found, "additionalProperties": False}


def _output_schema(schema: Schema) -> dict[str, Any]:
    found = {} if schema.untyped else schema._writer.json_schema(mode="serialization")
    if schema.signature.returns_description and "$ref" not in found:
        found.setdefault("description", schema.signature.returns_description)
    return {"$schema": DIALECT, **found}


def _raw(schema: Schema) -> str:
    """Return the parameter that a raw body is for: it alone reads bytes, no other is needed."""
    takers = [name for name, marker in schema.markers.items() if marker.reads]
    needed = [name for name in schema.hints if name not in schema.defaults]
    required = [name for name in takers if name in needed] or takers
    if len(required) != 1 or any(name != required[0] for name in needed):
        return ""
    return required[0]
