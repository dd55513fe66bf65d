"""Colors of 16 bits, which Pillow has no mode for: it reads and writes only 8 bits of each.

Pillow decodes such files all the same, and a raw mode says which byte of each number it keeps. So
each file is decoded twice, once for the high bytes and once for the low ones.
"""

import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

_LAYOUTS = {2: 4, 3: 2, 4: 6}
"""Samples of a pixel, as PNG numbers them: gray with alpha, colors, colors with alpha."""

KINDS = {"LA": 2, "RGB": 3, "RGBA": 4, "RGBX": 3}
"""Samples that are kept, by Pillow's name of the colors."""


def raw_mode(image: "PIL.Image.Image") -> str:
    """Return how the file of an opened image keeps its samples; empty if that is unknown."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def is_deep(image: "PIL.Image.Image") -> bool:
    """Tell whether an image that was opened, but not loaded, has colors of 16 bits."""
    kind, _, bits = raw_mode(image).partition(";")
    return bits.startswith("16") and kind not in ("I", "L")


def read(image: "PIL.Image.Image", reopen: Any) -> "np.ndarray[Any, Any]":
    """Return rows x columns x samples of such an image; ``reopen`` opens its page once more.

    Raises ``ValueError`` for colors that are neither gray nor red, green and blue.
    """
    import numpy as np

    raw = raw_mode(image)
    kind = raw.partition(";")[0]
    if kind not in KINDS:
        raise ValueError(
            f"The image has {kind} colors with 16 bits, which are not supported. Save the image "
            "as RGB, or with 8 bits per color."
        )
    if raw.startswith("LA"):
        # Four bytes a pixel, which is what colors with alpha have.
        pairs = _decoded(image, "RGBA")
        gray: np.ndarray[Any, Any] = pairs[..., ::2].astype(np.uint16) << 8
        gray |= pairs[..., 1::2]
        return gray
    big = raw.endswith("B") or (raw.endswith("N") and sys.byteorder == "big")
    high, low = ("16B", "16L") if big else ("16L", "16B")
    samples = _decoded(image, f"{kind};{high}").astype(np.uint16) << 8
    samples |= _decoded(reopen(), f"{kind};{low}")
    colors: np.ndarray[Any, Any] = samples[..., : KINDS[kind]]
    return colors


def _decoded(image: Any, raw: str) -> "np.ndarray[Any, Any]":
    """Decode an image as if the file kept its samples as ``raw`` says."""
    import numpy as np

    image.tile = [tile._replace(args=_with(tile.args, raw)) for tile in image.tile]
    image.load()
    return np.array(image)


def _with(arguments: Any, raw: str) -> Any:
    return (raw, *arguments[1:]) if isinstance(arguments, tuple) else raw


def write_png(array: "np.ndarray[Any, Any]") -> bytes:
    """Return an array of 16 bit colors, rows x columns x samples, as a PNG."""
    import numpy as np

    height, width, samples = array.shape
    rows = np.ascontiguousarray(array, ">u2").view(np.uint8).reshape(height, -1)
    lines = np.full((height, rows.shape[1] + 1), 2, np.uint8)  # 2: less the row above
    lines[:, 1:] = rows
    lines[1:, 1:] -= rows[:-1]
    head = struct.pack(">IIBBBBB", width, height, 16, _LAYOUTS[samples], 0, 0, 0)
    data = zlib.compress(lines.tobytes(), 6)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
