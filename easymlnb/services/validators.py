"""Compile hints with pydantic: the check of a call's arguments, the encoder of its result.

The parameters become a typed dictionary in pydantic's core schema instead of a model, so that all
parameter names work (``copy``, ``json``, ``model_name``) and a body is converted to keyword
arguments in one step.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic_core import SchemaError, core_schema

from easymlnb.contract.errors import DefinitionError
from easymlnb.services.signature import MISSING, Parameter, Signature
from easymlnb.types.base import Type
from easymlnb.types.resolve import marker_of, resolve

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

Unknown = Literal["forbid", "ignore"]
"""What happens to arguments that the function does not have."""

INPUT = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=False)
RESULT = ConfigDict(arbitrary_types_allowed=False, ser_json_inf_nan="null")


@dataclass(frozen=True, slots=True)
class ResolvedHints:
    """The resolved hints of a function; ``markers`` are those with their own encoding."""

    signature: Signature
    hints: dict[str, Any]
    markers: dict[str, Type]
    returns: Any

    @classmethod
    def of(cls, signature: Signature) -> "ResolvedHints":
        """Resolve the hints of a signature; raises ``DefinitionError`` with the parameter."""
        hints = {item.name: _input_hint(signature.name, item) for item in signature.parameters}
        markers = {name: marker for name, hint in hints.items() if (marker := marker_of(hint))}
        return cls(
            signature,
            hints,
            markers,
            None if signature.returns is MISSING else resolve(signature.returns),
        )

    @property
    def untyped(self) -> bool:
        """Whether the function has no return hint."""
        return self.signature.returns is MISSING


def input_adapter(hints: ResolvedHints, unknown: Unknown = "forbid") -> TypeAdapter[Any]:
    """Return the adapter of the arguments; raises ``DefinitionError``."""
    try:
        return adapter(Annotated[dict[str, Any], _Arguments(hints, unknown)])
    except DefinitionError:
        raise
    except Exception:
        raise_for_bad_parameter(hints)
        raise


def output_adapter(hints: ResolvedHints) -> TypeAdapter[Any]:
    """Return the adapter of the result, or of one item of a stream."""
    if hints.untyped:
        return TypeAdapter(Any)
    try:
        return adapter(hints.returns, RESULT)
    except DefinitionError:
        raise
    except ImportError as error:
        raise DefinitionError(f"The result of {hints.signature.name!r}: {error}.") from error
    except Exception as error:
        raise DefinitionError(
            f"The return hint {hints.signature.returns} of {hints.signature.name!r} cannot be "
            "converted to JSON. Use a plain type, a dataclass, a pydantic model or one of "
            "easymlnb's types, or omit the hint."
        ) from error


def adapter(hint: Any, config: ConfigDict = INPUT) -> TypeAdapter[Any]:
    """Compile one hint."""
    try:
        return TypeAdapter(hint, config=config)
    except Exception as error:
        # pydantic refuses a config for a model, which has its own.
        if getattr(error, "code", "") != "type-adapter-config-unused":
            raise
        return TypeAdapter(hint)


def raise_for_bad_parameter(hints: ResolvedHints) -> None:
    """Raise ``DefinitionError`` for the first parameter whose hint pydantic cannot compile."""
    for item in hints.signature.parameters:
        try:
            adapter(hints.hints[item.name]).json_schema()
        except Exception as error:
            raise _unusable(hints.signature.name, item, error) from error


class _Arguments:
    """Annotates a dictionary with the function's parameters."""

    def __init__(self, hints: ResolvedHints, unknown: Unknown) -> None:
        self._hints = hints
        self._unknown: Unknown = unknown

    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> core_schema.CoreSchema:
        return core_schema.typed_dict_schema(
            {
                item.name: core_schema.typed_dict_field(
                    self._schema_of(item, handler), required=item.default is MISSING
                )
                for item in self._hints.signature.parameters
            },
            extra_behavior=self._unknown,
            config={"allow_inf_nan": False},
        )

    def _schema_of(
        self, item: Parameter, handler: "GetCoreSchemaHandler"
    ) -> core_schema.CoreSchema:
        marker = self._hints.markers.get(item.name)
        if marker is not None and marker.result_only:
            raise DefinitionError(
                f"Parameter {item.name!r} of {self._hints.signature.name!r} is a "
                f"{type(marker).__name__}, which is for results only. Use another type."
            )
        try:
            if isinstance(item.hint, dict | list | set | tuple):
                # pydantic would use a dictionary as a schema.
                raise TypeError(f"{item.hint!r} is a value, not a type")
            return handler.generate_schema(self._hints.hints[item.name])
        except Exception as error:
            raise _unusable(self._hints.signature.name, item, error) from error


def _unusable(name: str, item: Parameter, error: Exception) -> DefinitionError:
    if isinstance(error, DefinitionError):
        return error
    if isinstance(error, ImportError):
        return DefinitionError(f"Parameter {item.name!r} of {name!r}: {error}.")
    if isinstance(error, SchemaError):
        reason = str(error).strip().splitlines()[-1].strip()
        return DefinitionError(
            f"Parameter {item.name!r} of {name!r} has invalid constraints: {reason}"
        )
    hint = item.hint if item.hint is not MISSING else type(item.default)
    shown = hint.__qualname__ if isinstance(hint, type) else hint
    return DefinitionError(
        f"Parameter {item.name!r} of {name!r} has the type {shown}, which cannot be converted "
        "from JSON. Use a plain type, a dataclass, a pydantic model or one of easymlnb's types, "
        "or define your own type by subclassing 'easymlnb.Type'."
    )


def _input_hint(name: str, item: Parameter) -> Any:
    try:
        return _resolved(item)
    except TypeError as error:
        raise DefinitionError(
            f"Parameter {item.name!r} of {name!r} has an invalid hint: {error}."
        ) from error


def _resolved(item: Parameter) -> Any:
    hint = item.hint
    if hint is MISSING:
        hint = Any if item.default is MISSING or item.default is None else type(item.default)
    elif item.default is None and not _takes_none(hint):
        # 'x: int = None' accepts null.
        hint = Optional[hint]  # noqa: UP045 - markers do not support '|'
    hint = resolve(hint)
    if item.description:
        hint = Annotated[hint, Field(description=item.description)]
    return hint


def _takes_none(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return _takes_none(hint.__origin__)
    return hint in (Any, None) or type(None) in get_args(hint)
