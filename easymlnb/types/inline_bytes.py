"""Bytes inside JSON: a data URI, base64, or an object of ``b64``, ``name`` and ``media_type``."""

import base64
import binascii
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from easymlnb.contract.file_parameters import accepts
from easymlnb.types import uploaded_files
from easymlnb.types.base import Upload
from easymlnb.types.filenames import safe_filename
from easymlnb.types.media_types import charset, strip_parameters

OCTETS = "application/octet-stream"
MB = 2**20
MAX_BYTES = 100 * MB
"""Default limit of a file in bytes."""

SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "A data URI or base64 text."},
        {
            "type": "object",
            "properties": {
                "b64": {"type": "string", "contentEncoding": "base64"},
                "name": {"type": "string"},
                "media_type": {"type": "string"},
            },
            "required": ["b64"],
            "additionalProperties": False,
        },
    ]
}
"""JSON Schema of bytes."""


def to_upload(value: Any, max_bytes: int = MAX_BYTES) -> Upload | None:
    """Return what a value carries as bytes, or ``None`` when it is none of the forms.

    Raises ``ValueError`` when it is one, but broken or larger than ``max_bytes``.
    """
    found = _read(value, max_bytes)
    if found is not None and len(found.data) > max_bytes:
        raise ValueError(too_large(max_bytes))
    return found


def too_large(max_bytes: int) -> str:
    size = f"{max_bytes / MB:g} MB" if max_bytes >= MB else f"{max_bytes} bytes"
    return f"The file is larger than the limit of {size}."


def _read(value: Any, max_bytes: int) -> Upload | None:
    if isinstance(value, Upload):
        said = value.charset or charset(value.media_type)
        return Upload(
            value.data,
            safe_filename(value.name),
            strip_parameters(value.media_type),
            value.path,
            said,
        )
    if isinstance(value, str):
        return (
            _data_uri(value, max_bytes) if value[:5].lower() == "data:" else _text(value, max_bytes)
        )
    if isinstance(value, bytes | bytearray | memoryview):
        return Upload(bytes(value))
    if isinstance(value, Path):
        # Only Python gives a Path; from a wire it would be text, and text is never opened.
        try:
            return Upload(value.read_bytes(), safe_filename(value.name), guess(value.name))
        except OSError as error:
            raise ValueError(f"The file cannot be read: {error.strerror}.") from None
    if isinstance(value, Mapping):
        return _object(value, max_bytes)
    return None


def _object(value: Mapping[str, Any], max_bytes: int) -> Upload | None:
    """Read an object whose bytes are in it, or were sent before it."""
    for key, read in (("b64", decode64), (uploaded_files.KEY, _sent)):
        if not isinstance(value.get(key), str) or set(value) - {key, "name", "media_type"}:
            continue
        name, media_type = value.get("name") or "", value.get("media_type") or ""
        if not isinstance(name, str) or not isinstance(media_type, str):
            raise ValueError("The file's name and media_type must be strings.")
        found = read(value[key], max_bytes)
        path = found if isinstance(found, Path) else None
        data = uploaded_files.contents(found) if isinstance(found, Path) else found
        return Upload(
            data, safe_filename(name), strip_parameters(media_type), path, charset(media_type)
        )
    return None


def _sent(name: str, max_bytes: int) -> Path | bytes:
    return uploaded_files.find(name)


def _text(value: str, max_bytes: int) -> Upload:
    return Upload(decode64(value, max_bytes))


def _data_uri(value: str, max_bytes: int) -> Upload:
    head, comma, body = value[5:].partition(",")
    if not comma:
        raise ValueError("Invalid data URI: the comma is missing.")
    media_type, *options = head.split(";")
    named = [item.partition("=")[2] for item in options if item.lower().startswith("name=")]
    if "base64" in (item.strip().lower() for item in options):
        data = decode64(unquote(body) if "%" in body else body, max_bytes)
    else:
        data = unquote_to_bytes(body)
    name = safe_filename(unquote(named[0])) if named else ""
    return Upload(data, name, strip_parameters(media_type), charset=charset(head))


def decode64(text: str, max_bytes: int) -> bytes:
    """Decode strict base64, line breaks allowed; raises ``ValueError``."""
    # Checked before decoding, which would take the memory already.
    if len(text) > max_bytes // 3 * 4 + max_bytes // 50 + 8:
        raise ValueError(too_large(max_bytes))
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            "The value must be a data URI, base64 text, or an object with 'b64'."
        ) from None


def encode64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{encode64(data)}"


def guess(name: str) -> str:
    """Return the media type that a file's name suggests, or an empty string."""
    return mimetypes.guess_type(name)[0] or ""


def allowed(found: Upload, accept: tuple[str, ...]) -> bool:
    """Tell whether a file's name or media type is among ``accept``: ``.csv``, ``image/*``."""
    return accepts(accept, found.name, found.media_type)
