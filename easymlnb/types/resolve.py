"""Resolve hints: add the ``Type`` of each class that has one, at any depth."""

import collections.abc
import functools
import operator
import types
import typing
from typing import Annotated, Any, Union, get_args, get_origin

from easymlnb.types import record
from easymlnb.types.base import Hint, Type, find_loaded, type_for_class
from easymlnb.types.finite_numbers import Anything, Finite
from easymlnb.types.members import EnumMembers

NONE = type(None)
DEFAULT_ARGUMENTS: dict[Any, Any] = {
    list: list[Any],
    dict: dict[str, Any],
    tuple: tuple[Any, ...],
    set: set[Any],
    frozenset: frozenset[Any],
}
"""Hints for containers without arguments."""


def marker_of(hint: Any) -> Type | None:
    """Return the ``Type`` of a resolved hint, also of an ``Optional`` one."""
    if get_origin(hint) is Annotated:
        markers = [item for item in hint.__metadata__ if isinstance(item, Type)]
        return markers[-1] if markers else marker_of(hint.__origin__)
    if get_origin(hint) in (Union, types.UnionType):
        inner = [arg for arg in get_args(hint) if arg is not NONE]
        return marker_of(inner[0]) if len(inner) == 1 else None
    return None


def inner(hint: Any, name: str, at: int) -> Any:
    """Return the resolved hint of an entry of a value, by its name or position."""
    arguments = get_args(hint)
    if get_origin(hint) is Annotated:
        for item in hint.__metadata__:
            if isinstance(item, record.RecordValidator):
                return item.hints.get(name)
        return inner(hint.__origin__, name, at)
    if get_origin(hint) in (Union, types.UnionType):
        others = [arg for arg in arguments if arg is not NONE]
        return inner(others[0], name, at) if len(others) == 1 else None
    if get_origin(hint) is tuple and arguments[-1] is not ...:
        return arguments[at] if at < len(arguments) else None
    if get_origin(hint) in (list, tuple):
        return arguments[0]
    return arguments[1] if len(arguments) == 2 else None


def resolve(hint: Any, seen: tuple[type, ...] = ()) -> Any:
    """Return the hint with markers and native classes as ``Annotated[class, marker]``."""
    if isinstance(hint, Hint):
        return Annotated[hint.source, hint]
    container = get_origin(hint) or hint
    if isinstance(container, type) and container in DEFAULT_ARGUMENTS and not get_args(hint):
        return resolve(DEFAULT_ARGUMENTS[container], seen)
    if hint is typing.Any or hint is object:
        return Annotated[Any, Anything()]
    if (expanded := _expand_alias(hint)) is not None:
        return resolve(expanded, seen)
    if type(hint).__name__ == "TypeAliasType":
        # An alias may be recursive, such as pydantic's JsonValue.
        return Annotated[hint, Finite()]
    if get_origin(hint) is Annotated:
        return _annotated(hint.__origin__, hint.__metadata__, seen)
    if isinstance(hint, type) and get_origin(hint) is None:
        return _class(hint, seen)
    return _generic(hint, seen)


def _expand_alias(hint: Any) -> Any:
    """Return what an alias of one of our types means, such as numpy's ``NDArray``, else ``None``.

    numpy makes it with a ``type`` statement on Python 3.12 and newer.
    """
    alias = get_origin(hint) or hint
    if type(alias).__name__ != "TypeAliasType":
        return None
    value = alias.__value__
    origin = get_origin(value)
    if not isinstance(origin, type) or type_for_class(origin) is None:
        return None
    return value[get_args(hint)] if get_args(hint) else value


def _class(kind: type, seen: tuple[type, ...]) -> Any:
    if issubclass(kind, Hint):
        try:
            return Annotated[kind.source, kind()]
        except TypeError:
            raise TypeError(
                f"{kind.__name__} requires options, as in {kind.__name__}(...)"
            ) from None
    marker = type_for_class(kind)
    if marker is not None:
        return Annotated[kind, marker.of(kind)]
    if (number := _python_number(kind)) is not None:
        return number
    if (members := EnumMembers.of(kind)) is not None:
        return Annotated[kind, members]
    if hasattr(kind, "__pydantic_fields__"):
        return Annotated[kind, Finite()]
    required = record.fields(kind)
    if required is None or kind in seen:
        return kind
    own = typing.get_type_hints(kind, include_extras=True)
    for name, hint in own.items():
        if get_origin(hint) in (typing.Required, typing.NotRequired):
            own[name] = get_args(hint)[0]
            required[name] = get_origin(hint) is typing.Required
    hints = {name: resolve(own[name], (*seen, kind)) for name in required}
    # Before Python 3.12, pydantic refuses typing.TypedDict.
    ours = record.is_named_tuple(kind) or typing.is_typeddict(kind)
    if ours or any(hints[name] != own[name] for name in required):
        return Annotated[kind, record.RecordValidator(kind, hints, required)]
    return kind


def _python_number(kind: type) -> type | None:
    """Return the Python type for one of numpy's scalar types."""
    for name, number in (("bool_", bool), ("integer", int), ("floating", float)):
        scalar = find_loaded(f"numpy.{name}")
        if scalar is not None and issubclass(kind, scalar):
            return number
    return None


def _annotated(base: Any, metadata: tuple[Any, ...], seen: tuple[type, ...]) -> Any:
    # HTML and Markdown are texts, which provide their types.
    metadata = tuple(
        getattr(item, "__easymlnb_type__", lambda item=item: item)() for item in metadata
    )
    hints = [item for item in metadata if isinstance(item, Hint)]
    if not hints:
        return Annotated[resolve(base, seen), *metadata]
    if get_origin(base) in (Union, types.UnionType) and NONE in get_args(base):
        # The marker does not apply to None.
        inner = functools.reduce(operator.or_, (a for a in get_args(base) if a is not NONE))
        others = tuple(item for item in metadata if not isinstance(item, Hint))
        optional = _annotated(inner, tuple(hints), seen) | None
        return Annotated[optional, *others] if others else optional
    if isinstance(base, type) and get_origin(base) is None and issubclass(base, Hint):
        base = hints[-1].source
    return Annotated[base, *metadata]


def _generic(hint: Any, seen: tuple[type, ...]) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(origin, type) and (marker := type_for_class(origin)) is not None:
        return Annotated[origin, marker.of(hint)]
    if origin is None or origin is typing.Literal or not arguments:
        return hint
    if origin is collections.abc.Iterable:
        # pydantic would check the entries only when the function iterates.
        return resolve(list[arguments], seen)  # type: ignore[valid-type]
    resolved = tuple(arg if arg is ... else resolve(arg, seen) for arg in arguments)
    if resolved == arguments:
        return hint
    if origin in (Union, types.UnionType):
        return Union[resolved]  # noqa: UP007 - built from a tuple
    if hasattr(hint, "copy_with"):
        return hint.copy_with(resolved)
    return origin[resolved]
