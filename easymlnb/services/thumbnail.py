"""The thumbnail of a service for catalogs, from a file or from an example."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from easymlnb.contract import installation
from easymlnb.contract.metadata_schema import THUMBNAIL_LIMIT
from easymlnb.types import image_encoding, inline_bytes
from easymlnb.types.image import Image

SIZE = (480, 220)
"""Largest size of a thumbnail in pixels: twice that of a card, for high-resolution screens."""

MAX_FILE = 20 * 2**20
"""Limit of a file in bytes."""

_IMAGES = ("image", "webcam")
_QUALITIES = (80, 60, 35)


def of_file(path: Path) -> str:
    """Return the thumbnail of an image file as a data URI; raises ``ValueError``."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError(f"The file is larger than {MAX_FILE // 2**20} MB.")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"The file {path.name!r} does not exist or is not readable.") from error
    return of_bytes(data)


def of_examples(schema: Mapping[str, Any], examples: Iterable[Mapping[str, Any]]) -> str:
    """Return the thumbnail of the first image in the examples, or an empty text."""
    names = [
        name
        for name, field in schema.get("properties", {}).items()
        if isinstance(field, Mapping) and (field.get("x-easymlnb") or {}).get("widget") in _IMAGES
    ]
    for example in examples if names else ():
        for name in names:
            try:
                upload = inline_bytes.to_upload(example.get(name))
                if upload is not None:
                    return of_bytes(bytes(upload.data))
            except ValueError:
                continue  # the example is valid; a thumbnail is optional
    return ""


def of_bytes(data: bytes) -> str:
    """Return a small WebP of an image's first page as a data URI."""
    if packages := installation.missing("PIL", "numpy"):
        raise ValueError(f"{installation.install_hint('A thumbnail', *packages)}.")
    from PIL import ImageOps

    picture = image_encoding.convert(Image().open(data), "RGB")
    # Crop to the shape of a card, without enlarging small images.
    picture = ImageOps.fit(picture, (min(SIZE[0], picture.width), min(SIZE[1], picture.height)))
    for quality in _QUALITIES:
        target = io.BytesIO()
        picture.save(target, "WEBP", quality=quality)
        thumbnail = inline_bytes.data_uri(target.getvalue(), "image/webp")
        if len(thumbnail) <= THUMBNAIL_LIMIT:
            return thumbnail
    raise ValueError("The image has too much detail for a thumbnail. Use a simpler image.")
