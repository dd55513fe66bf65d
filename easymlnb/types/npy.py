"""Encode and decode .npy files without pickle, and with checks of the header."""

import io
import math
from typing import TYPE_CHECKING, Any

from easymlnb.types.base import is_a
from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    import numpy as np

NPY = "application/x-npy"
HEADER = 2**16 + 16
KINDS = "biufc"
"""numpy's kinds that can be sent: numbers and booleans."""


def to_numpy(value: Any) -> "np.ndarray[Any, Any]":
    """Return an array or tensor as a numpy array; raises ``ValueError`` for other values."""
    import numpy as np

    if is_a(type(value), "torch.Tensor"):
        tensor = value.detach().cpu()
        # numpy has no bfloat16.
        return np.asarray((tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy())
    if isinstance(value, np.ma.MaskedArray):
        return unmasked(value)
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    raise ValueError(f"{type(value).__name__} is not an array")


def unmasked(value: "np.ma.MaskedArray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return an array with NaN or NaT for masked elements, whose values are never sent.

    Raises ``ValueError`` if the dtype has no such value.
    """
    import numpy as np

    if not np.ma.is_masked(value):
        return np.asarray(value.data)
    kind = value.dtype.kind
    values: np.ndarray[Any, Any] = np.array(value.data)
    if kind in "biu":
        known = value.compressed()
        if not known.size or max(abs(int(known.min())), abs(int(known.max()))) <= 2**53:
            kind, values = "f", values.astype("float64")
    if kind in "fcmM":
        values[np.ma.getmaskarray(value)] = "NaT" if kind in "mM" else np.nan
        return values
    raise ValueError(
        f"a masked array of {value.dtype} has no value for masked elements; use filled() first"
    )


def write_npy(array: "np.ndarray[Any, Any]") -> bytes:
    import numpy as np

    target = io.BytesIO()
    if array.flags.c_contiguous and array.size and not array.dtype.hasobject:
        # The same as numpy's, but with one copy instead of two.
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(target, header)
        return b"".join((target.getvalue(), array.reshape(-1).view(np.uint8).data))
    np.lib.format.write_array(target, array, allow_pickle=False)
    return target.getvalue()


def read_npy(data: Data) -> "np.ndarray[Any, Any]":
    """Decode a .npy file, whose header must match its length."""
    import numpy as np

    # Headers of versions 1 and 2 are shorter than this.
    source = io.BytesIO(data[:HEADER])
    try:
        version = np.lib.format.read_magic(source)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_columns, dtype = header(source)
    except Exception:
        # The parser raises many errors for invalid headers.
        raise ValueError("The value must be a .npy file with numbers.") from None
    if dtype.kind not in KINDS or dtype.hasobject:
        raise ValueError("All elements of the array must be numbers.")
    if not all(is_size(size) for size in shape):
        raise ValueError("The .npy file has an invalid shape.")
    rest = memoryview(data)[source.tell() :]
    if len(rest) != math.prod(shape) * dtype.itemsize:
        raise ValueError("The .npy file does not match its header; it may be truncated.")
    array = np.frombuffer(rest, dtype).reshape(shape, order="F" if by_columns else "C")
    # Memory mapped from a file is writable.
    return array.astype(dtype.newbyteorder("="), copy=rest.readonly)


def number_type(name: Any) -> "np.dtype[Any]":
    import numpy as np

    try:
        dtype = np.dtype(name) if isinstance(name, str) and len(name) < 20 else None
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype.kind not in KINDS or dtype.fields or dtype.subdtype:
        raise ValueError("'dtype' must be a numeric type, such as 'float32'.")
    return dtype


def is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**48


def convert(array: "np.ndarray[Any, Any]", wanted: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
    """Convert an array if only precision can be lost, else raise ``ValueError``."""
    import numpy as np

    if array.dtype == wanted:
        return array
    if wanted.kind in "iu" and array.dtype.kind in "iu" and array.size:
        bounds = np.iinfo(wanted)
        if int(array.min()) < bounds.min or int(array.max()) > bounds.max:
            raise ValueError(f"All numbers must be from {bounds.min} to {bounds.max}.")
        return array.astype(wanted)
    if array.size and not np.can_cast(array.dtype, wanted, "same_kind"):
        whole = {"i": "whole numbers", "u": "whole numbers", "b": "true or false"}
        raise ValueError(f"The array's elements must be {whole.get(wanted.kind, str(wanted))}.")
    with np.errstate(over="ignore"):
        # Overflow gives infinity, which is refused later.
        return array.astype(wanted)
