"""Arrays of numpy and tensors of torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, get_args

from easymlnb.types import image_encoding, inline_bytes, moments
from easymlnb.types.base import KEY, Type, is_a
from easymlnb.types.file import as_upload, part
from easymlnb.types.npy import (
    KINDS,
    NPY,
    convert,
    is_size,
    number_type,
    read_npy,
    to_numpy,
    write_npy,
)

if TYPE_CHECKING:
    import numpy as np

PLANE = 32
"""Shortest side of a two-dimensional array that is shown as a picture."""

SHOWN = 100
"""Largest number of elements shown as text."""


@dataclass(eq=False)
class Array(Type):
    """An array of numbers: ``numpy.ndarray`` or ``torch.Tensor``, as annotated.

    Parameters
    ----------
    dtype : str, optional
        Type to convert to, such as ``"float32"``, if nothing but precision is lost.
    shape : sequence of int or None, optional
        Size of each axis; ``None`` is any size.
    allow_nan : bool, default False
        Accept NaN and infinity; in nested lists ``null`` is NaN.
    compact : bool, default False
        Write a result in JSON as ``{"b64", "dtype", "shape"}``, which is smaller and faster than
        nested lists.
    max_bytes : int, default 104857600
    """

    natives = ("numpy.ndarray", "torch.Tensor")
    needs = ("numpy",)
    reads = (NPY,)
    writes = (NPY,)

    dtype: Any = None
    shape: Sequence[int | None] | None = None
    _: KW_ONLY
    allow_nan: bool = False
    compact: bool = False
    max_bytes: int = inline_bytes.MAX_BYTES

    def __post_init__(self) -> None:
        self.dtype = _dtype_name(self.dtype)

    @classmethod
    def of(cls, hint: Any) -> "Array":
        """Return the marker for ``numpy.typing.NDArray[numpy.float32]``, with its dtype."""
        named = [arg for part in get_args(hint)[1:] for arg in get_args(part)]
        return cls(named[0] if named and isinstance(named[0], type) else None)

    def json_schema(self) -> dict[str, Any]:
        own = {
            "widget": "array",
            "dtype": self.dtype,
            "shape": list(self.shape) if self.shape is not None else None,
            "max_bytes": self.max_bytes,
        }
        packed = {
            "type": "object",
            "properties": {
                "b64": {"type": "string", "contentEncoding": "base64"},
                "dtype": {"type": "string"},
                "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            },
            "required": ["b64", "dtype", "shape"],
            "additionalProperties": False,
        }
        return {"anyOf": [self._nested(), packed, *inline_bytes.NON_EMPTY], KEY: own}

    def _nested(self) -> dict[str, Any]:
        kind = (self.dtype or "float").rstrip("0123456789_")
        names = {"bool": "boolean", "int": "integer", "uint": "integer"}
        if self.shape is None:
            return {"type": ["array", "number", "boolean", "null"], "items": {}}
        schema: dict[str, Any] = {"type": [names.get(kind, "number"), "null"]}
        for size in reversed(self.shape):
            schema = {"type": "array", "items": schema}
            if size is not None:
                schema |= {"minItems": size, "maxItems": size}
        return schema

    def decode(self, value: Any, source: Any) -> Any:
        array = self._checked(self._read(value))
        if is_a(source, "torch.Tensor"):
            import numpy as np
            import torch

            return torch.from_numpy(np.array(array))  # torch needs an array that it can write to
        return array

    def _read(self, value: Any) -> "np.ndarray[Any, Any]":
        import numpy as np

        if is_a(type(value), "numpy.ndarray", "torch.Tensor"):
            return to_numpy(value)
        if isinstance(value, Mapping) and "dtype" in value:
            return self._packed(value)
        if isinstance(value, list | tuple | bool | int | float | None | np.generic):
            return self._listed(value)
        upload = as_upload(value, self.max_bytes)
        if upload is None:
            raise ValueError("The value must be an array: nested lists, or an object with 'b64'.")
        return read_npy(upload.data)

    def _listed(self, value: Any) -> "np.ndarray[Any, Any]":
        import numpy as np

        try:
            array = np.asarray(value)
            if array.dtype.kind == "O" and _only_numbers(value):
                # null among numbers.
                array = np.asarray(value, dtype=np.float64)
        except (ValueError, OverflowError):
            raise ValueError("All rows of the array must have the same length.") from None
        if array.size == 0 and self.dtype:
            array = array.astype(self.dtype)
        return array

    def _packed(self, value: Mapping[str, Any]) -> "np.ndarray[Any, Any]":
        import numpy as np

        text, name, shape = value.get("b64"), value.get("dtype"), value.get("shape")
        if set(value) != {"b64", "dtype", "shape"} or not isinstance(text, str):
            raise ValueError(
                "An array object must have exactly the keys 'b64', 'dtype' and 'shape'."
            )
        kind = number_type(name)
        if not isinstance(shape, list | tuple) or not all(is_size(size) for size in shape):
            raise ValueError("'shape' must be a list of whole numbers of at least 0.")
        data = inline_bytes.decode64(text, self.max_bytes)
        if len(data) != math.prod(shape) * kind.itemsize:
            raise ValueError(
                f"'b64' has {len(data)} bytes, but {name} with this shape requires "
                f"{math.prod(shape) * kind.itemsize}."
            )
        return np.frombuffer(data, kind).reshape(shape).astype(kind.newbyteorder("="))

    def _checked(self, array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        import numpy as np

        if array.dtype.kind not in KINDS:
            raise ValueError("All elements of the array must be numbers.")
        if self.shape is not None and not _has_shape(array.shape, self.shape):
            wanted = " x ".join("any" if size is None else str(size) for size in self.shape)
            got = " x ".join(map(str, array.shape)) or "a single number"
            raise ValueError(f"The array's shape must be {wanted or 'a single number'}, not {got}.")
        if self.dtype:
            array = convert(array, np.dtype(self.dtype))
        if not self.allow_nan and array.dtype.kind in "fc" and not np.isfinite(array).all():
            raise ValueError("All numbers must be finite, not NaN or infinity.")
        return array

    def encode(self, value: Any) -> Any:
        import numpy as np

        if (
            isinstance(value, np.ma.MaskedArray)
            and value.dtype.kind in "biuUS"
            and not self.compact
        ):
            return value.tolist()
        array = to_numpy(value)
        if array.dtype.kind in "mM":
            return moments.listed(array)
        if array.dtype.kind == "O" or array.dtype.kind == "V":
            raise ValueError(f"an array of {array.dtype} cannot be converted to JSON")
        if self.compact and array.dtype.kind in KINDS:
            ordered = array.astype(array.dtype.newbyteorder("<"))
            return {
                "b64": inline_bytes.encode64(np.ascontiguousarray(ordered).tobytes()),
                "dtype": str(array.dtype),
                "shape": list(array.shape),
            }
        if array.dtype.kind == "c":
            raise ValueError(
                "complex numbers cannot be converted to JSON; return real and imaginary parts"
            )
        return array.tolist()

    def offers(self, value: Any) -> tuple[str, ...]:
        try:
            array = to_numpy(value)
        except ValueError:
            if is_a(type(value), "numpy.ma.MaskedArray"):
                return ()
            raise
        return self.writes if array.dtype.kind in KINDS else ()

    def write(self, value: Any, media_type: str) -> bytes:
        return write_npy(to_numpy(value))

    def filename(self, value: Any, media_type: str) -> str:
        return "array.npy"

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        array = to_numpy(value)
        if array.dtype.kind not in KINDS:
            return None
        if array.ndim == 0:
            number = array.item()
            plain = not isinstance(number, complex) and math.isfinite(number)
            return [{"kind": "number" if plain else "text", "title": title,
                     "data": number if plain else str(number)}]  # fmt: skip
        if _is_picture(array):
            return image_encoding.parts(array, title, None)
        more = {"dtype": str(array.dtype), "shape": list(array.shape)}
        file = part("file", title, write_npy(array), NPY, f"{title or 'array'}.npy")
        if array.size <= SHOWN and array.dtype.kind != "c":
            data = _finite(array.tolist())
            return [{"kind": "json", "title": title, "data": data, "more": more}, file]
        text = f"{' x '.join(map(str, array.shape))} numbers ({array.dtype})"
        return [{"kind": "text", "title": title, "data": text, "more": more}, file]


def _dtype_name(dtype: Any) -> str | None:
    if dtype is None:
        return None
    if isinstance(dtype, str):
        return dtype
    # str(torch.float32) is 'torch.float32', and numpy.float32 is a class.
    text = getattr(dtype, "__name__", None) or str(dtype)
    return str(text).rpartition(".")[2]


def _is_picture(array: "np.ndarray[Any, Any]") -> bool:
    """Say whether to show an array as a picture: colors, or a large plane."""
    if array.ndim == 3:
        return array.dtype == "uint8" and array.shape[-1] in (3, 4)
    return array.ndim == 2 and min(array.shape) >= PLANE and array.dtype.kind in "biuf"


def _has_shape(shape: tuple[int, ...], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (None, got) for got, size in zip(shape, wanted, strict=True)
    )


def _only_numbers(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_only_numbers, value))
    return value is None or isinstance(value, int | float)


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
