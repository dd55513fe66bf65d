"""numpy's arrays as bytes, without pickle and without trust in what a header promises."""

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
"""numpy's kinds that may travel: no objects, no text, nothing that needs pickle."""


def to_numpy(value: Any) -> "np.ndarray[Any, Any]":
    """Return an array or tensor as a numpy array; raises ``ValueError`` on anything else."""
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
    """Return an array with NaN, or NaT, for what is masked; raise ``ValueError`` if none can be.

    What lies under a mask is not meant to be seen, so it never travels.
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
        # As numpy writes it, but copied once and not twice.
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(target, header)
        return b"".join((target.getvalue(), array.reshape(-1).view(np.uint8).data))
    np.lib.format.write_array(target, array, allow_pickle=False)
    return target.getvalue()


def read_npy(data: Data) -> "np.ndarray[Any, Any]":
    """Read npy; its header is checked against the length, as it may promise any amount."""
    import numpy as np

    # A header of version 1 or 2 is shorter than this, for numbers.
    source = io.BytesIO(data[:HEADER])
    try:
        version = np.lib.format.read_magic(source)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_columns, dtype = header(source)
    except Exception:
        # The parser of a hostile header raises nearly anything.
        raise ValueError("The value must be a .npy file with numbers.") from None
    if dtype.kind not in KINDS or dtype.hasobject:
        raise ValueError("All elements of the array must be numbers.")
    if not all(is_size(size) for size in shape):
        raise ValueError("The .npy file has an invalid shape.")
    rest = memoryview(data)[source.tell() :]
    if len(rest) != math.prod(shape) * dtype.itemsize:
        raise ValueError("The .npy file does not match its header; it may be truncated.")
    array = np.frombuffer(rest, dtype).reshape(shape, order="F" if by_columns else "C")
    # What is mapped from a file may be written to as it is.
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
    """Convert where only precision can be lost; raises ``ValueError`` otherwise."""
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
        # What overflows becomes infinite and is refused as such.
        return array.astype(wanted)
