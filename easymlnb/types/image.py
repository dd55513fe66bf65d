"""Images: PNG, JPEG, TIFF (16 bit and many pages too), BMP and WebP.

Sizes are checked from the header before a pixel is decoded. Reading is here, writing and showing
in ``pixels``.
"""

import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from easymlnb.types import deep, image_encoding, inline_bytes, temp_files, tiff
from easymlnb.types.base import KEY, Type, is_a
from easymlnb.types.file import File
from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    import PIL.Image

FORMATS = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "WEBP": "image/webp",
}
"""What is read: Pillow's name and the media type."""

ENDINGS = {"PNG": "png", "JPEG": "jpg", "TIFF": "tif", "BMP": "bmp", "WEBP": "webp"}
MAX_PIXELS = 40_000_000
NO_IMAGE = "The value must be an image: PNG, JPEG, TIFF, BMP or WebP."


class Image(Type):
    """An image: a ``PIL.Image.Image``, a ``numpy.ndarray`` or a ``Path``, as annotated.

    As a result, integer arrays keep their exact values (PNG or TIFF).

    Parameters
    ----------
    mode : str, optional
        Convert to one of Pillow's modes (``"L"``, ``"RGB"``, ``"RGBA"``). Default: the file's own,
        including 16 bits.
    pages : bool, default False
        Read all pages of a file: a list of images, or an array with one more axis in front.
        Otherwise the first page is read.
    labels : bool, optional
        Whether the numbers of a result are labels, which are shown in colors. Default: guessed.
    max_bytes : int, default 104857600
        Largest accepted file.
    max_pixels : int, default 40000000
        Largest number of pixels of all pages together, checked before decoding.
    """

    natives: ClassVar[tuple[str, ...]] = ("PIL.Image.Image",)
    needs: ClassVar[tuple[str, ...]] = ("PIL", "numpy")
    reads: tuple[str, ...] = tuple(FORMATS.values())
    writes: tuple[str, ...] = ("image/png", "image/tiff", "image/jpeg", "image/webp")
    widget: ClassVar[str] = "image"

    def __init__(
        self,
        *,
        mode: str | None = None,
        pages: bool = False,
        labels: bool | None = None,
        max_bytes: int = inline_bytes.MAX_BYTES,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if mode not in (None, "1", "L", "RGB", "RGBA"):
            raise ValueError(f"mode must be one of 1, L, RGB, RGBA, not {mode!r}.")
        self.mode = mode
        self.pages = pages
        self.labels = labels
        self.max_bytes = max_bytes
        self.max_pixels = max_pixels

    def json_schema(self) -> dict[str, Any]:
        own = {
            "widget": self.widget,
            "accept": list(self.reads),
            "max_bytes": self.max_bytes,
            "max_pixels": self.max_pixels,
        }
        if self.pages:
            own["pages"] = True
        return {**inline_bytes.SCHEMA, KEY: own}

    def decode(self, value: Any, source: Any) -> Any:
        if is_a(type(value), "PIL.Image.Image", "numpy.ndarray"):
            return _native(value, source)
        if isinstance(value, File):
            value = value.upload()
        found = inline_bytes.to_upload(value, self.max_bytes)
        if found is None:
            raise ValueError(NO_IMAGE)
        if is_a(source, "pathlib.Path"):
            kind = self.check(found.data)
            stem = found.name.rpartition(".")[0] or "image"
            return temp_files.create(f"{stem}.{ENDINGS[kind]}", found.data, found.path)
        return self._as(self.open(found.data), source)

    def _as(self, value: Any, source: Any) -> Any:
        """Return images as the annotated class."""
        if is_a(source, "numpy.ndarray"):
            return image_encoding.to_array(value)
        return [_pillow(page) for page in value] if isinstance(value, list) else _pillow(value)

    def check(self, data: Data) -> str:
        """Return Pillow's name of the format; raises ``ValueError`` when it cannot be decoded."""
        self.open(data)
        return _format(data)

    def open(self, data: Data) -> Any:
        """Decode an image, or all its pages; raises ``ValueError`` with one sentence.

        An image is Pillow's, or an array where Pillow has no mode for its numbers.
        """
        try:
            found = self._arrays(data) if tiff.is_tiff(data) else None
            return self._open(data) if found is None else found
        except ValueError:
            raise
        except MemoryError:
            raise ValueError("The image is too large to decode.") from None
        except Exception as error:
            # Decoders of damaged files raise nearly anything: SyntaxError, struct.error, OSError.
            raise ValueError(_wrong(error)) from None

    def _arrays(self, data: Data) -> Any:
        """Decode a TIFF that Pillow cannot read, or reads wrongly; ``None`` for any other."""
        found: list[tiff.Page] = []
        for page in tiff.pages(data):
            found.append(page)
            if page.units * len(found) > self.max_pixels:
                raise ValueError(self._too_many())
            if not self.pages:
                break
        if not any(page.is_ours for page in found):
            return None
        arrays = [self._moded(page.array()) for page in found]
        return arrays if self.pages else arrays[0]

    def _open(self, data: Data) -> Any:
        import PIL.Image

        def opened(page: int = 0) -> Any:
            image = PIL.Image.open(io.BytesIO(data), formats=tuple(FORMATS))
            image.seek(page)
            return image

        try:
            image = opened()
        except PIL.UnidentifiedImageError:
            raise ValueError(_unreadable(data)) from None
        except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
            raise ValueError(self._too_many()) from None
        width, height = image.size
        # The other pictures of an MPO are no pages: a second lens, a depth map.
        many = self.pages and image.format != "MPO"
        count = getattr(image, "n_frames", 1) if many else 1
        if width * height * count > self.max_pixels:
            raise ValueError(self._too_many())
        if not self.pages:
            return self._page(image, opened)
        found = []
        for page in range(count):
            image.seek(page)
            # Pages may differ in size, and only the first one's is in the header read above.
            if image.size[0] * image.size[1] * count > self.max_pixels:
                raise ValueError(self._too_many())
            if _is_thumbnail(image):
                continue
            found.append(self._page(image, partial(opened, page)))
        return found

    def _page(self, image: "PIL.Image.Image", reopen: Callable[[], Any]) -> Any:
        """Decode the page that an opened file is at."""
        if deep.is_deep(image):
            array = deep.read(image, reopen)
            return self._moded(tiff.turned(array, image_encoding.orientation(image)))
        image.load()
        # A page of several shares its pixels with the next one.
        return self._moded(image_encoding.upright(image.copy() if self.pages else image))

    def _moded(self, image: Any) -> Any:
        """Convert an image to the mode that is asked for."""
        if self.mode and getattr(image, "mode", "") != self.mode:
            return image_encoding.convert(image, self.mode)
        return image

    def _too_many(self) -> str:
        return f"The image exceeds the limit of {self.max_pixels / 1e6:g} million pixels."

    def _result(self, value: Any) -> Any:
        """Return a result as an image or array; files are decoded to prove that they are images."""
        if isinstance(value, File | bytes) or is_a(type(value), "pathlib.Path"):
            found = File().file(value)
            return self.open(found.data)
        return value

    def encode(self, value: Any) -> Any:
        value = self._result(value)
        kind = "image/png" if "image/png" in image_encoding.offers(value) else "image/tiff"
        return inline_bytes.data_uri(image_encoding.write(value, kind), kind)

    def offers(self, value: Any) -> tuple[str, ...]:
        return image_encoding.offers(self._result(value))

    def write(self, value: Any, media_type: str) -> bytes:
        return image_encoding.write(self._result(value), media_type)

    def filename(self, value: Any, media_type: str) -> str:
        return f"image.{media_type.rpartition('/')[2]}"

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        return image_encoding.parts(self._result(value), title, self.labels)


class Webcam(Image):
    """An image taken with the camera, or uploaded; options are those of ``Image``."""

    natives: ClassVar[tuple[str, ...]] = ()
    widget = "webcam"


def _native(image: Any, source: Any) -> Any:
    """Return an image that Python gave as the annotated class."""
    if is_a(source, "numpy.ndarray"):
        return image_encoding.to_array(image)
    if is_a(type(image), "numpy.ndarray"):
        return image_encoding.from_array(image)
    return image_encoding.upright(image)


def _pillow(image: Any) -> Any:
    """Return an image that was read as one of Pillow's; raises ``ValueError`` if that loses bits.

    Floating point numbers of 64 bits become the 32 that Pillow has.
    """
    if not is_a(type(image), "numpy.ndarray"):
        return image
    if image.ndim == 3 and image.dtype.itemsize > 1:
        raise ValueError(
            f"The image has {8 * image.dtype.itemsize} bits per color, but only 8 are supported. "
            "Save the image with 8 bits per color."
        )
    return image_encoding.from_array(image)


def _is_thumbnail(image: Any) -> bool:
    """Tell whether a page of a TIFF is a smaller copy of another one."""
    return bool(getattr(image, "tag_v2", {}).get(tiff.SUBFILE, 0) & tiff.REDUCED)


def _format(data: Data) -> str:
    import PIL.Image

    if tiff.is_tiff(data):
        return "TIFF"
    with PIL.Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
        found = image.format or "PNG"
    return "JPEG" if found == "MPO" else found


OTHERS = {
    b"GIF8": "a GIF",
    b"ftypheic": "HEIC",
    b"ftypheix": "HEIC",
    b"ftypmif1": "HEIC",
    b"ftypavif": "AVIF",
    b"<svg": "SVG",
    b"%PDF": "a PDF",
    b"\x93NUMPY": "a .npy file",
    b"MM\0+": "a big-endian BigTIFF",
}
"""What people take for an image, by what its first bytes hold."""


def _unreadable(data: Data) -> str:
    """Say why a file is not read."""
    if tiff.is_tiff(data):
        return "The TIFF has an unsupported pixel format. " + tiff.SAVE_AS
    head = bytes(data[:16])
    name = next((name for mark, name in OTHERS.items() if mark in head), "")
    return f"{NO_IMAGE} The file is {name}." if name else NO_IMAGE


def _wrong(error: Exception) -> str:
    if "truncated" in str(error).lower():
        return "The image is truncated: its end is missing."
    return "The image is damaged and cannot be decoded."
