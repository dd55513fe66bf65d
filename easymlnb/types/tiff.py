"""Decode TIFFs that Pillow does not decode correctly: 64 bits, signed bytes, planes.

Pillow reads the tags. The numbers, uncompressed or deflated, are decoded here to one array per
page, rows x columns (x samples). Pillow decodes all other TIFFs.
"""

import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    import numpy as np

MAGIC = (b"II*\0", b"MM\0*", b"II+\0")
KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}
"""numpy's kind of number by SampleFormat."""

WHOLE, DEFLATE = 1, (8, 32946)
COMPRESSIONS = {2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 6: "JPEG", 7: "JPEG",
                32773: "PackBits", 34712: "JPEG 2000", 34925: "LZMA", 50000: "Zstandard",
                50001: "WebP"}  # fmt: skip
SAVE_AS = "Save the image with real numbers of 8, 16, 32 or 64 bits, uncompressed or deflated."
MOST_SAMPLES = 4

# Tags.
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, STRIPS = 254, 256, 257, 258, 259, 273
ORIENTATION, SAMPLES, ROWS, STRIP_SIZES, PLANAR, PREDICTOR = 274, 277, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, FORMAT = 322, 323, 324, 325, 339
REDUCED = 1


@dataclass(slots=True)
class Page:
    """A page with its tags."""

    tags: Any
    little: bool
    data: Data
    width: int = field(init=False)
    height: int = field(init=False)
    bits: int = field(init=False)
    samples: int = field(init=False)
    format: int = field(init=False)

    def __post_init__(self) -> None:
        self.width, self.height = self.tag(WIDTH), self.tag(HEIGHT)
        self.bits, self.samples, self.format = map(self.tag, (BITS, SAMPLES, FORMAT), (1, 1, 1))

    def tag(self, number: int, default: int = 0) -> int:
        """Return the first number of a tag."""
        value = self.tags.get(number, default)
        value = value[0] if isinstance(value, tuple) and value else value
        return value if isinstance(value, int) else default

    def numbers(self, number: int) -> tuple[int, ...]:
        """Return all numbers of a tag."""
        value = self.tags.get(number, ())
        return tuple(value) if isinstance(value, tuple) else (value,)

    @property
    def planes(self) -> bool:
        """Whether each sample has its own plane."""
        return self.samples > 1 and self.tag(PLANAR, 1) == 2

    @property
    def units(self) -> int:
        """Number of pixels; those with more than 8 bytes count as several."""
        return self.width * self.height * max(1, self.samples * self.bits // 64)

    @property
    def is_ours(self) -> bool:
        """Whether Pillow does not decode the page correctly."""
        if self.bits < 8 or self.bits % 8:
            return False
        if self.format in (1, 4) and self.bits == 8:
            return False
        if self.samples > 1:
            # ``deep`` decodes 16 bits per color in one plane.
            return not (self.format in (1, 4) and self.bits == 16 and not self.planes)
        if (self.format, self.bits) == (1, 16):
            return False
        known = (self.format, self.bits) in ((2, 16), (2, 32), (3, 32))
        # Pillow swaps the bytes of compressed big-endian numbers.
        return not (known and (self.little or self.tag(COMPRESSION, 1) == WHOLE))

    def kind(self) -> "np.dtype[Any]":
        """Return the dtype; raises ``ValueError`` if it is not supported."""
        import numpy as np

        letter, compression = KINDS.get(self.format), self.tag(COMPRESSION, WHOLE)
        sizes = (16, 32, 64) if letter == "f" else (8, 16, 32, 64)
        if letter is None or self.bits not in sizes or len(set(self.numbers(BITS))) > 1:
            raise ValueError(
                f"The TIFF has an unsupported pixel format ({self.bits} bits, sample format "
                f"{self.format}). {SAVE_AS}"
            )
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise ValueError(
                f"The TIFF has {self.samples} samples per pixel; the limit is {MOST_SAMPLES}."
            )
        if compression not in (WHOLE, *DEFLATE):
            name = COMPRESSIONS.get(compression, f"method {compression}")
            raise ValueError(
                f"The TIFF has {self.bits}-bit numbers compressed with {name}, which is not "
                "supported. Save the image uncompressed or deflated."
            )
        return np.dtype(f"{'<' if self.little else '>'}{letter}{self.bits // 8}")

    def array(self) -> "np.ndarray[Any, Any]":
        """Return the numbers; raises ``ValueError``, or an error of numpy for damaged files."""
        import numpy as np

        kind = self.kind()
        inner = 1 if self.planes else self.samples
        planes = np.zeros((self.samples // inner, self.height, self.width, inner), kind)
        for block, plane, top, left in self._blocks(kind, inner):
            rows, columns = self.height - top, self.width - left
            block = block[:rows, :columns]
            planes[plane, top : top + len(block), left : left + block.shape[1]] = block
        page = np.moveaxis(planes, 0, -2).reshape(self.height, self.width, self.samples)
        page = page.astype(kind.newbyteorder("="), copy=False)
        return turned(page[..., 0] if self.samples == 1 else page, self.tag(ORIENTATION, 1))

    def _blocks(
        self, kind: "np.dtype[Any]", inner: int
    ) -> Iterator[tuple["np.ndarray[Any, Any]", int, int, int]]:
        """Yield strips or tiles with their plane, top and left."""
        tiled = TILES in self.tags
        wide = self.tag(TILE_WIDTH) if tiled else self.width
        high = self.tag(TILE_HEIGHT) if tiled else min(self.tag(ROWS, self.height), self.height)
        if wide < 1 or high < 1:
            raise ValueError("The image is damaged and cannot be decoded.")
        across, down = math.ceil(self.width / wide), math.ceil(self.height / high)
        starts = self.numbers(TILES if tiled else STRIPS)
        sizes = self.numbers(TILE_SIZES if tiled else STRIP_SIZES)
        for at in range(across * down * (self.samples // inner)):
            plane, place = divmod(at, across * down)
            top, left = place // across * high, place % across * wide
            rows = high if tiled else min(high, self.height - top)
            if at >= len(starts):
                raise ValueError("The image is truncated: its end is missing.")
            size = sizes[at] if at < len(sizes) else rows * wide * inner * kind.itemsize
            block = self._unpacked(self.data[starts[at] : starts[at] + size], rows, wide, inner)
            yield _predicted(block, kind, self.tag(PREDICTOR, 1)), plane, top, left

    def _unpacked(self, data: Data, rows: int, wide: int, inner: int) -> "np.ndarray[Any, Any]":
        """Return the bytes of a block: rows x columns x samples x bytes per number."""
        import numpy as np

        size = rows * wide * inner * self.bits // 8
        if self.tag(COMPRESSION, WHOLE) in DEFLATE:
            # Limited to the size of the block, however much the data expands to.
            data = zlib.decompressobj().decompress(data, size) if size else b""
        if len(data) < size:
            raise ValueError("The image is truncated: its end is missing.")
        return np.frombuffer(data, np.uint8, size).reshape(rows, wide, inner, self.bits // 8)


def _predicted(
    block: "np.ndarray[Any, Any]", kind: "np.dtype[Any]", predictor: int
) -> "np.ndarray[Any, Any]":
    """Return the numbers of a block; with a predictor, the file contains differences."""
    import numpy as np

    rows, wide, inner, width = block.shape
    if predictor == 3:
        # Differences of bytes; the high bytes of a row come before the lower ones.
        sums = np.cumsum(block.reshape(rows, -1, inner), axis=1, dtype=np.uint8)
        by_weight = sums.reshape(rows, width, wide * inner)
        ordered = np.ascontiguousarray(np.swapaxes(by_weight, 1, 2)).view(f">f{width}")
        return ordered.reshape(rows, wide, inner)
    numbers = np.ascontiguousarray(block).view(kind)[..., 0]
    if predictor == 2:
        whole = numbers.view(f"{kind.byteorder}u{width}").astype(f"=u{width}")
        summed = np.cumsum(whole, axis=1, dtype=whole.dtype)
        return summed.view(kind.newbyteorder("="))
    return numbers


def turned(array: "np.ndarray[Any, Any]", orientation: int) -> "np.ndarray[Any, Any]":
    """Rotate or flip an array by an orientation of TIFF and EXIF, from 1 to 8."""
    import numpy as np

    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def is_tiff(data: Data) -> bool:
    return bytes(data[:4]) in MAGIC


def pages(data: Data) -> Iterator[Page]:
    """Yield the pages of a TIFF without thumbnails; damaged files raise many errors."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file = io.BytesIO(data)
    head = file.read(16)
    big, little = b"+" in head[2:4], head[:2] == b"II"
    tags = ImageFileDirectory_v2(head if big else head[:8])
    seen: set[int] = set()
    while tags.next and tags.next not in seen:
        seen.add(tags.next)
        file.seek(tags.next)
        tags.load(file)
        page = Page(dict(tags), little, data)
        if not page.tag(SUBFILE) & REDUCED:
            yield page
