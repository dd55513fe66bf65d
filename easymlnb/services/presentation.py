"""The view of a result: a list of parts that any page can show.

A part is ``{"kind", "title", "data", "media_type"?, "name"?, "more"?}``;
``docs/reference/views.md`` lists the kinds. Types define their parts in ``Type.parts``; values of
other types are handled here.
"""

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from easymlnb.types import inference
from easymlnb.types.base import Marked, Type, is_a
from easymlnb.types.model import is_model
from easymlnb.types.resolve import inner, marker_of

if TYPE_CHECKING:
    from easymlnb.services.schema import Schema

MAX_PARTS = 50
"""Entries above which a result is shown as one JSON value."""


def to_parts(value: Any, schema: "Schema | None" = None) -> list[dict[str, Any]]:
    """Return the parts of a result; with ``schema``, by the function's return hint.

    Raises ``ResultNotEncodable`` if a value in it has no JSON encoding.
    """
    return _parts(value, "", schema.returns if schema is not None else None)


def _parts(value: Any, title: str, hint: Any) -> list[dict[str, Any]]:
    if is_model(value) and inference.infer_type(value) is None:
        value = inference.dump_model(value, title, marked=True)
    hinted = marker_of(hint) if value is not None else None
    marker = hinted or inference.infer_type(value)
    if isinstance(value, Marked):
        value = value.value
    if marker is not None and (shown := _by_type(marker, value, title)) is not None:
        return shown
    named = _named(value)
    if named is not None and 0 < len(named) <= MAX_PARTS and _worth_splitting(named):
        return [
            part
            for at, (name, item) in enumerate(named.items())
            for part in _parts(item, name, inner(hint, name, at))
        ]
    return [_json_part(value, title)]


def _by_type(marker: Type, value: Any, title: str) -> list[dict[str, Any]] | None:
    try:
        return marker.parts(value, title)
    except ValueError:
        # The result does not match its hint; its own class decides.
        other = inference.infer_type(value)
        return other.parts(value, title) if other and type(other) is not type(marker) else None


def _named(value: Any) -> Mapping[str, Any] | None:
    fields = inference.members(value)
    if fields is not None:
        return {str(name): item for name, item in fields.items()}
    is_list = isinstance(value, list) and any(map(inference.infer_type, value[:MAX_PARTS]))
    if is_list or isinstance(value, tuple):
        return {str(at): item for at, item in enumerate(value, 1)}
    return None


def _worth_splitting(named: Mapping[str, Any]) -> bool:
    """Say whether parts read better than one JSON value, as for deep or long plain data."""
    containers = [item for item in named.values() if isinstance(item, list | Mapping)]
    return len(containers) < len(named) or any(
        inference.infer_type(i) for p in containers for i in _entries(p)
    )


def _entries(value: Any) -> list[Any]:
    return list(value.values() if isinstance(value, Mapping) else value)[:MAX_PARTS]


def _json_part(value: Any, title: str) -> dict[str, Any]:
    data = to_jsonable_python(inference.to_json_value(value, title), inf_nan_mode="null")
    is_number = isinstance(data, int | float) and not isinstance(data, bool)
    kind = "number" if is_number else "text" if isinstance(data, str) else "json"
    part = {"kind": kind, "title": title, "data": data}
    if kind == "text" and _is_duration(value):
        part["more"] = {"format": "duration"}
    return part


def _is_duration(value: Any) -> bool:
    return isinstance(value, datetime.timedelta) or is_a(type(value), "numpy.timedelta64")
