"""Read the parameters, hints and docstring of a function, without checks of types."""

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
    """A parameter; ``hint`` and ``default`` are ``MISSING`` if the author wrote none."""

    name: str
    hint: Any
    default: Any
    description: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's signature and docstring. For a stream, ``returns`` is the hint of an item."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: Any
    stream: bool = False
    is_async: bool = False
    description: str = ""
    returns_description: str = ""


def read(function: Callable[..., Any]) -> Signature:
    """Return a function's signature; raises ``DefinitionError`` with the parameter and the fix."""
    name = _function_name(function)
    unwrapped = inspect.unwrap(function)
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        if parameter.kind in REFUSED:
            raise _invalid(name, str(parameter).split(":")[0], REFUSED[parameter.kind])
    texts = _docstring(function)
    returns = _hint(name, unwrapped, "return", unwrapped.__annotations__.get("return", MISSING))
    stream = inspect.isgeneratorfunction(unwrapped) or inspect.isasyncgenfunction(unwrapped)
    return Signature(
        name=name,
        parameters=tuple(
            Parameter(
                name=item.name,
                hint=_hint(name, unwrapped, item.name, item.annotation),
                default=_default(name, item),
                description=texts.parameters.get(item.name, ""),
            )
            for item in parameters.values()
        ),
        returns=_item(returns) if stream else returns,
        stream=stream,
        is_async=inspect.iscoroutinefunction(unwrapped) or inspect.isasyncgenfunction(unwrapped),
        description=texts.description,
        returns_description=texts.returns,
    )


def _invalid(name: str, parameter: str, what: str) -> DefinitionError:
    return DefinitionError(f"Parameter {parameter!r} of {name!r} {what}.")


def _function_name(function: Any) -> str:
    """Return the name of a function, or raise ``DefinitionError`` for other objects."""
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
        name = getattr(function, "__qualname__", type(function).__name__)
        raise DefinitionError(
            f"{name!r} is not a Python function; it may be built-in, or an object with "
            f"'__call__'. Write a function with 'def' that calls {name!r}."
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
        raise _invalid(
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
    """Return the evaluated hint of a parameter, or of the key ``return``."""
    if annotation is MISSING:
        return MISSING
    try:
        return _evaluate(function, key, annotation)
    except Exception as error:
        hint = f"Parameter {key!r} of {name!r} has the hint {annotation!r}, which"
        if key == "return":
            hint = f"The return hint {annotation!r} of {name!r}"
        raise DefinitionError(
            f"{hint} cannot be evaluated ({error}). Define or import that name before the "
            "function, at the top level."
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
    """Parse a Google, NumPy or reST docstring; other docstrings are only a description."""
    text = inspect.getdoc(function) if function.__doc__ else None
    if not text:
        return _Docstring()
    import docstring_parser

    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return _Docstring(text)
    description = "\n\n".join(filter(None, (parsed.short_description, parsed.long_description)))
    return _Docstring(
        description,
        {item.arg_name: (item.description or "").strip() for item in parsed.params},
        ((parsed.returns and parsed.returns.description) or "").strip(),
    )
