"""The JSON Schemas of tools, made from those of services. Pure functions."""

from collections.abc import Mapping
from typing import Any

from easymlnb.contract.file_parameters import file_parameters, takes_bytes
from easymlnb.contract.jsonschema import HINTS, alternatives, own_hints, walk
from easymlnb.contract.spec import ServiceSpec

Schema = dict[str, Any]

UPLOAD: Schema = {
    "type": "object",
    "description": "A file that was uploaded before; the tool begin_upload explains how.",
    "properties": {
        "upload": {"type": "string"},
        "name": {"type": "string"},
        "media_type": {"type": "string"},
    },
    "required": ["upload"],
    "additionalProperties": False,
}
"""What a file can be besides its content."""

SHOWN = frozenset(("audio", "file", "image", "plot", "webcam"))
"""Widgets of results that a client should show, as their JSON is not for reading."""

_MAPS = frozenset(("properties", "patternProperties", "dependentSchemas", "$defs"))
_DATA = frozenset(("default", "enum", "const", "examples", "required"))


def takes_files(spec: ServiceSpec) -> bool:
    """Return whether a parameter of a service accepts files."""
    return bool(file_parameters(spec.input))


def has_view(spec: ServiceSpec) -> bool:
    """Return whether results should be shown, because they are more than JSON, or may be."""
    if spec.stream:
        return False
    if spec.view:
        return True
    for node in walk(spec.output, spec.output):
        if own_hints(node).get("widget") in SHOWN:
            return True
    return not _is_typed(spec.output)


def _is_typed(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema says what a result is."""
    keys = ("type", "enum", "const")
    return all(any(key in one for key in keys) for one in alternatives(schema, schema))


def input_schema(spec: ServiceSpec) -> Schema:
    """Return the schema of a tool's arguments: without hints for widgets, and with uploads."""
    return {"type": "object", **_plain(spec.input)}


def output_schema(spec: ServiceSpec) -> Schema | None:
    """Return the schema of a tool's structured results; ``None`` if it has none.

    A stream has none, and neither has a call that may end as a job.
    """
    if spec.stream or spec.on_timeout or not _is_typed(spec.output):
        return None
    return _plain(spec.output, inputs=False)


def is_object(schema: Mapping[str, Any]) -> bool:
    """Return whether all values of a schema are objects."""
    return all(one.get("type") == "object" for one in alternatives(schema, schema))


def object_schema(schema: Schema) -> Schema:
    """Return the schema of a result for clients that expect an object.

    What is no object is in one, as ``{"result": ...}``.
    """
    if is_object(schema):
        return {"type": "object", **schema}
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    found: Schema = {"type": "object", "properties": {"result": inner}, "required": ["result"]}
    return found | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def _plain(schema: Mapping[str, Any], *, inputs: bool = True) -> Schema:
    """Return a schema without our hints; with ``inputs``, files can be uploads, too."""
    found: Schema = {}
    for key, value in schema.items():
        if key == HINTS:
            continue
        if key in _MAPS and isinstance(value, Mapping):
            found[key] = {name: _inner(one, inputs) for name, one in value.items()}
        else:
            found[key] = value if key in _DATA else _inner(value, inputs)
    return _with_uploads(found) if inputs and takes_bytes(schema) else found


def _inner(value: Any, inputs: bool) -> Any:
    if isinstance(value, Mapping):
        return _plain(value, inputs=inputs)
    if isinstance(value, list | tuple):
        return [_inner(one, inputs) for one in value]
    return value


def _with_uploads(schema: Schema) -> Schema:
    """Return the schema of a file that may also be an upload."""
    if isinstance(schema.get("anyOf"), list):
        return schema | {"anyOf": [*schema["anyOf"], UPLOAD]}
    about = {key: schema.pop(key) for key in ("title", "description", "default") if key in schema}
    return about | {"anyOf": [schema, UPLOAD]}
