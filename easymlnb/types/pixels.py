"""Images out: exact where they hold data, in PNG where people look at them."""

import io
from typing import TYPE_CHECKING, Any

from easymlnb.types.base import is_a
from easymlnb.types.file import part
from easymlnb.types.npy import to_numpy

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

SHOWN = 2000
"""Longest side, in pixels, of a picture made for people."""

EVERYDAY = ("image/png", "image/tiff", "image/jpeg", "image/webp")
EXACT = ("image/png", "image/tiff")
WIDE = ("image/tiff",)
SAVED = {"image/png": "PNG", "image/tiff": "TIFF", "image/jpeg": "JPEG", "image/webp": "WEBP"}


def to_array(image: Any) -> "np.ndarray[Any, Any]":
    """Return an image, or a list of pages, as an array: rows, columns and colours if any."""
    import numpy as np

    if isinstance(image, list):
        pages = [to_array(page) for page in image]
        if len({page.shape for page in pages}) > 1:
            raise ValueError("The pages of the image differ in size.")
        return np.stack(pages)
    if is_a(type(image), "torch.Tensor"):
        array = image.detach().cpu().numpy()
        # torch has the colours first.
        return (
            np.moveaxis(array, 0, -1) if array.ndim == 3 and array.shape[0] in (1, 3, 4) else array
        )
    if is_a(type(image), "PIL.Image.Image"):
        return _from_pillow(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{type(image).__name__} is not an image")
    return to_numpy(image)


def _from_pillow(image: "PIL.Image.Image") -> "np.ndarray[Any, Any]":
    import numpy as np

    if image.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        has_alpha = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if has_alpha else "RGB")
    array = np.array(image)
    # Pillow keeps the byte order of the file; numpy code expects the machine's.
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def exact(image: Any) -> "np.ndarray[Any, Any]":
    """Return an array in the smallest of Pillow's kinds that keeps every value.

    Raises ``ValueError`` when its shape or values are not those of an image.
    """
    import numpy as np

    array = to_array(image)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.size == 0 or array.dtype.kind not in "biuf":
        raise ValueError(f"an array of {array.dtype} and shape {array.shape} is not an image")
    if array.ndim == 3 and array.shape[-1] in (2, 3, 4):
        return _colours(array)
    if array.ndim != 2:
        raise ValueError(f"an array of shape {array.shape} is not an image; use rows x columns")
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype in (np.bool_, np.uint8, np.uint16):
        return array
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high < 2**16:
        return array.astype(np.uint16)
    if low >= -(2**31) and high < 2**31:
        return array.astype(np.int32)
    raise ValueError("an image holds whole numbers of 32 bits at most")


def _colours(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return colours as bytes; fractions from 0 to 1 are what scikit-image and matplotlib use."""
    import numpy as np

    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return (array * 255).round().astype(np.uint8)
    if array.dtype.kind != "f" and low >= 0 and high <= 255:
        return array.astype(np.uint8) * (255 if array.dtype.kind == "b" else 1)
    raise ValueError("colours are whole numbers from 0 to 255 or fractions from 0 to 1")


def from_array(array: Any) -> "PIL.Image.Image":
    """Return an array as one of Pillow's images."""
    import PIL.Image

    return PIL.Image.fromarray(exact(array))


def convert(image: "PIL.Image.Image", mode: str) -> "PIL.Image.Image":
    """Convert to an 8 bit mode; deeper images are scaled to it, where Pillow would cut them off."""
    import numpy as np
    import PIL.Image

    if image.mode.startswith(("I", "F")):
        image = PIL.Image.fromarray(_scaled(np.asarray(to_array(image))))
    return image.convert(mode)


def offers(value: Any) -> tuple[str, ...]:
    """Return the media types that keep an image as it is, the preferred one first."""
    import numpy as np

    if isinstance(value, list):
        return WIDE
    if is_a(type(value), "numpy.ndarray") and value.ndim == 4:
        return WIDE
    kind = exact(value).dtype
    if kind in (np.bool_, np.uint8):
        return EVERYDAY
    return EXACT if kind == np.uint16 else WIDE


def write(value: Any, media_type: str) -> bytes:
    """Return an image as bytes of one of ``offers(value)``."""
    pages = value if isinstance(value, list) else [value]
    first, *others = [from_array(page) for page in pages]
    options: dict[str, Any] = {}
    if media_type == "image/tiff":
        options = {"compression": "tiff_deflate", "save_all": True, "append_images": others}
    if media_type == "image/jpeg":
        first, options = first.convert("L" if first.mode in ("1", "L") else "RGB"), {"quality": 92}
    if media_type == "image/webp":
        first, options = first.convert("RGBA" if "A" in first.mode else "RGB"), {"lossless": True}
    target = io.BytesIO()
    first.save(target, SAVED[media_type], **options)
    return target.getvalue()


def are_labels(array: "np.ndarray[Any, Any]") -> bool:
    """Guess whether whole numbers are labels: wide integers, or 0, 1, 2, ... without a gap."""
    import numpy as np

    if array.ndim != 2 or array.dtype.kind not in "iu" or array.dtype.itemsize == 1:
        return False
    if array.min() < 0:
        return False
    if array.dtype != np.uint16:
        return True
    return int(array.max()) < 10_000 and len(np.unique(array)) == int(array.max()) + 1


def _scaled(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Stretch numbers to bytes between their 0.1 and 99.9 percentiles."""
    import numpy as np

    values = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, (0.1, 99.9))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    shown: np.ndarray[Any, Any] = (np.clip((values - low) / span, 0, 1) * 255).astype(np.uint8)
    return shown


def _coloured(labels: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Give each label a colour of its own, neighbours in number far apart in hue; 0 is black."""
    import colorsys

    import numpy as np

    values, inverse = np.unique(labels, return_inverse=True)
    table = np.zeros((len(values), 3), np.uint8)
    for at, value in enumerate(values.tolist()):
        if value:
            # The golden ratio never comes back to a hue it had.
            hue, light = value * 0.618033988749895 % 1, (1.0, 0.75)[value % 2]
            table[at] = [round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.65, light)]
    coloured: np.ndarray[Any, Any] = table[inverse.reshape(labels.shape)]
    return coloured


def parts(value: Any, title: str, labels: bool | None) -> list[dict[str, Any]]:
    """Return a picture for people and, where it is not the data itself, the data to download."""
    import numpy as np
    import PIL.Image

    best = offers(value)[0]
    page = exact(value[0] if best == WIDE[0] and _many(value) else value)
    original = to_array(value[0] if _many(value) else value)
    colour = are_labels(original) if labels is None else labels
    picture = page
    if colour and page.ndim == 2:
        picture = _coloured(page)
    elif page.dtype not in (np.bool_, np.uint8):
        picture = _scaled(page)
    image = PIL.Image.fromarray(picture)
    image.thumbnail((SHOWN, SHOWN))
    target = io.BytesIO()
    image.save(target, "PNG")
    shown = part("image", title, target.getvalue(), "image/png", f"{title or 'image'}.png")
    more: dict[str, Any] = {
        "width": page.shape[1],
        "height": page.shape[0],
        "dtype": str(page.dtype),
    }
    if colour:
        more["labels"] = int(np.count_nonzero(np.unique(page)))
    shown["more"] = more
    if picture is page and image.size == (page.shape[1], page.shape[0]):
        return [shown]
    name = f"{title or 'image'}.{best.rpartition('/')[2]}"
    return [shown, part("file", title, write(value, best), best, name)]


def _many(value: Any) -> bool:
    return isinstance(value, list) or (is_a(type(value), "numpy.ndarray") and value.ndim == 4)
