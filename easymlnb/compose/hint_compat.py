"""Check by type hints whether the result of a function can be the input of another.

Only combinations that always fail are refused: hints are often wider than the values, and missing
hints are compatible with everything.
"""

import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin

from easymlnb.services.signature import MISSING
from easymlnb.types import record
from easymlnb.types.base import Hint
from easymlnb.types.resolve import resolve

UNIONS = (Union, types.UnionType)
PROMOTED = {(int, float), (int, complex), (float, complex)}


def is_assignable(source: Any, target: Any) -> bool:
    """Say whether a value of the hint ``given`` may be passed as ``wanted``."""
    source, target = strip_metadata(source), strip_metadata(target)
    if source is Any or target is Any:
        return True
    if get_origin(source) in UNIONS:
        return any(is_assignable(member, target) for member in get_args(source))
    if get_origin(target) in UNIONS:
        return any(is_assignable(source, member) for member in get_args(target))
    if get_origin(source) is Literal:
        return any(is_assignable(type(member), target) for member in get_args(source))
    if get_origin(target) is Literal:
        return any(is_assignable(source, type(member)) for member in get_args(target))
    return _related(source, target)


def strip_metadata(hint: Any) -> Any:
    """Return a hint without markers and metadata; ``Any`` if it is missing or open."""
    if hint is MISSING or isinstance(hint, TypeVar):
        return Any
    if isinstance(hint, NewType):
        return strip_metadata(hint.__supertype__)
    try:
        hint = resolve(hint)
    except TypeError:  # an invalid hint, which is reported elsewhere
        return Any
    while get_origin(hint) is Annotated:
        hint = hint.__origin__
    return Any if hint is object or isinstance(hint, TypeVar) else hint


def fields(hint: Any) -> Mapping[str, Any] | None:
    """Return the fields of a dataclass, TypedDict, NamedTuple or model with their hints."""
    kind = strip_metadata(hint)
    if not isinstance(kind, type):
        return None
    if hasattr(kind, "__pydantic_fields__"):
        return {name: field.annotation for name, field in kind.__pydantic_fields__.items()}
    names = record.fields(kind)
    if names is None:
        return None
    own = typing.get_type_hints(kind)
    return {name: own[name] for name in names}


def format_hint(hint: Any) -> str:
    """Return a hint as text, without the modules of its classes."""
    if isinstance(hint, Hint):
        return type(hint).__name__
    if get_origin(hint) is Annotated:
        return format_hint(hint.__origin__)
    if hint is None or hint is type(None):
        return "None"
    if isinstance(hint, type) and get_origin(hint) is None:
        return hint.__qualname__.rpartition("<locals>.")[2]
    return re.sub(r"(?:\w+\.)+(?=\w)", "", str(hint))


def _related(given: Any, wanted: Any) -> bool:
    source, target = _class(given), _class(wanted)
    if source is None or target is None or (source, target) in PROMOTED:
        return True
    try:
        if not (issubclass(source, target) or issubclass(target, source)):
            return False
    except TypeError:  # protocols, among others
        return True
    mine, theirs = get_args(given), get_args(wanted)
    if source is not target or len(mine) != len(theirs):
        return True
    return all(is_assignable(a, b) for a, b in zip(mine, theirs, strict=True))


def _class(hint: Any) -> type | None:
    kind = type(None) if hint is None else get_origin(hint) or hint
    if typing.is_typeddict(kind):
        return dict
    return kind if isinstance(kind, type) else None
