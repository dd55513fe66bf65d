"""What a person should see of a result: a list of parts, ready for any page.

A part is ``{"kind", "title", "data", "media_type"?, "name"?, "more"?}``, and
``docs/reference/views.md`` lists the kinds. Types say in ``Type.parts`` what they look like; the
rest is decided here.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from easymlnb.types import inference, record
from easymlnb.types.base import Marked, Type
from easymlnb.types.model import is_model
from easymlnb.types.resolve import inner, marker_of

if TYPE_CHECKING:
    from easymlnb.services.schema import Schema

MAX_PARTS = 50
"""A result with more entries than this is shown as one piece of JSON."""


def to_parts(value: Any, schema: "Schema | None" = None) -> list[dict[str, Any]]:
    """Return the parts of a result; ``schema`` adds what the function's hints say about it.

    Raises ``ResultNotEncodable`` when something in it can be neither shown nor sent.
    """
    return _parts(value, "", schema.returns if schema is not None else None)


def _parts(value: Any, title: str, hint: Any) -> list[dict[str, Any]]:
    if is_model(value) and inference.infer_type(value) is None:
        value = inference.dump_model(value, title, marked=True)
    said = marker_of(hint) if value is not None else None
    found = said or inference.infer_type(value)
    if isinstance(value, Marked):
        value = value.value
    if found is not None and (shown := _by_type(found, value, title)) is not None:
        return shown
    named = _named(value)
    if named is not None and 0 < len(named) <= MAX_PARTS and _worth_splitting(named):
        return [
            part
            for at, (name, item) in enumerate(named.items())
            for part in _parts(item, name, inner(hint, name, at))
        ]
    return [_plain(value, title)]


def _by_type(marker: Type, value: Any, title: str) -> list[dict[str, Any]] | None:
    try:
        return marker.parts(value, title)
    except ValueError:
        # The result is not what its hint says; it is shown by what it is.
        other = inference.infer_type(value)
        return other.parts(value, title) if other and type(other) is not type(marker) else None


def _named(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if record.is_named_tuple(type(value)) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    ):
        found: Mapping[str, Any] = record.as_dict(value)
        return found
    if isinstance(value, tuple):
        return {str(at): item for at, item in enumerate(value, 1)}
    if isinstance(value, list) and any(inference.infer_type(item) for item in value[:MAX_PARTS]):
        return {str(at): item for at, item in enumerate(value, 1)}
    return None


def _worth_splitting(named: Mapping[str, Any]) -> bool:
    """Deep or long plain data reads better as one piece than as many small ones."""
    plain = [item for item in named.values() if isinstance(item, list | Mapping)]
    return len(plain) < len(named) or any(
        inference.infer_type(i) for p in plain for i in _entries(p)
    )


def _entries(value: Any) -> list[Any]:
    return list(value.values() if isinstance(value, Mapping) else value)[:MAX_PARTS]


def _plain(value: Any, title: str) -> dict[str, Any]:
    data = to_jsonable_python(inference.to_json_value(value, title), inf_nan_mode="null")
    if isinstance(data, bool) or data is None:
        kind = "json"
    elif isinstance(data, int | float):
        kind = "number"
    elif isinstance(data, str):
        kind = "text"
    else:
        kind = "json"
    return {"kind": kind, "title": title, "data": data}
