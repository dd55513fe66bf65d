"""Decode images: PNG, JPEG, TIFF (also with 16 bits and several pages), BMP and WebP.

Sizes are checked in the header before decoding. ``image_encoding`` encodes and shows images.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from easymlnb.types import deep, image_encoding, inline_bytes, temp_files, tiff
from easymlnb.types.base import KEY, Type, is_a
from easymlnb.types.file import File, as_upload
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
"""Accepted formats: Pillow's name and the media type."""

ENDINGS = {"PNG": "png", "JPEG": "jpg", "TIFF": "tif", "BMP": "bmp", "WEBP": "webp"}
MAX_PIXELS = 40_000_000
NOT_AN_IMAGE = "The value must be an image: PNG, JPEG, TIFF, BMP or WebP."


@dataclass(eq=False, kw_only=True)
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
    reads = tuple(FORMATS.values())
    writes = ("image/png", "image/tiff", "image/jpeg", "image/webp")
    widget: ClassVar[str] = "image"

    mode: str | None = None
    pages: bool = False
    labels: bool | None = None
    max_bytes: int = inline_bytes.MAX_BYTES
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.mode not in (None, "1", "L", "RGB", "RGBA"):
            raise ValueError(f"mode must be one of 1, L, RGB, RGBA, not {self.mode!r}.")

    def json_schema(self) -> dict[str, Any]:
        own = {
            "widget": self.widget,
            "max_bytes": self.max_bytes,
            "max_pixels": self.max_pixels,
            "pages": self.pages or None,
        }
        return {"anyOf": inline_bytes.NON_EMPTY, KEY: own}

    def decode(self, value: Any, source: Any) -> Any:
        if is_a(type(value), "PIL.Image.Image", "numpy.ndarray"):
            return _from_python(value, source)
        upload = as_upload(value, self.max_bytes)
        if upload is None:
            raise ValueError(NOT_AN_IMAGE)
        if is_a(source, "pathlib.Path"):
            kind = self.check(upload.data)
            stem = upload.name.rpartition(".")[0] or "image"
            return temp_files.create(f"{stem}.{ENDINGS[kind]}", upload.data, upload.path)
        return self._as_annotated(self.open(upload.data), source)

    def _as_annotated(self, value: Any, source: Any) -> Any:
        """Return images as the annotated class."""
        if is_a(source, "numpy.ndarray"):
            return image_encoding.to_array(value)
        return (
            [_to_pillow(page) for page in value] if isinstance(value, list) else _to_pillow(value)
        )

    def check(self, data: Data) -> str:
        """Return Pillow's name of the format; raises ``ValueError`` if decoding fails."""
        self.open(data)
        return _format(data)

    def open(self, data: Data) -> Any:
        """Decode an image, or all its pages, to Pillow's images; raises ``ValueError``.

        The result is an array if Pillow has no mode for the numbers.
        """
        try:
            arrays = self._decode_tiff(data) if tiff.is_tiff(data) else None
            return self._decode(data) if arrays is None else arrays
        except ValueError:
            raise
        except MemoryError:
            raise ValueError("The image is too large to decode.") from None
        except Exception as error:
            # Decoders raise many errors for damaged files: SyntaxError, struct.error, OSError.
            raise ValueError(_decoding_error(error)) from None

    def _decode_tiff(self, data: Data) -> Any:
        """Decode a TIFF that Pillow cannot decode correctly; ``None`` for any other."""
        pages: list[tiff.Page] = []
        for page in tiff.pages(data):
            pages.append(page)
            if page.units * len(pages) > self.max_pixels:
                raise ValueError(self._too_many_pixels())
            if not self.pages:
                break
        if not any(page.is_ours for page in pages):
            return None
        arrays = [self._in_mode(page.array()) for page in pages]
        return arrays if self.pages else arrays[0]

    def _decode(self, data: Data) -> Any:
        import PIL.Image

        def opened(page: int = 0) -> Any:
            image = PIL.Image.open(io.BytesIO(data), formats=tuple(FORMATS))
            image.seek(page)
            return image

        try:
            image = opened()
        except PIL.UnidentifiedImageError:
            raise ValueError(_unknown_format(data)) from None
        except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
            raise ValueError(self._too_many_pixels()) from None
        width, height = image.size
        # The other pictures of an MPO are not pages, but a second lens or a depth map.
        many = self.pages and image.format != "MPO"
        count = getattr(image, "n_frames", 1) if many else 1
        if width * height * count > self.max_pixels:
            raise ValueError(self._too_many_pixels())
        if not self.pages:
            return self._decode_page(image, opened)
        pages = []
        for page in range(count):
            image.seek(page)
            # Pages may differ in size; only the first one was checked above.
            if image.size[0] * image.size[1] * count > self.max_pixels:
                raise ValueError(self._too_many_pixels())
            if _is_thumbnail(image):
                continue
            pages.append(self._decode_page(image, partial(opened, page)))
        return pages

    def _decode_page(self, image: "PIL.Image.Image", reopen: Callable[[], Any]) -> Any:
        """Decode the current page of an opened file."""
        if deep.is_deep(image):
            array = deep.read(image, reopen)
            return self._in_mode(tiff.turned(array, image_encoding.orientation(image)))
        image.load()
        # The pages of a file share one buffer of pixels.
        return self._in_mode(image_encoding.upright(image.copy() if self.pages else image))

    def _in_mode(self, image: Any) -> Any:
        """Convert an image to the requested mode."""
        if self.mode and getattr(image, "mode", "") != self.mode:
            return image_encoding.convert(image, self.mode)
        return image

    def _too_many_pixels(self) -> str:
        return f"The image exceeds the limit of {self.max_pixels / 1e6:g} million pixels."

    def _as_image(self, value: Any) -> Any:
        """Return a result as an image or array; files are decoded, which checks them."""
        if isinstance(value, File | bytes) or is_a(type(value), "pathlib.Path"):
            file = File().file(value)
            return self.open(file.data)
        return value

    def encode(self, value: Any) -> Any:
        value = self._as_image(value)
        kind = "image/png" if "image/png" in image_encoding.offers(value) else "image/tiff"
        return inline_bytes.data_uri(image_encoding.write(value, kind), kind)

    def offers(self, value: Any) -> tuple[str, ...]:
        return image_encoding.offers(self._as_image(value))

    def write(self, value: Any, media_type: str) -> bytes:
        return image_encoding.write(self._as_image(value), media_type)

    def filename(self, value: Any, media_type: str) -> str:
        return f"image.{media_type.rpartition('/')[2]}"

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        return image_encoding.parts(self._as_image(value), title, self.labels)


class Webcam(Image):
    """An image taken with the camera, or uploaded; options are those of ``Image``."""

    natives: ClassVar[tuple[str, ...]] = ()
    widget = "webcam"


def _from_python(image: Any, source: Any) -> Any:
    """Return an image from Python code as the annotated class."""
    if is_a(source, "numpy.ndarray"):
        return image_encoding.to_array(image)
    if is_a(type(image), "numpy.ndarray"):
        return image_encoding.from_array(image)
    return image_encoding.upright(image)


def _to_pillow(image: Any) -> Any:
    """Convert a decoded image to Pillow's; raises ``ValueError`` if it has 16 bits per color."""
    if not is_a(type(image), "numpy.ndarray"):
        return image
    if image.ndim == 3 and image.dtype.itemsize > 1:
        raise ValueError(
            f"The image has {8 * image.dtype.itemsize} bits per color, but only 8 are supported. "
            "Save the image with 8 bits per color."
        )
    return image_encoding.from_array(image)


def _is_thumbnail(image: Any) -> bool:
    """Say whether a page of a TIFF is a thumbnail of another one."""
    return bool(getattr(image, "tag_v2", {}).get(tiff.SUBFILE, 0) & tiff.REDUCED)


def _format(data: Data) -> str:
    import PIL.Image

    if tiff.is_tiff(data):
        return "TIFF"
    with PIL.Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
        name = image.format or "PNG"
    return "JPEG" if name == "MPO" else name


UNSUPPORTED = {
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
"""Unsupported formats by their first bytes."""


def _unknown_format(data: Data) -> str:
    """Return the message for a file that Pillow does not recognize."""
    if tiff.is_tiff(data):
        return "The TIFF has an unsupported pixel format. " + tiff.SAVE_AS
    head = bytes(data[:16])
    name = next((name for mark, name in UNSUPPORTED.items() if mark in head), "")
    return f"{NOT_AN_IMAGE} The file is {name}." if name else NOT_AN_IMAGE


def _decoding_error(error: Exception) -> str:
    if "truncated" in str(error).lower():
        return "The image is truncated: its end is missing."
    return "The image is damaged and cannot be decoded."
