"""Pictures of files that come with a service, and its tables as files; the page's script looks at
what people choose themselves."""

import base64
import csv
import io
from typing import Any

from easymlnb.types.pixels import upright

MAX_PIXELS = 40_000_000
THUMB = 144
"""Edge of a thumbnail in pixels; shown at half of it, for sharp screens."""


def size(count: int) -> str:
    """Return a number of bytes in words."""
    for unit, bytes_ in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}".replace(".0 ", " ")
    return f"{count} bytes"


def thumbnail(data: bytes) -> str:
    """Return a picture as a small one, in HTML; raises ``ValueError`` or ``OSError`` for others."""
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
    return f'<img class="em-thumb" alt="" src="data:image/png;base64,{code}">'


def _visible(picture: Any) -> Any:
    """Return the picture in 8 bit; deeper ones are stretched over their own range."""
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
    elif isinstance(value, dict) and all(isinstance(one, list) for one in value.values()):
        head = list(value)
        rows = [list(row) for row in zip(*value.values(), strict=False)]
    else:
        return None
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    return out.getvalue().encode()
