"""Read the tensors of an inference request, whose bytes are untrusted.

Every size is compared with the bytes that are there before anything is allocated for it.
"""

import base64
import binascii
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.tensors import BYTES, FORMATS, LENGTH_SIZE, SIZES, parameters_of

if TYPE_CHECKING:
    import numpy as np

MAX_RANK = 32
"""Dimensions of a tensor at most."""

MAX_EMPTY = 2**31
"""Product of the other dimensions of a tensor with one of size 0."""

LIMITS = {
    name: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if name[0] == "I" else (0, 2**bits - 1)
    for bits in (8, 16, 32, 64)
    for name in (f"INT{bits}", f"UINT{bits}")
}
"""Datatype of integers -> smallest and largest value."""

NAN = float("nan")

Parameters = dict[str, Any] | None
Size = Annotated[int, Meta(ge=0, lt=2**48)]


class SentTensor(msgspec.Struct, frozen=True):
    """An input in the head of a request."""

    name: Annotated[str, Meta(min_length=1)]
    datatype: str
    shape: Annotated[tuple[Size, ...], Meta(max_length=MAX_RANK)]
    parameters: Parameters = None
    data: Any = None


class Head(msgspec.Struct, frozen=True):
    """The head of a request."""

    inputs: tuple[SentTensor, ...]
    parameters: Parameters = None


_head = msgspec.json.Decoder(Head)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input: its elements are ``raw`` bytes or a flat list of ``items``."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: memoryview | None = None
    items: Sequence[Any] = ()
    content_type: str = ""

    def values(self) -> list[Any]:
        """Return all elements: numbers, booleans, texts and bytes."""
        if self.raw is None or self.datatype == BYTES:
            return list(self.items)
        found: Sequence[Any] = struct.unpack(
            f"<{math.prod(self.shape)}{FORMATS[self.datatype]}", self.raw
        )
        if self.datatype == "BF16":
            words = struct.pack(f"<{len(found)}I", *(bits << 16 for bits in found))
            found = struct.unpack(f"<{len(found)}f", words)
        return list(found)

    def nested(self) -> Any:
        """Return the elements as nested lists."""
        values = self.values()
        for size in reversed(self.shape[1:]):
            values = [values[at : at + size] for at in range(0, len(values), size)] if size else []
        return values

    def array(self) -> "np.ndarray[Any, Any]":
        """Return the elements as an array, without a copy of bytes in a file."""
        import numpy as np

        if self.raw is None or self.datatype == "BF16":
            kind = "f4" if self.datatype == "BF16" else FORMATS[self.datatype]
            return np.array(self.values(), kind).reshape(self.shape)
        array = np.frombuffer(self.raw, f"<{FORMATS[self.datatype]}").reshape(self.shape)
        # Memory mapped from a file is writable; numbers that are not aligned are slow to read.
        copy = self.raw.readonly or not array.flags.aligned
        return array.astype(array.dtype.newbyteorder("="), copy=copy)

    def rows(self) -> Iterator["Tensor"]:
        """Yield the tensors along the first axis."""
        count, shape = self.shape[0], self.shape[1:]
        size = math.prod(shape)
        step = size * SIZES.get(self.datatype, 1)
        for row in range(count):
            raw = self.raw[row * step : (row + 1) * step] if self.raw is not None else None
            items = self.items[row * size : (row + 1) * size]
            yield Tensor(self.name, self.datatype, shape, raw, items, self.content_type)


def read(content_type: str, body: bytes | memoryview) -> tuple[list[Tensor], str]:
    """Return the inputs of a request, and the content type of all of them; empty for none.

    ``content_type`` has the length of the head. Raises ``BadRequest``.
    """
    data = memoryview(body)
    given = parameters_of(content_type).get("head", "")
    length = int(given) if given.isascii() and given.isdigit() else len(data)
    try:
        head = _head.decode(data[:length])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not a valid inference request ({error}).") from error
    tensors, offset = [], length
    for sent in head.inputs:
        size = _binary_size(sent)
        if size is not None and size > len(data) - offset:
            raise _invalid(sent.name, f"has {size} bytes, but the body ends before")
        end = offset + (size or 0)
        tensors.append(_tensor(sent, data[offset:end] if size is not None else None))
        offset = end
    if offset != len(data):
        raise BadRequest(f"The body has {len(data) - offset} bytes that belong to no input.")
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise BadRequest("Two inputs have the same name.")
    return tensors, str((head.parameters or {}).get("content_type") or "")


def _binary_size(sent: SentTensor) -> int | None:
    parameters = sent.parameters or {}
    if "shared_memory_region" in parameters:
        raise _invalid(sent.name, "is in shared memory, which is not supported; send its data")
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise _invalid(sent.name, "has a binary_data_size that is no number of bytes")
    return size


def _tensor(sent: SentTensor, raw: memoryview | None) -> Tensor:
    """Return an input whose elements are those that its shape announces."""
    kind = str((sent.parameters or {}).get("content_type") or "")
    if sent.datatype != BYTES and sent.datatype not in FORMATS:
        known = ", ".join([*FORMATS, BYTES])
        raise _invalid(sent.name, f"has the datatype {sent.datatype[:20]!r}; use one of {known}")
    count = math.prod(sent.shape)
    if not count and math.prod(filter(None, sent.shape)) > MAX_EMPTY:
        raise _invalid(sent.name, "has no elements, but a shape that is too large")
    if raw is None:
        items = _flat(sent, count)
        return Tensor(sent.name, sent.datatype, sent.shape, None, items, kind)
    if sent.data is not None:
        raise _invalid(sent.name, "has both data and a binary_data_size")
    if sent.datatype == BYTES:
        return Tensor(sent.name, BYTES, sent.shape, None, _elements(sent, raw, count), kind)
    wanted = count * SIZES[sent.datatype]
    if len(raw) != wanted:
        raise _invalid(sent.name, f"has {len(raw)} bytes, but its shape needs {wanted}")
    if sent.datatype == "BOOL" and not set(raw) <= {0, 1}:
        raise _invalid(sent.name, "is of BOOL, so all its bytes must be 0 or 1")
    return Tensor(sent.name, sent.datatype, sent.shape, raw, (), kind)


def _elements(sent: SentTensor, raw: memoryview, count: int) -> list[memoryview]:
    """Return the elements of a ``BYTES`` tensor, each of which follows its length."""
    found: list[memoryview] = []
    offset = 0
    while offset < len(raw) and len(found) < count:
        start = offset + LENGTH_SIZE
        size = int.from_bytes(raw[offset:start], "little")
        if start > len(raw) or size > len(raw) - start:
            raise _invalid(sent.name, "ends in the middle of an element")
        found.append(raw[start : start + size])
        offset = start + size
    if offset != len(raw) or len(found) != count:
        raise _invalid(sent.name, f"does not have the {count} elements of its shape")
    return found


def _flat(sent: SentTensor, count: int) -> list[Any]:
    """Return the checked elements of ``data``, which may be flat or nested as the shape says."""
    data: Any = sent.data
    if not isinstance(data, list):
        raise _invalid(sent.name, "needs data: a list, or bytes with a binary_data_size")
    sizes = [len(data)]
    while data and isinstance(data[0], list):
        width = len(data[0])
        if len(sizes) >= MAX_RANK or not all(
            isinstance(one, list) and len(one) == width for one in data
        ):
            raise _invalid(sent.name, "has rows of different lengths")
        sizes.append(width)
        data = list(chain.from_iterable(data))
    if len(data) != count or (len(sizes) > 1 and tuple(sizes) != sent.shape):
        raise _invalid(sent.name, f"does not have the {count} elements of its shape")
    return _checked(sent, data)


def _checked(sent: SentTensor, data: list[Any]) -> list[Any]:
    """Return elements of the types that the datatype allows; ``null`` is NaN."""
    types, datatype = set(map(type, data)), sent.datatype
    if datatype == BYTES:
        allowed: set[type] = {str}
    elif datatype == "BOOL":
        allowed = {bool}
    elif datatype in LIMITS:
        allowed = {int}
    else:
        allowed = {int, float, type(None)}
    if not types <= allowed:
        raise _invalid(sent.name, f"has elements that are not of {datatype}")
    if datatype in LIMITS and data:
        least, most = LIMITS[datatype]
        if min(data) < least or max(data) > most:
            raise _invalid(sent.name, f"has numbers outside the range of {datatype}")
    if allowed == {int, float, type(None)}:
        try:
            return [NAN if one is None else float(one) for one in data]
        except OverflowError:
            raise _invalid(sent.name, f"has numbers outside the range of {datatype}") from None
    return data


def from_base64(tensor: Tensor) -> list[bytes]:
    """Return the bytes of elements that are base64; raises ``BadRequest``."""
    try:
        return [base64.b64decode(one, validate=True) for one in tensor.values()]
    except (binascii.Error, ValueError) as error:
        raise _invalid(tensor.name, "is not valid base64") from error


def _invalid(name: str, problem: str) -> BadRequest:
    return BadRequest(f"The input {name[:80]!r} {problem}.")
