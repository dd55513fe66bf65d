"""Encode values as JSON by their class, for functions without a return hint."""

import dataclasses
import datetime
import decimal
import enum
import sys
import types
import uuid
from collections.abc import Mapping
from typing import Any

from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.types import moments, record
from easymlnb.types.base import Marked, Type, find_loaded, is_a, type_for_class
from easymlnb.types.model import dump, is_model

PLAIN = (bool, int, float, str, types.NoneType)
MAX_DEPTH = 200
CONTAINERS = (dict, list, tuple, set, frozenset)
KNOWN = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    uuid.UUID,
)
"""Types that pydantic encodes."""


def infer_type(value: Any) -> Type | None:
    """Return the type of a value's class."""
    if isinstance(value, Type):
        return value
    if isinstance(value, Marked):
        return value.marker
    if type(value) in PLAIN or type(value) in CONTAINERS:
        return None
    kind = type_for_class(type(value))
    return kind() if kind else None


def to_json_value(value: Any, place: str = "", outer: tuple[int, ...] = ()) -> Any:
    """Return ``value`` as JSON values; raises ``ResultNotEncodable`` with the place."""
    if type(value) in PLAIN or (isinstance(value, KNOWN) and not is_missing(value)):
        return value
    if is_missing(value):
        return None
    if id(value) in outer:
        raise ResultNotEncodable(f"The result contains itself{_at(place)}.")
    if len(outer) > MAX_DEPTH:
        raise ResultNotEncodable(f"The result is nested deeper than {MAX_DEPTH} levels.")
    marker = infer_type(value)
    if marker is None:
        return _untyped(value, place, (*outer, id(value)))
    try:
        return marker.encode(value.value if isinstance(value, Marked) else value)
    except ValueError as error:
        raise ResultNotEncodable(f"The result cannot be sent{_at(place)}: {error}") from error


def _untyped(value: Any, place: str, outer: tuple[int, ...]) -> Any:
    """Encode a value without one of our types."""
    if isinstance(value, enum.Enum):
        return to_json_value(value.value, place, outer)
    if isinstance(value, str | int | float):
        return value
    if moments.is_moment(type(value)):
        return moments.text(value)
    if is_a(type(value), "pandas.Interval", "pandas.Period"):
        return str(value)
    if _is_scalar(value):
        return to_json_value(value.item(), place, outer)
    if is_model(value):
        return to_json_value(dump_model(value, place, outer), place, outer)
    if (named := members(value)) is not None:
        return {_key(key, place): _entry(item, place, key, outer) for key, item in named.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_entry(item, place, at, outer) for at, item in enumerate(value)]
    raise ResultNotEncodable(
        f"The result cannot be sent{_at(place)}: {_name(type(value))} cannot be converted to "
        "JSON. Return plain values, arrays, tables, images, figures or files."
    )


def _entry(item: Any, place: str, key: Any, outer: tuple[int, ...]) -> Any:
    # Results are often long lists of numbers, so plain entries are fast.
    return item if type(item) in PLAIN else to_json_value(item, f"{place}.{key}".lstrip("."), outer)


def is_missing(value: Any) -> bool:
    """Say whether a value is a missing value of pandas."""
    kind = type(value).__name__
    return (kind == "NaTType" and value is find_loaded("pandas.NaT")) or (
        kind == "NAType" and value is find_loaded("pandas.NA")
    )


def dump_model(value: Any, place: str, outer: tuple[int, ...] = (), *, marked: bool = False) -> Any:
    """Return a model's dump as JSON values; with ``marked``, values of our types remain.

    Raises ``ResultNotEncodable``.
    """
    try:
        return dump(value, lambda item: to_json_value(item, place, outer), marked=marked)
    except ValueError as error:
        if "Circular reference" in str(error):
            raise ResultNotEncodable(f"The result contains itself{_at(place)}.") from error
        raise ResultNotEncodable(
            f"The result cannot be sent{_at(place)}: {_name(type(value))} cannot be converted to "
            "JSON."
        ) from error


def members(value: Any) -> Mapping[Any, Any] | None:
    """Return the entries of a mapping, dataclass or named tuple by name."""
    if isinstance(value, Mapping):
        return value
    if record.is_named_tuple(type(value)) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    ):
        fields: Mapping[Any, Any] = record.as_dict(value)
        return fields
    return None


def _is_scalar(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic) and hasattr(value, "item")


def _key(key: Any, place: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, bool | int | float | str | datetime.date | uuid.UUID) or _is_scalar(key):
        return str(key)
    raise ResultNotEncodable(
        f"The result cannot be sent{_at(place)}: its keys must be strings, not {_name(type(key))}."
    )


def _at(place: str) -> str:
    return f" at {place!r}" if place else ""


def _name(kind: type) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
