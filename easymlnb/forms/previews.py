"""Thumbnails of example images, and example tables as CSV files."""

import base64
import csv
import io
from typing import Any

from easymlnb.forms.markup import Markup, element
from easymlnb.types.image_encoding import upright

MAX_PIXELS = 40_000_000
THUMB = 144
"""Pixels of a thumbnail's edge; shown at half the size, for high-resolution screens."""


def format_size(count: int) -> str:
    """Return a number of bytes with its unit."""
    for unit, bytes_ in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}".replace(".0 ", " ")
    return f"{count} bytes"


def thumbnail(data: bytes) -> Markup:
    """Return a small picture as HTML. Raises ``ValueError`` or ``OSError`` if it cannot be read."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError("The image has too many pixels to open.")
        picture.draft("RGB", (THUMB, THUMB))
        small = _visible(upright(picture))
        small.thumbnail((THUMB, THUMB))
        out = io.BytesIO()
        small.save(out, "PNG")
    code = base64.b64encode(out.getvalue()).decode()
    return element("img.em-thumb", alt="", src=f"data:image/png;base64,{code}")


def _visible(picture: Any) -> Any:
    """Return the picture with 8 bits; deeper ones are stretched over their own range."""
    if picture.mode in ("L", "RGB", "RGBA"):
        return picture.copy()
    if picture.mode[0] in "IF":
        low, high = picture.getextrema()
        scale = 255 / (high - low) if high > low else 0.0
        return picture.convert("F").point(lambda value: value * scale - low * scale).convert("L")
    return picture.convert("RGBA")


def as_csv(value: Any) -> bytes | None:
    """Return the rows of a table given as records or as columns; None when it is neither."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        head = list(value[0])
        rows = [[row.get(name) for name in head] for row in value]
    elif isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        head = list(value)
        rows = [list(row) for row in zip(*value.values(), strict=False)]
    else:
        return None
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    return out.getvalue().encode()
