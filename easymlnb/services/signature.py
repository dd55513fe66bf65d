"""From a function to its parameters, hints and texts, without any judgement about types."""

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from easymlnb.contract.errors import DefinitionError

MISSING: Any = inspect.Parameter.empty
ITEMS = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
)
REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: (
        "accepts any number of values, which a form or JSON object cannot represent. Use a "
        "parameter 'values: list[...]' instead"
    ),
    inspect.Parameter.VAR_KEYWORD: (
        "accepts any names, which a schema cannot list. Declare each parameter, or use one "
        "'options: dict[str, ...]'"
    ),
    inspect.Parameter.POSITIONAL_ONLY: (
        "is positional-only, but services are called with named parameters. Remove the '/' from "
        "the signature"
    ),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; ``hint`` or ``default`` is ``MISSING`` where the author wrote none."""

    name: str
    hint: Any
    default: Any
    description: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function says about itself. ``returns`` is the item's hint when it is a stream."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: Any
    stream: bool = False
    is_async: bool = False
    description: str = ""
    returns_description: str = ""


def read(function: Callable[..., Any]) -> Signature:
    """Return a function's signature; raise ``DefinitionError`` naming the parameter and the fix."""
    name = _function_name(function)
    plain = inspect.unwrap(function)
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        if parameter.kind in REFUSED:
            raise _wrong(name, str(parameter).split(":")[0], REFUSED[parameter.kind])
    texts = _docstring(function)
    returns = _returns(name, plain)
    stream = inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)
    return Signature(
        name=name,
        parameters=tuple(
            Parameter(
                name=item.name,
                hint=_hint(name, plain, item.name, item.annotation),
                default=_default(name, item),
                description=texts.parameters.get(item.name, ""),
            )
            for item in parameters.values()
        ),
        returns=_item(returns) if stream else returns,
        stream=stream,
        is_async=inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain),
        description=texts.description,
        returns_description=texts.returns,
    )


def _wrong(name: str, parameter: str, what: str) -> DefinitionError:
    return DefinitionError(f"Parameter {parameter!r} of {name!r} {what}.")


def _function_name(function: Any) -> str:
    """Return a plain function's name, or say why this is not one."""
    if isinstance(function, functools.partial):
        raise DefinitionError(
            "A partial has no name or docstring. Wrap the call in a function with 'def'."
        )
    if isinstance(function, staticmethod | classmethod | types.MethodType):
        raise DefinitionError(
            f"{function.__func__.__qualname__!r} is a method. Write a function at the top level "
            "of the notebook that calls the method."
        )
    if isinstance(function, type):
        raise DefinitionError(
            f"{function.__qualname__!r} is a class. Write a function that creates and uses an "
            "instance."
        )
    if not inspect.isfunction(function):
        said = getattr(function, "__qualname__", type(function).__name__)
        raise DefinitionError(
            f"{said!r} is not a Python function; it may be built-in, or an object with "
            f"'__call__'. Write a function with 'def' that calls {said!r}."
        )
    if function.__name__ == "<lambda>":
        raise DefinitionError(
            "A lambda has no name and no type hints. Write a function with 'def'."
        )
    outer = function.__qualname__.split(".")[:-1]
    first = next(iter(inspect.signature(function).parameters), "")
    if outer and outer[-1] != "<locals>" and first in ("self", "cls"):
        raise DefinitionError(
            f"Parameter {first!r} of {function.__qualname__!r} is a method's object, which "
            "callers cannot send. Write a function outside the class that creates and uses the "
            "object."
        )
    return function.__name__


def _default(name: str, item: inspect.Parameter) -> Any:
    kind = type(item.default)
    if kind.__module__ == "pydantic.fields" and kind.__name__ == "FieldInfo":
        raise _wrong(
            name,
            item.name,
            "has 'Field(...)' as its default, which an ordinary call would pass to the function. "
            f"Write '{item.name}: Annotated[<type>, Field(...)] = <default>' instead",
        )
    return item.default


def _evaluate(function: Any, key: str, annotation: Any) -> Any:
    names = {
        cell_name: cell.cell_contents
        for cell_name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        )
        if cell != types.CellType()
    }
    holder = types.SimpleNamespace(__annotations__={key: annotation})
    return typing.get_type_hints(
        holder, globalns=function.__globals__, localns=names, include_extras=True
    )[key]


def _hint(name: str, function: Any, key: str, annotation: Any) -> Any:
    if annotation is MISSING:
        return MISSING
    try:
        return _evaluate(function, key, annotation)
    except Exception as error:
        raise _wrong(
            name,
            key,
            f"has the hint {annotation!r}, which cannot be evaluated ({error}). "
            "Define or import that name before the function, at the top level",
        ) from error


def _returns(name: str, function: Any) -> Any:
    annotation = function.__annotations__.get("return", MISSING)
    if annotation is MISSING:
        return MISSING
    try:
        return _evaluate(function, "return", annotation)
    except Exception as error:
        raise DefinitionError(
            f"The return hint {annotation!r} of {name!r} cannot be evaluated ({error}). "
            "Define or import that name before the function, at the top level."
        ) from error


def _item(returns: Any) -> Any:
    """Return the hint of one item of a stream."""
    if returns is MISSING or get_origin(returns) not in ITEMS:
        return MISSING
    return get_args(returns)[0]


@dataclass(frozen=True, slots=True)
class _Docstring:
    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    returns: str = ""


def _docstring(function: Any) -> _Docstring:
    """Read a Google, NumPy or reST docstring; one that is none of them is all description."""
    text = inspect.getdoc(function) if function.__doc__ else None
    if not text:
        return _Docstring()
    import docstring_parser

    try:
        found = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return _Docstring(text)
    description = "\n\n".join(filter(None, (found.short_description, found.long_description)))
    return _Docstring(
        description,
        {item.arg_name: (item.description or "").strip() for item in found.params},
        ((found.returns and found.returns.description) or "").strip(),
    )
