"""Images with 16 bits per color, of which Pillow reads and writes only 8.

Pillow's raw mode chooses the byte of each number, so these files are decoded twice: for the high
bytes and for the low ones.
"""

import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

_LAYOUTS = {2: 4, 3: 2, 4: 6}
"""PNG's color type by samples per pixel: gray with alpha, colors, colors with alpha."""

KINDS = {"LA": 2, "RGB": 3, "RGBA": 4, "RGBX": 3}
"""Number of samples to read, by Pillow's name of the colors."""


def raw_mode(image: "PIL.Image.Image") -> str:
    """Return Pillow's raw mode of an opened image; empty if unknown."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def is_deep(image: "PIL.Image.Image") -> bool:
    """Say whether an image that is not loaded yet has 16 bits per color."""
    kind, _, bits = raw_mode(image).partition(";")
    return bits.startswith("16") and kind not in ("I", "L")


def read(image: "PIL.Image.Image", reopen: Any) -> "np.ndarray[Any, Any]":
    """Return rows x columns x samples; ``reopen`` opens the page again.

    Raises ``ValueError`` for colors other than gray and RGB.
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
        # Four bytes per pixel, as RGBA has.
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
    """Decode an image with another raw mode."""
    import numpy as np

    image.tile = [tile._replace(args=_with_raw_mode(tile.args, raw)) for tile in image.tile]
    image.load()
    return np.array(image)


def _with_raw_mode(arguments: Any, raw: str) -> Any:
    return (raw, *arguments[1:]) if isinstance(arguments, tuple) else raw


def write_png(array: "np.ndarray[Any, Any]") -> bytes:
    """Encode rows x columns x samples of 16 bits as PNG."""
    import numpy as np

    height, width, samples = array.shape
    rows = np.ascontiguousarray(array, ">u2").view(np.uint8).reshape(height, -1)
    lines = np.full((height, rows.shape[1] + 1), 2, np.uint8)  # filter 2: subtract the row above
    lines[:, 1:] = rows
    lines[1:, 1:] -= rows[:-1]
    head = struct.pack(">IIBBBBB", width, height, 16, _LAYOUTS[samples], 0, 0, 0)
    data = zlib.compress(lines.tobytes(), 6)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
