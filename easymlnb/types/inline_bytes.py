"""Bytes inside JSON: a data URI, base64, or an object of ``b64``, ``name`` and ``media_type``."""

import base64
import binascii
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from easymlnb.types import uploaded_files
from easymlnb.types.base import Upload
from easymlnb.types.media_types import charset, strip_parameters
from easymlnb.types.temp_files import safe_filename

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

NON_EMPTY: list[dict[str, Any]] = [
    {**SCHEMA["anyOf"][0], "minLength": 1},
    {
        **SCHEMA["anyOf"][1],
        "properties": {
            **SCHEMA["anyOf"][1]["properties"],
            "b64": {"type": "string", "contentEncoding": "base64", "minLength": 1},
        },
    },
]
"""The branches of ``SCHEMA`` for types whose content is never empty."""


def to_upload(value: Any, max_bytes: int = MAX_BYTES) -> Upload | None:
    """Return the bytes in a value, or ``None`` if it has none of the accepted forms.

    Raises ``ValueError`` if the form is invalid or larger than ``max_bytes``.
    """
    upload = _read(value, max_bytes)
    if upload is not None and len(upload.data) > max_bytes:
        raise ValueError(too_large(max_bytes))
    return upload


def too_large(max_bytes: int) -> str:
    size = f"{max_bytes / MB:g} MB" if max_bytes >= MB else f"{max_bytes} bytes"
    return f"The file is larger than the limit of {size}."


def _read(value: Any, max_bytes: int) -> Upload | None:
    if isinstance(value, Upload):
        encoding = value.charset or charset(value.media_type)
        return Upload(
            value.data,
            safe_filename(value.name),
            strip_parameters(value.media_type),
            value.path,
            encoding,
        )
    if isinstance(value, str):
        if value[:5].lower() == "data:":
            return _data_uri(value, max_bytes)
        return Upload(decode64(value, max_bytes))
    if isinstance(value, bytes | bytearray | memoryview):
        return Upload(bytes(value))
    if isinstance(value, Path):
        # Only Python code passes a Path; text from callers is never opened.
        try:
            return Upload(value.read_bytes(), safe_filename(value.name), guess(value.name))
        except OSError as error:
            raise ValueError(f"The file cannot be read: {error.strerror}.") from None
    if isinstance(value, Mapping):
        return _object(value, max_bytes)
    return None


def _object(value: Mapping[str, Any], max_bytes: int) -> Upload | None:
    """Read an object that contains bytes or the id of an upload."""
    for key, read in (
        ("b64", decode64),
        (uploaded_files.KEY, lambda name, _: uploaded_files.find(name)),
    ):
        if not isinstance(value.get(key), str) or set(value) - {key, "name", "media_type"}:
            continue
        name, media_type = value.get("name") or "", value.get("media_type") or ""
        if not isinstance(name, str) or not isinstance(media_type, str):
            raise ValueError("The file's name and media_type must be strings.")
        content = read(value[key], max_bytes)
        path = content if isinstance(content, Path) else None
        data = uploaded_files.contents(content) if isinstance(content, Path) else content
        return Upload(
            data, safe_filename(name), strip_parameters(media_type), path, charset(media_type)
        )
    return None


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
    # Checked first, because decoding allocates the memory.
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
    """Return the media type for a file name, or an empty string."""
    return mimetypes.guess_type(name)[0] or ""
