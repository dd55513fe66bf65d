"""The small picture of a service for catalogs: from an author's file, or from an example."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from easymlnb.contract import installation
from easymlnb.contract.metadata_schema import THUMBNAIL_LIMIT
from easymlnb.types import image_encoding, inline_bytes
from easymlnb.types.image import Image

SIZE = (480, 220)
"""Pixels that a thumbnail fits into: twice what a card shows, for fine screens."""

MAX_FILE = 20 * 2**20
"""Limit of an author's file in bytes; more is not looked at."""

_IMAGES = ("image", "webcam")
_QUALITIES = (80, 60, 35)


def of_file(path: Path) -> str:
    """Return the thumbnail of an image file, as a data URI; ``ValueError`` says what is wrong."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError(f"The file is larger than {MAX_FILE // 2**20} MB.")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"The file {path.name!r} does not exist or is not readable.") from error
    return of_bytes(data)


def of_examples(schema: Mapping[str, Any], examples: Iterable[Mapping[str, Any]]) -> str:
    """Return the thumbnail of the first image among encoded examples; ``""`` without one."""
    names = [
        name
        for name, field in schema.get("properties", {}).items()
        if isinstance(field, Mapping) and (field.get("x-easymlnb") or {}).get("widget") in _IMAGES
    ]
    for example in examples if names else ():
        for name in names:
            try:
                found = inline_bytes.to_upload(example.get(name))
                if found is not None:
                    return of_bytes(bytes(found.data))
            except ValueError:
                continue  # the example was checked as the type wants it; a picture is a bonus
    return ""


def of_bytes(data: bytes) -> str:
    """Return a small WebP of an image's first page, as a data URI."""
    if packages := installation.missing("PIL", "numpy"):
        raise ValueError(f"{installation.install_hint('A thumbnail', *packages)}.")
    picture = image_encoding.convert(Image().open(data), "RGB")
    width, height = SIZE
    # A card is wider than high: what fills its width is cut to its height, from the middle.
    scale = max(width / picture.width, height / picture.height)
    if scale < 1:
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    left, top = max(0, picture.width - width) // 2, max(0, picture.height - height) // 2
    picture = picture.crop(
        (left, top, left + min(width, picture.width), top + min(height, picture.height))
    )
    for quality in _QUALITIES:
        target = io.BytesIO()
        picture.save(target, "WEBP", quality=quality)
        made = inline_bytes.data_uri(target.getvalue(), "image/webp")
        if len(made) <= THUMBNAIL_LIMIT:
            return made
    raise ValueError("The image has too much detail for a thumbnail. Use a simpler image.")
