"""What a model returns, as the body of a response, and as a result of our own services."""

import base64
import binascii
import mimetypes
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError
from pydantic_core import to_json

from easymlnb.compat.deepaas.arguments import ACCEPT, ANYTHING, messages_of
from easymlnb.compat.deepaas.fields import media_of
from easymlnb.compat.deepaas.files import is_file
from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.types.file import File
from easymlnb.types.inference import to_json_value
from easymlnb.types.inline_bytes import OCTETS
from easymlnb.types.media_types import JSON
from easymlnb.types.uploaded_files import Data, contents

TYPICAL = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}
"""The media type of a field of a prediction with a file in base64."""


def media_type(values: dict[str, Any], result: Any) -> str:
    """Return the media type that was asked for by the argument ``accept``.

    For a pattern such as ``image/*`` it is the type of the result, or of the file that was sent.
    """
    wanted = str(values.get(ACCEPT) or JSON)
    if wanted == ANYTHING:
        return JSON
    if not wanted.endswith("/*"):
        return wanted
    likely = [_type_of_file(result), *map(_type_of_file, values.values())]
    return next((kind for kind in likely if kind.startswith(wanted[:-1])), OCTETS)


def _type_of_file(value: Any) -> str:
    if is_file(value):
        return value.content_type or mimetypes.guess_type(str(value.filename))[0] or ""
    named = getattr(value, "name", "")  # an open file
    return mimetypes.guess_type(named)[0] or "" if isinstance(named, str) else ""


def encode(values: dict[str, Any], result: Any, schema: Schema | None) -> tuple[str, Data]:
    """Return the media type and the body of a prediction; raises ``ResultNotEncodable``."""
    kind = media_type(values, result)
    if kind != JSON:
        return kind, content(result, kind)
    if schema is None:
        return JSON, as_json({"status": "OK", "predictions": result})
    try:
        schema.load(result)
    except ValidationError as error:
        raise ResultNotEncodable(
            f"The prediction does not match the module's schema: {messages_of(error)}"
        ) from error
    return JSON, as_json(result)


def as_json(value: Any) -> bytes:
    """Return a value as JSON; raises ``ResultNotEncodable``."""
    return to_json(to_json_value(value), inf_nan_mode="null")


def content(result: Any, kind: str) -> Data:
    """Return the bytes of a result that is a file, bytes or text."""
    try:
        if is_file(result):
            return contents(Path(result.filename))
        if isinstance(result, Path):
            return contents(result)
        if hasattr(result, "getvalue"):
            result = result.getvalue()
        elif hasattr(result, "read"):
            with result:
                result = result.read()
    except OSError as error:
        raise ResultNotEncodable(f"The file of the result cannot be read: {error}") from error
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result)
    raise ResultNotEncodable(
        f"The model returned a {type(result).__name__}, which cannot be sent as {kind}. Return "
        "bytes, text or an open file."
    )


def own_result(values: dict[str, Any], result: Any) -> Any:
    """Return a result for our own routes and forms: files as ``ml.File``."""
    kind = media_type(values, result)
    if kind == JSON:
        return result
    ending = mimetypes.guess_extension(kind) or ""
    return File(bytes(content(result, kind)), f"prediction{ending}", kind)


def has_media(schema: Schema | None) -> bool:
    """Return whether predictions have files in base64."""
    return schema is not None and any(map(media_of, schema.fields.values()))


def shown(result: Any, schema: Schema) -> Any:
    """Return a prediction for people, with the files that are in base64 as files."""
    if not isinstance(result, dict):
        return result
    return {
        name: _shown(value, media_of(schema.fields[name])) if name in schema.fields else value
        for name, value in result.items()
    }


def _shown(value: Any, media: str) -> Any:
    if not media or not isinstance(value, str):
        return value
    head, _, data = value.rpartition(",")
    kind = head.removeprefix("data:").partition(";")[0] or TYPICAL[media]
    try:
        return File(base64.b64decode(data, validate=True), media_type=kind)
    except (binascii.Error, ValueError):
        return value
