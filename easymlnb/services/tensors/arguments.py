"""Turn the tensors of a request into the arguments of a function, before they are checked."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from easymlnb.contract.errors import BadRequest, InvalidInput
from easymlnb.contract.jsonschema import properties
from easymlnb.contract.tensors import (
    BYTES,
    SIZES,
    TensorForm,
    TensorKind,
    form_of,
    parameters_of,
    table_parameters,
)
from easymlnb.contract.worker_protocol import LARGE
from easymlnb.services.schema import Schema
from easymlnb.services.tensors.reading import Tensor, from_base64, read
from easymlnb.types.base import Upload

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 100_000
"""Rows of a request to a batched service at most."""

PANDAS = "pd"
"""Content type of a request whose inputs are the columns of one table."""


def decode(schema: Schema, content_type: str, body: bytes | memoryview) -> dict[str, Any]:
    """Return the checked arguments of a request; raises ``BadRequest`` or ``InvalidInput``."""
    tensors, kind = _read(schema, content_type, body)
    return schema.load(_values(schema, tensors, kind))


def decode_rows(
    schema: Schema, content_type: str, body: bytes | memoryview
) -> list[dict[str, Any]]:
    """Return the checked arguments of each row of a request to a batched service.

    The first axis of all inputs counts the rows. Raises ``BadRequest`` or ``InvalidInput``.
    """
    tensors, kind = _read(schema, content_type, body)
    sizes = {tensor.shape[:1] for tensor in tensors}
    if len(sizes) != 1 or sizes == {()}:
        raise BadRequest("All inputs need the same first dimension, which counts the rows.")
    ((count,),) = sizes
    if not 0 < count <= MAX_ROWS:
        raise BadRequest(f"A request has from 1 to {MAX_ROWS:,} rows, not {count:,}.")
    rows = zip(*(tensor.rows() for tensor in tensors), strict=True)
    return [schema.load(_values(schema, list(row), kind)) for row in rows]


def _read(schema: Schema, content_type: str, body: bytes | memoryview) -> tuple[list[Tensor], str]:
    if "raw" in parameters_of(content_type):
        return [_raw(schema, memoryview(body))], ""
    return read(content_type, body)


def _raw(schema: Schema, body: memoryview) -> Tensor:
    """Return the only input of a service, whose bytes are the whole body."""
    names = schema.input.get("required") or list(properties(schema.input))
    if len(names) != 1:
        raise BadRequest("A body without a head needs a service with exactly one input.")
    form = form_of(properties(schema.input)[names[0]], schema.input)
    if form.datatype == BYTES:
        return Tensor(names[0], BYTES, (1,), None, [body])
    count, rest = divmod(len(body), SIZES[form.datatype])
    if rest:
        raise BadRequest(f"The body of {len(body)} bytes has no whole number of {form.datatype}.")
    return Tensor(names[0], form.datatype, _sized(form.shape, count), body)


def _sized(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return a shape with the size of its only open axis; raises ``BadRequest``."""
    known = 1
    for size in shape:
        known *= size if size >= 0 else 1
    free = sum(size < 0 for size in shape)
    if free > 1 or (known and count % known) or (not free and known != count) or not known:
        raise BadRequest(f"{count} numbers do not have the shape {list(shape)}.")
    return tuple(count // known if size < 0 else size for size in shape)


def _values(schema: Schema, tensors: list[Tensor], kind: str) -> dict[str, Any]:
    """Return values by parameter."""
    parameters = properties(schema.input)
    tables = table_parameters(schema.input)
    values: dict[str, Any] = {}
    columns: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        table, _, column = tensor.name.rpartition(".")
        if tensor.name in parameters and not (kind == PANDAS and len(tables) == 1):
            form = form_of(parameters[tensor.name], schema.input)
            values[tensor.name] = _value(tensor, form, kind)
        elif table in tables:
            columns.setdefault(table, {})[column] = tensor
        elif len(tables) == 1:
            columns.setdefault(tables[0], {})[tensor.name] = tensor
        else:
            known = ", ".join(parameters) or "none"
            raise BadRequest(f"There is no input {tensor.name[:80]!r}. Inputs: {known}.")
    return values | {name: _table(name, found) for name, found in columns.items()}


def _value(tensor: Tensor, form: TensorForm, kind: str) -> Any:
    if tensor.datatype == BYTES:
        return _from_bytes(tensor, form, tensor.content_type or kind)
    if form.kind in (TensorKind.ARRAY, TensorKind.FILE, TensorKind.TABLE):
        return tensor.array()
    if form.kind is TensorKind.SCALAR:
        return _single(tensor, tensor.values())
    nested = tensor.nested()
    return nested[0] if form.kind is TensorKind.JSON and len(nested) == 1 else nested


def _single(tensor: Tensor, values: list[Any]) -> Any:
    if len(values) != 1:
        raise _invalid(tensor, f"must have exactly one element, not {len(values)}")
    return values[0]


def _from_bytes(tensor: Tensor, form: TensorForm, kind: str) -> Any:
    """Return the value of a ``BYTES`` tensor: texts, files or JSON."""
    elements: list[Any] = from_base64(tensor) if kind == "base64" else tensor.values()
    if form.kind is TensorKind.FILE and form.shape == (-1,):
        return [_upload(one) for one in elements]
    if form.kind in (TensorKind.FILE, TensorKind.TABLE, TensorKind.ARRAY):
        return _upload(_single(tensor, elements))
    texts = [_text(tensor, one) for one in elements]
    if form.kind is TensorKind.SCALAR:
        return _single(tensor, texts)
    if form.kind is TensorKind.LIST:
        return texts
    try:
        return msgspec.json.decode(_single(tensor, texts))
    except (msgspec.DecodeError, RecursionError) as error:
        raise _invalid(tensor, f"must be JSON text ({error})") from error


def _upload(element: Any) -> Any:
    """Return bytes as a file; a text is the file's content, or a data URI."""
    if isinstance(element, str):
        return element if element[:5].lower() == "data:" else Upload(element.encode())
    return Upload(bytes(element) if len(element) <= LARGE else element)


def _text(tensor: Tensor, element: Any) -> str:
    if isinstance(element, str):
        return element
    try:
        return bytes(element).decode()
    except UnicodeDecodeError as error:
        raise _invalid(tensor, "must be text in UTF-8") from error


def _table(name: str, columns: Mapping[str, Tensor]) -> "pd.DataFrame":
    """Return tensors as the columns of a table."""
    import pandas as pd

    found: dict[str, Any] = {}
    lengths = set()
    for column, tensor in columns.items():
        if tensor.datatype == BYTES:
            found[column] = [_text(tensor, one) for one in tensor.values()]
        else:
            found[column] = tensor.array().reshape(-1)
        lengths.add(len(found[column]))
    if len(lengths) != 1:
        raise InvalidInput([{"field": name, "message": "All columns must have the same length."}])
    return pd.DataFrame(found)


def _invalid(tensor: Tensor, problem: str) -> BadRequest:
    return BadRequest(f"The input {tensor.name[:80]!r} {problem}.")
