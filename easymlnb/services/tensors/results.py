"""Write results as the tensors of an inference response."""

import base64
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest, ResultNotEncodable
from easymlnb.contract.jsonschema import properties, resolve
from easymlnb.contract.tensors import (
    BYTES,
    LENGTH_SIZE,
    NUMPY,
    OUTPUT,
    TENSORS,
    WantedOutputs,
    form_of,
)
from easymlnb.services.schema import Schema
from easymlnb.types import inference, surrogates
from easymlnb.types.array import Array
from easymlnb.types.base import Marked, Type, is_a
from easymlnb.types.model import is_model
from easymlnb.types.npy import to_numpy
from easymlnb.types.resolve import inner, marker_of
from easymlnb.types.table import Table

INT64 = (-(2**63), 2**63 - 1)
JSON: dict[str, Any] = {"content_type": "json"}

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Output:
    """An output: numbers as an array or a list, or ``BYTES`` as a list of bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    items: Any
    parameters: dict[str, Any] | None = None

    def data(self) -> bytes | memoryview:
        """Return the elements as bytes."""
        if self.datatype == BYTES:
            parts = ((len(one).to_bytes(LENGTH_SIZE, "little"), one) for one in self.items)
            return b"".join(part for pair in parts for part in pair)
        if isinstance(self.items, list):
            code = {"BOOL": "?", "INT64": "q", "FP64": "d"}[self.datatype]
            return struct.pack(f"<{len(self.items)}{code}", *self.items)
        import numpy as np

        ordered = self.items.astype(self.items.dtype.newbyteorder("<"), copy=False)
        return np.ascontiguousarray(ordered).reshape(-1).view(np.uint8).data

    def listed(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the elements for JSON, and what to add to the parameters."""
        if self.datatype != BYTES:
            return self.items if isinstance(self.items, list) else self.items.ravel().tolist(), {}
        try:
            return [bytes(one).decode() for one in self.items], {}
        except UnicodeDecodeError:
            encoded = [base64.b64encode(one).decode() for one in self.items]
            return encoded, {"content_type": "base64"}


def outputs(schema: Schema, value: Any) -> list[Output]:
    """Return the outputs of a result; raises ``ResultNotEncodable``."""
    if value is None:
        return []
    try:
        return [_as_hinted(one, schema) for one in _outputs(value, schema.returns)]
    except ResultNotEncodable:
        raise
    except (ValueError, OverflowError) as error:
        raise ResultNotEncodable(f"The result cannot be sent: {error}") from error


def _as_hinted(output: Output, schema: Schema) -> Output:
    """Return whole numbers as the numbers that the return hint promises."""
    if output.datatype != "INT64" or not isinstance(output.items, list):
        return output
    document = resolve(schema.output, schema.output)
    node = properties(document).get(output.name, document)
    if form_of(node, schema.output).datatype != "FP64":
        return output
    items = [float(one) for one in output.items]
    return replace(output, datatype="FP64", items=items)


def _outputs(value: Any, hint: Any) -> list[Output]:
    marker = marker_of(hint) or inference.infer_type(value)
    if isinstance(marker, Table):
        return _columns(marker, value)
    if marker is None:
        if is_model(value):
            value = inference.dump_model(value, "", marked=True)
        members = inference.members(value)
        if members and all(isinstance(name, str) and name for name in members):
            return [
                _output(str(name), one, inner(hint, str(name), at))
                for at, (name, one) in enumerate(members.items())
            ]
    return [_output(OUTPUT, value, hint)]


def stack(rows: Sequence[list[Output]]) -> list[Output]:
    """Return the outputs of several rows along a new first axis.

    Raises ``ResultNotEncodable`` where rows differ in more than their values.
    """
    found: list[Output] = []
    if len({*map(len, rows)}) != 1:
        raise ResultNotEncodable(
            "The results of the rows differ in their number of outputs, so they are no tensors. "
            "Send the rows one by one."
        )
    for same in zip(*rows, strict=True):
        first = same[0]
        if any(_kind(one) != _kind(first) for one in same):
            raise ResultNotEncodable(
                f"The results of the rows differ in the datatype or shape of {first.name!r}, so "
                "they are no tensor. Send the rows one by one."
            )
        if isinstance(first.items, list):
            items: Any = [item for one in same for item in one.items]
        else:
            import numpy as np

            items = np.stack([one.items for one in same])
        shape = (len(same), *first.shape)
        found.append(Output(first.name, first.datatype, shape, items, first.parameters))
    return found


def _kind(output: Output) -> tuple[Any, ...]:
    return output.name, output.datatype, output.shape, type(output.items)


def write(found: list[Output], accept: str) -> tuple[str, bytes]:
    """Return the content type and body of a response; raises ``BadRequest``."""
    wanted = WantedOutputs.parse(accept)
    head: list[dict[str, Any]] = []
    tail: list[bytes | memoryview] = []
    for output in _chosen(found, wanted):
        parameters = dict(output.parameters or {})
        one: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.shape,
        }
        if wanted.outputs.get(output.name, wanted.binary):
            data = output.data()
            tail.append(data)
            parameters["binary_data_size"] = len(data)
        else:
            one["data"], more = output.listed()
            parameters |= more
        if parameters:
            one["parameters"] = parameters
        head.append(one)
    text = msgspec.json.encode({"outputs": head})
    return f"{TENSORS};head={len(text)}", b"".join((text, *tail))


def _chosen(found: list[Output], wanted: WantedOutputs) -> Iterable[Output]:
    if not wanted.outputs:
        return found
    named = {output.name: output for output in found}
    for name in wanted.outputs:
        if name not in named:
            known = ", ".join(named) or "none"
            raise BadRequest(f"There is no output {name[:80]!r}. Outputs: {known}.")
    return [named[name] for name in wanted.outputs]


def _columns(marker: Table, value: Any) -> list[Output]:
    """Return the columns of a table; a column of mixed values is texts."""
    frame = marker.as_result(value)
    found = []
    for at, name in enumerate(frame.columns):
        column = frame.iloc[:, at]
        datatype = NUMPY.get(str(column.dtype), "")
        if datatype:
            array = column.to_numpy()
            found.append(Output(str(name), datatype, array.shape, array))
        else:
            entries = column.tolist()
            found.append(_cells(str(name), [inference.to_json_value(one) for one in entries]))
    return found


def _cells(name: str, values: list[Any]) -> Output:
    """Return a column: where its cells differ in type, each is JSON text."""
    found = _list(name, values)
    if found.parameters != JSON:
        return found
    return Output(name, BYTES, (len(values),), [_text(one) for one in values], JSON)


def _output(name: str, value: Any, hint: Any) -> Output:
    """Return one value as a tensor: numbers, texts, arrays and files, anything else as JSON."""
    hinted = marker_of(hint) if value is not None else None
    marker = hinted or inference.infer_type(value)
    if isinstance(value, Marked):
        value = value.value
    if isinstance(marker, Array):
        return _array(name, value, marker)
    if marker is not None and not isinstance(marker, Table):
        return _file(name, value, marker)
    scalar = _scalar(name, value)
    if scalar is not None:
        return scalar
    if isinstance(value, list | tuple) and (flat := _flat(value)) is not None:
        items, shape = flat
        found = _list(name, items)
        return found if found.parameters == JSON else replace(found, shape=shape)
    return _json(name, value)


def _flat(value: Any) -> tuple[list[Any], tuple[int, ...]] | None:
    """Return the elements and the shape of nested lists; ``None`` if they are no tensor."""
    items, shape = list(value), [len(value)]
    while items and isinstance(items[0], list):
        width = len(items[0])
        if not all(isinstance(one, list) and len(one) == width for one in items):
            return None
        shape.append(width)
        items = list(chain.from_iterable(items))
    plain = items and all(type(one) in _PLAIN or one is None for one in items)
    return (items, tuple(shape)) if plain else None


_PLAIN: dict[type, str] = {bool: "BOOL", int: "INT64", float: "FP64", str: BYTES}


def _scalar(name: str, value: Any) -> Output | None:
    """Return a plain value, or one of numpy's, as a tensor with one element."""
    if type(value) not in _PLAIN and is_a(type(value), "numpy.generic"):
        value = value.item()
    datatype = _PLAIN.get(type(value))
    if datatype is None or (datatype == "INT64" and not INT64[0] <= value <= INT64[1]):
        return None
    items = [_encoded(value) if datatype == BYTES else value]
    return Output(name, datatype, (1,), items)


def _list(name: str, values: list[Any]) -> Output:
    """Return a flat list as a tensor; values of different types are JSON."""
    types = {_PLAIN.get(type(one), "") for one in values}
    if types == {BYTES}:
        return Output(name, BYTES, (len(values),), [_encoded(one) for one in values])
    if types in ({"BOOL"}, {"INT64"}) and all(INT64[0] <= one <= INT64[1] for one in values):
        return Output(name, types.pop(), (len(values),), values)
    if types & {"INT64", "FP64"} and types <= {"INT64", "FP64", ""}:
        numbers = [NAN if one is None else float(one) for one in values]
        return Output(name, "FP64", (len(values),), numbers)
    return _json(name, values)


def _encoded(text: str) -> bytes:
    surrogates.refuse(text)
    return text.encode()


def _array(name: str, value: Any, marker: Array) -> Output:
    array = to_numpy(value)
    datatype = NUMPY.get(str(array.dtype.newbyteorder("=")))
    if datatype is not None:
        return Output(name, datatype, array.shape, array)
    if array.dtype.kind in "SU":
        texts = [_encoded(str(one)) for one in array.astype("U").ravel().tolist()]
        return Output(name, BYTES, array.shape, texts)
    return _json(name, marker.encode(value))


def _file(name: str, value: Any, marker: Type) -> Output:
    """Return what one of our types writes: the bytes of a file."""
    offered = [one for one in marker.offers(value) if one != "application/json"]
    if not offered:
        return _json(name, marker.encode(value))
    data = bytes(marker.write(value, offered[0]))
    return Output(name, BYTES, (1,), [data], {"content_type": offered[0]})


def _json(name: str, value: Any) -> Output:
    plain = inference.to_json_value(value, name)
    return Output(name, BYTES, (1,), [_text(plain)], JSON)


def _text(value: Any) -> bytes:
    from pydantic_core import PydanticSerializationError, to_json

    try:
        body = to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError) as error:
        surrogates.refuse(value)
        raise ResultNotEncodable("The result cannot be converted to JSON.") from error
    return body
