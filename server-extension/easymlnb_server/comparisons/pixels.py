"""Compare images pixel by pixel, label images by intersection over union, and arrays.

Sizes are checked before anything is decoded. Without numpy, only equality is found.
"""

import base64
import binascii
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from easymlnb_server.comparisons.findings import Difference, Tolerance

if TYPE_CHECKING:
    import numpy as np

    Pixels = np.ndarray[Any, Any]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 40_000_000
MAX_ELEMENTS = 40_000_000
MAX_LABELS = 10_000
"""Different labels of an image up to which their intersections are measured."""

KINDS = "biuf"
"""Kinds of numpy's dtypes that are compared: booleans, integers and floats."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A difference, ``None`` for equal values, and the overlap of label images."""

    difference: Difference | None = None
    iou: float | None = None


def compare_images(before: bytes, after: bytes, path: str, tolerance: Tolerance) -> Measured:
    """Compare two image files."""
    try:
        first, second = _decode(before), _decode(after)
    except ImportError:
        return _unmeasured(path, "image", "Install numpy and pillow on the server to measure it.")
    except Exception as error:  # decoders raise many errors for damaged files
        return _unmeasured(path, "image", f"The images cannot be compared: {error}"[:200])
    return _compare(first, second, path, "image", tolerance)


def compare_arrays(
    before: dict[str, Any], after: dict[str, Any], path: str, tolerance: Tolerance
) -> Measured:
    """Compare two arrays in JSON: ``{"b64", "dtype", "shape"}``."""
    try:
        first, second = _unpack(before), _unpack(after)
    except ImportError:
        return _unmeasured(path, "array", "Install numpy on the server to measure it.")
    except (ValueError, TypeError, binascii.Error) as error:
        return _unmeasured(path, "array", f"The arrays cannot be compared: {error}"[:200])
    return _compare(first, second, path, "array", tolerance)


def is_array(value: dict[str, Any]) -> bool:
    """Return whether an object is an array in JSON."""
    return {"b64", "dtype", "shape"} <= value.keys()


def _unmeasured(path: str, kind: Any, note: str) -> Measured:
    return Measured(Difference(path=path, kind=kind, note=note))


def _decode(data: bytes) -> "Pixels":
    import numpy as np
    import PIL.Image

    with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"an image has more than {MAX_PIXELS // 10**6} million pixels")
        image.load()
        shown = image.convert("RGBA") if image.mode == "P" else image
        return np.asarray(shown)


def _unpack(value: dict[str, Any]) -> "Pixels":
    import numpy as np

    dtype = np.dtype(str(value["dtype"]))
    shape = tuple(int(size) for size in value["shape"])
    data = base64.b64decode(value["b64"])
    if dtype.kind not in KINDS or len(data) > MAX_ELEMENTS * 8:
        raise ValueError("an array is too large or has no numbers")
    return np.frombuffer(data, dtype).reshape(shape)


def _compare(
    first: "Pixels", second: "Pixels", path: str, kind: Any, tolerance: Tolerance
) -> Measured:
    import numpy as np

    if first.shape != second.shape:
        note = f"sizes {_size(first)} and {_size(second)}"
        return Measured(Difference(path=path, kind=kind, note=note))
    iou = None
    if kind == "image" and _are_labels(first) and _are_labels(second):
        iou = mean_iou(first, second)
    unequal = _unequal(first, second)
    if not unequal.any():
        return Measured(None, iou)
    apart = np.abs(_wide(second) - _wide(first))
    largest = float(np.nanmax(apart)) if not np.isnan(apart).all() else 0.0
    limit = tolerance.absolute + tolerance.relative * np.maximum(
        np.abs(_wide(first)), np.abs(_wide(second))
    )
    within = bool(((apart <= limit) | ~unequal).all())
    per_pixel = unequal.any(axis=-1) if kind == "image" and unequal.ndim == 3 else unequal
    found = Difference(
        path=path,
        kind=kind,
        difference=largest,
        share=float(per_pixel.mean()),
        iou=iou,
        within=within,
        note=f"mean difference {float(np.nanmean(apart)):.4g}" if largest else "",
    )
    return Measured(found, iou)


def _size(array: "Pixels") -> str:
    return " x ".join(map(str, array.shape)) or "one number"


def _wide(array: "Pixels") -> "Pixels":
    import numpy as np

    return array.astype(np.float64)


def _unequal(first: "Pixels", second: "Pixels") -> "Pixels":
    import numpy as np

    unequal: Pixels = first != second
    if first.dtype.kind == second.dtype.kind == "f":
        unequal &= ~(np.isnan(first) & np.isnan(second))
    return unequal


def _are_labels(image: "Pixels") -> bool:
    """Guess whether the numbers of an image are labels.

    Photographs have nearly all of 256 values, and neighbors that differ. Labels are few, or larger
    than a byte, and most neighbors are equal.
    """
    import numpy as np

    if image.ndim != 2 or image.dtype.kind not in "biu" or image.size < 4:
        return False
    if float((image[:, 1:] == image[:, :-1]).mean()) < 0.5:
        return False
    values = len(np.unique(image))
    return values <= (64 if image.dtype.itemsize == 1 else MAX_LABELS)


def mean_iou(first: "Pixels", second: "Pixels") -> float:
    """Return the mean intersection over union of the labels other than 0 in two images.

    A label that only one of the images has counts as 0. Without any labels it is 1.
    """
    import numpy as np

    labels, both = np.unique(np.concatenate([first.ravel(), second.ravel()]), return_inverse=True)
    ours, theirs = np.split(both.ravel(), 2)
    count = len(labels)
    hits = np.bincount(ours[ours == theirs], minlength=count).astype(np.float64)
    union = np.bincount(ours, minlength=count) + np.bincount(theirs, minlength=count) - hits
    scores = hits / np.maximum(union, 1)
    scores = scores[labels != 0]
    return float(scores.mean()) if len(scores) else 1.0
