"""Services as models of the Open Inference Protocol: the tensors of their parameters and results.

The server describes services with this module; kernels read and write the tensors by it.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec

from easymlnb.contract.jsonschema import Schema, alternatives, hints, properties, resolve
from easymlnb.contract.spec import ServiceSpec

TENSORS: Final = "application/vnd.easymlnb.tensors"
"""Media type of an inference request or response: a JSON head, then the bytes of tensors.

The parameter ``head`` has the number of bytes of the head; without it, all is the head.
"""

BYTES: Final = "BYTES"
LENGTH_SIZE: Final = 4
"""Bytes of the length before each element of a ``BYTES`` tensor."""

FORMATS: Final = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
    "BF16": "H",
}
"""Datatype of numbers -> format of one element in Python's ``struct``, little endian."""

SIZES: Final = {
    name: {"?": 1, "B": 1, "b": 1, "H": 2, "h": 2, "e": 2, "I": 4, "i": 4, "f": 4}.get(code, 8)
    for name, code in FORMATS.items()
}
"""Datatype of numbers -> bytes of one element."""

NUMPY: Final = {
    "bool": "BOOL",
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    "bfloat16": "FP32",
}
"""Name of a dtype of numpy or torch -> datatype."""

COLUMNS: Final = {"int": "INT64", "float": "FP64", "bool": "BOOL"}
"""Kind of a table's column -> datatype; other kinds are texts."""

_SCALARS: Final = {"integer": "INT64", "number": "FP64", "boolean": "BOOL", "string": BYTES}


class TensorKind(StrEnum):
    """What a tensor is for a parameter or result."""

    SCALAR = "scalar"
    LIST = "list"
    ARRAY = "array"
    FILE = "file"
    TABLE = "table"
    JSON = "json"


class TensorForm(msgspec.Struct, frozen=True):
    """How a value is a tensor: its kind, datatype and shape; -1 is any size."""

    kind: TensorKind
    datatype: str = BYTES
    shape: tuple[int, ...] = (1,)


class TensorMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tensor as the metadata of a model describes it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] = {}


AS_JSON: Final = TensorForm(TensorKind.JSON)


def form_of(schema: Any, document: Schema) -> TensorForm:
    """Return how values of a JSON Schema are tensors."""
    own = hints(schema, document)
    widget = own.get("widget")
    if widget == "array":
        shape = own.get("shape")
        sizes = (-1,) if shape is None else tuple(-1 if size is None else size for size in shape)
        return TensorForm(TensorKind.ARRAY, NUMPY.get(str(own.get("dtype")), "FP64"), sizes)
    if widget in ("table", "timeseries"):
        return TensorForm(TensorKind.TABLE)
    if own.get("accept") or widget == "plot":
        return TensorForm(TensorKind.FILE)
    found = {_plain(one, document) for one in alternatives(schema, document)}
    numbers = {TensorForm(TensorKind.SCALAR, "INT64"), TensorForm(TensorKind.SCALAR, "FP64")}
    if found == numbers:
        return TensorForm(TensorKind.SCALAR, "FP64")
    return found.pop() if len(found) == 1 else AS_JSON


def _plain(schema: Schema, document: Schema) -> TensorForm:
    """Return the form of a schema that is no union and has none of our types."""
    kind = schema.get("type")
    if isinstance(schema.get("enum"), list) or "const" in schema:
        return _of_values(schema.get("enum") or [schema.get("const")])
    if isinstance(kind, str) and kind in _SCALARS:
        return TensorForm(TensorKind.SCALAR, _SCALARS[kind])
    if kind == "array" and "items" in schema and "prefixItems" not in schema:
        inner = form_of(schema["items"], document)
        if inner.kind is TensorKind.SCALAR:
            return TensorForm(TensorKind.LIST, inner.datatype, (-1,))
        if inner.kind is TensorKind.FILE:
            return TensorForm(TensorKind.FILE, BYTES, (-1,))
        if inner.kind is TensorKind.LIST:
            return TensorForm(TensorKind.LIST, inner.datatype, (-1, *inner.shape))
    return AS_JSON


def _of_values(values: list[Any]) -> TensorForm:
    """Return the form of one of several values."""
    for kind, datatype in ((str, BYTES), (bool, "BOOL"), (int, "INT64")):
        if all(type(value) is kind for value in values):
            return TensorForm(TensorKind.SCALAR, datatype)
    return AS_JSON


def inputs(spec: ServiceSpec) -> list[TensorMetadata]:
    """Return the tensors of a service's parameters."""
    found: list[TensorMetadata] = []
    required = spec.input.get("required") or ()
    names = set(properties(spec.input))
    tables = table_parameters(spec.input)
    for name, schema in properties(spec.input).items():
        more: dict[str, Any] = {} if name in required else {"optional": True}
        columns = list(_columns(schema, spec.input)) if name in tables else []
        for column, datatype in columns:
            plain = len(tables) == 1 and column not in names
            title = column if plain else f"{name}.{column}"
            found.append(
                _metadata(title, TensorForm(TensorKind.TABLE, datatype, (-1,)), more, spec)
            )
        if not columns:
            found.append(_metadata(name, form_of(schema, spec.input), more, spec))
    return found


def outputs(spec: ServiceSpec) -> list[TensorMetadata]:
    """Return the tensors of a service's result, as far as they are known."""
    schema = resolve(spec.output, spec.output)
    if schema.get("type") == "null":
        return []
    form = form_of(spec.output, spec.output)
    members = {} if form is not AS_JSON else properties(schema)
    if form.kind is TensorKind.TABLE and (columns := list(_columns(schema, spec.output))):
        return [
            _metadata(name, TensorForm(TensorKind.TABLE, datatype, (-1,)), {}, spec)
            for name, datatype in columns
        ]
    if members:
        return [
            _metadata(name, form_of(one, spec.output), {}, spec) for name, one in members.items()
        ]
    return [_metadata(OUTPUT, form, {}, spec)]


OUTPUT: Final = "output"
"""Name of the only output of a result that is no mapping and no table."""


def _metadata(
    name: str, form: TensorForm, parameters: Mapping[str, Any], spec: ServiceSpec
) -> TensorMetadata:
    shape = form.shape if spec.batch is None else (-1, *form.shape)
    more = dict(parameters)
    if form.kind is TensorKind.JSON:
        more["content_type"] = "json"
    return TensorMetadata(name=name, datatype=form.datatype, shape=shape, parameters=more)


def table_parameters(schema: Schema) -> list[str]:
    """Return the names of the parameters that are tables."""
    found = properties(schema).items()
    return [name for name, one in found if form_of(one, schema).kind is TensorKind.TABLE]


def _columns(schema: Any, document: Schema) -> Iterator[tuple[str, str]]:
    """Yield the declared columns of a table and their datatypes."""
    columns = hints(schema, document).get("columns")
    for name, kind in (columns if isinstance(columns, Mapping) else {}).items():
        yield str(name), COLUMNS.get(str(kind), BYTES)


class WantedOutputs(msgspec.Struct, frozen=True):
    """Which outputs a caller wants, and which of them as bytes rather than in the head.

    - ``outputs``: by name, whether its data is binary; empty for all outputs
    - ``binary``: whether the data of all other outputs is binary
    """

    outputs: dict[str, bool] = {}
    binary: bool = False

    def accept(self) -> str:
        """Return the media type that asks a kernel for this."""
        named = ",".join(f"{quote(name, safe='')}:{int(one)}" for name, one in self.outputs.items())
        return f"{TENSORS};binary={int(self.binary)}" + (f";outputs={named}" if named else "")

    @classmethod
    def parse(cls, accept: str) -> "WantedOutputs":
        """Return what a media type asks for."""
        found = parameters_of(accept)
        named = [one.rpartition(":") for one in found.get("outputs", "").split(",") if one]
        outputs = {unquote(name): flag == "1" for name, _, flag in named}
        return cls(outputs, found.get("binary") == "1")


def parameters_of(media_type: str) -> dict[str, str]:
    """Return the parameters of our media type, whose values are never quoted."""
    parts = (part.strip().partition("=") for part in media_type.split(";")[1:])
    return {name: value for name, _, value in parts}


def is_tensors(media_type: str) -> bool:
    """Return whether a media type is that of an inference request or response."""
    return media_type.startswith(TENSORS)
