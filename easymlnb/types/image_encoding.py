"""Encode images: without loss for data, and as PNG for views."""

import io
from typing import TYPE_CHECKING, Any

from easymlnb.types import deep
from easymlnb.types.base import is_a
from easymlnb.types.file import part
from easymlnb.types.npy import to_numpy

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

MAX_SIDE = 2000
"""Longest side of a picture in a view, in pixels."""

LOSSLESS_8_BIT = ("image/png", "image/tiff", "image/jpeg", "image/webp")
LOSSLESS_16_BIT = ("image/png", "image/tiff")
LOSSLESS_TIFF = ("image/tiff",)
LOSSLESS_16_BIT_COLOR = ("image/png",)
PILLOW_FORMATS = {
    "image/png": "PNG",
    "image/tiff": "TIFF",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
}


ORIENTATION = 274
"""The EXIF tag with the orientation of the camera."""


def orientation(image: "PIL.Image.Image") -> int:
    """Return the EXIF orientation of a loaded image, 1 if it has no valid one."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:
        # Damaged EXIF data raise many errors, but the pixels may be valid.
        return 1
    return value if isinstance(value, int) else 1


def upright(image: "PIL.Image.Image") -> "PIL.Image.Image":
    """Rotate an image by its EXIF orientation."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if 1 < orientation(image) <= 8 else image


def to_array(image: Any) -> "np.ndarray[Any, Any]":
    """Return an image, or a list of pages, as an array: rows x columns (x colors)."""
    import numpy as np

    if isinstance(image, list):
        pages = [to_array(page) for page in image]
        if len({page.shape for page in pages}) > 1:
            raise ValueError("The pages of the image differ in size.")
        return np.stack(pages)
    if is_a(type(image), "torch.Tensor"):
        array = to_numpy(image)
        # torch has the colors first.
        return (
            np.moveaxis(array, 0, -1) if array.ndim == 3 and array.shape[0] in (1, 3, 4) else array
        )
    if is_a(type(image), "PIL.Image.Image"):
        return _from_pillow(upright(image))
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{type(image).__name__} is not an image")
    return to_numpy(image)


def _from_pillow(image: "PIL.Image.Image") -> "np.ndarray[Any, Any]":
    import numpy as np

    if image.mode in ("P", "PA", "La", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"):
        has_alpha = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
        image = image.convert({"La": "LA"}.get(image.mode, "RGBA" if has_alpha else "RGB"))
    array = np.array(image)
    # Pillow keeps the byte order of the file.
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def exact(image: Any) -> "np.ndarray[Any, Any]":
    """Return an array in the smallest of Pillow's dtypes that represents all values.

    Raises ``ValueError`` if the shape or values are not those of an image.
    """
    import numpy as np

    array = to_array(image)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.size == 0 or array.dtype.kind not in "biuf":
        raise ValueError(f"an array of {array.dtype} and shape {array.shape} is not an image")
    if array.ndim == 3 and array.shape[-1] in (2, 3, 4):
        return _as_colors(array)
    if array.ndim != 2:
        raise ValueError(f"an array of shape {array.shape} is not an image; use rows x columns")
    if array.dtype.kind == "f":
        return _as_float32(array)
    if array.dtype in (np.bool_, np.uint8, np.uint16):
        return array
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high < 2**16:
        return array.astype(np.uint16)
    if low >= -(2**31) and high < 2**31:
        return array.astype(np.int32)
    raise ValueError("an image can contain whole numbers with at most 32 bits")


def _as_float32(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return floating point numbers in 32 bits; raises ``ValueError`` for larger numbers."""
    import numpy as np

    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if np.isinf(single).sum() > np.isinf(array).sum():
        raise ValueError("an image can contain numbers up to 3.4e38")
    return single


def _as_colors(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return colors as bytes, also fractions from 0 to 1, or as 16 bits if necessary."""
    import numpy as np

    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return (array * 255).round().astype(np.uint8)
    if array.dtype.kind != "f" and low >= 0 and high <= 255:
        return array.astype(np.uint8) * (255 if array.dtype.kind == "b" else 1)
    if array.dtype == np.uint16:
        return array
    raise ValueError(
        "an image's colors must be whole numbers from 0 to 255, uint16, or fractions from 0 to 1"
    )


def is_deep(array: "np.ndarray[Any, Any]") -> bool:
    """Say whether an exact array has 16 bits per color, for which Pillow has no mode."""
    return array.ndim == 3 and array.dtype == "uint16"


def from_array(array: Any) -> "PIL.Image.Image":
    """Return an array as one of Pillow's images."""
    import PIL.Image

    pixels = exact(array)
    if is_deep(pixels):
        raise ValueError("colors with 16 bits can only be encoded as PNG with a single page")
    return PIL.Image.fromarray(pixels)


def convert(image: Any, mode: str) -> "PIL.Image.Image":
    """Convert to an 8-bit mode; images with more bits are scaled, which Pillow would clip."""
    import numpy as np
    import PIL.Image

    if is_a(type(image), "numpy.ndarray"):
        if is_deep(image):
            image = (image // 257).astype(np.uint8)
        elif image.dtype not in (np.bool_, np.uint8):
            image = _to_bytes(image)
        image = PIL.Image.fromarray(image)
    elif image.mode.startswith(("I", "F")):
        image = PIL.Image.fromarray(_to_bytes(np.asarray(to_array(image))))
    converted: PIL.Image.Image = image.convert(mode)
    return converted


def offers(value: Any) -> tuple[str, ...]:
    """Return the media types that encode an image without loss, the preferred one first."""
    import numpy as np

    if _has_pages(value):
        return LOSSLESS_TIFF
    page = exact(value)
    if page.dtype in (np.bool_, np.uint8):
        return LOSSLESS_8_BIT
    if is_deep(page):
        return LOSSLESS_16_BIT_COLOR
    return LOSSLESS_16_BIT if page.dtype == np.uint16 else LOSSLESS_TIFF


def write(value: Any, media_type: str) -> bytes:
    """Return an image as bytes of one of ``offers(value)``."""
    pages = value if _has_pages(value) else [value]
    if len(pages) == 0:
        raise ValueError("a list without pages is not an image")
    if media_type == "image/png" and is_deep(page := exact(pages[0])):
        return deep.write_png(page)
    first, *others = [from_array(page) for page in pages]
    options: dict[str, Any] = {}
    if media_type == "image/tiff":
        options = {"compression": "tiff_deflate", "save_all": True, "append_images": others}
    if media_type == "image/jpeg":
        first, options = first.convert("L" if first.mode in ("1", "L") else "RGB"), {"quality": 92}
    if media_type == "image/webp":
        first, options = first.convert("RGBA" if "A" in first.mode else "RGB"), {"lossless": True}
    target = io.BytesIO()
    first.save(target, PILLOW_FORMATS[media_type], **options)
    return target.getvalue()


def are_labels(array: "np.ndarray[Any, Any]") -> bool:
    """Guess whether integers are labels: 32 or 64 bits, or 0, 1, 2, ... without a gap."""
    import numpy as np

    if array.ndim != 2 or array.dtype.kind not in "iu" or array.dtype.itemsize == 1:
        return False
    if array.min() < 0:
        return False
    if array.dtype != np.uint16:
        return True
    return int(array.max()) < 10_000 and len(np.unique(array)) == int(array.max()) + 1


def _to_bytes(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Stretch numbers to bytes between their 0.1 and 99.9 percentiles."""
    import numpy as np

    values = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, (0.1, 99.9))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    shown: np.ndarray[Any, Any] = (np.clip((values - low) / span, 0, 1) * 255).astype(np.uint8)
    return shown


def _color_labels(labels: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Give each label its own color, with different hues for adjacent numbers; 0 is black."""
    import colorsys

    import numpy as np

    values, inverse = np.unique(labels, return_inverse=True)
    table = np.zeros((len(values), 3), np.uint8)
    for at, value in enumerate(values.tolist()):
        if value:
            # Multiples of the golden ratio never repeat a hue.
            hue, light = value * 0.618033988749895 % 1, (1.0, 0.75)[value % 2]
            table[at] = [round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.65, light)]
    colored: np.ndarray[Any, Any] = table[inverse.reshape(labels.shape)]
    return colored


def parts(value: Any, title: str, labels: bool | None) -> list[dict[str, Any]]:
    """Return a picture and, if it is not the data itself, the data as a download."""
    import numpy as np
    import PIL.Image

    best = offers(value)[0]
    page = exact(value[0] if best == LOSSLESS_TIFF[0] and _has_pages(value) else value)
    original = to_array(value[0] if _has_pages(value) else value)
    color = are_labels(original) if labels is None else labels
    picture = page
    if color and page.ndim == 2:
        picture = _color_labels(page)
    elif page.dtype not in (np.bool_, np.uint8):
        picture = _to_bytes(page)
    image = PIL.Image.fromarray(picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    target = io.BytesIO()
    image.save(target, "PNG")
    picture_part = part("image", title, target.getvalue(), "image/png", f"{title or 'image'}.png")
    more: dict[str, Any] = {
        "width": page.shape[1],
        "height": page.shape[0],
        "dtype": str(page.dtype),
    }
    if color:
        more["labels"] = int(np.count_nonzero(np.unique(page)))
    picture_part["more"] = more
    if picture is page and image.size == (page.shape[1], page.shape[0]):
        return [picture_part]
    name = f"{title or 'image'}.{best.rpartition('/')[2]}"
    return [picture_part, part("file", title, write(value, best), best, name)]


def _has_pages(value: Any) -> bool:
    """Say whether a value has pages: a list, or an array with one more axis in front."""
    if isinstance(value, list):
        return True
    if not is_a(type(value), "numpy.ndarray"):
        return False
    return bool(value.ndim == 4 or (value.ndim == 3 and value.shape[-1] > 4))
