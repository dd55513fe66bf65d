"""Decode requests and encode responses, by ``Content-Type`` and ``Accept``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import (
    BadRequest,
    NotAcceptable,
    ResultNotEncodable,
    UnsupportedMediaType,
)
from easymlnb.contract.spec import LENIENT_JSON
from easymlnb.contract.tensors import LENGTH_SIZE, is_tensors, parameters_of
from easymlnb.services.schema import Schema
from easymlnb.types import inference
from easymlnb.types.base import Type, Upload
from easymlnb.types.media_types import JSON, charset, choose, covered, strip_parameters
from easymlnb.types.uploaded_files import Data

MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A response body; ``filename`` is empty unless the result is a download."""

    content_type: str
    body: Data
    filename: str = ""


def decode_request(
    schema: Schema, content_type: str, body: Data, path: Path | None = None
) -> dict[str, Any]:
    """Decode a request body to checked keyword arguments; ``path`` is a file with the body.

    Raises ``BadRequest``, ``InvalidInput``, ``TooLarge`` or ``UnsupportedMediaType``.
    """
    media_type = strip_parameters(content_type)
    if media_type == JSON:
        if content_type == LENIENT_JSON:
            return schema.load_leniently(bytes(body))
        if body or schema.input.get("required"):
            _utf8(content_type)
            return schema.load_json(bytes(body))
        return schema.load({})
    if not body and not media_type:
        return schema.load({})
    if is_tensors(media_type):
        from easymlnb.services.tensors import arguments

        return arguments.decode(schema, content_type, body)
    if media_type == MULTIPART:
        from easymlnb.types import multipart

        return schema.load(multipart.read(content_type, body, schema.shapes))
    if (wire := schema.wire_forms.get(media_type)) is not None:
        return wire.decode(content_type, body)
    if schema.raw and media_type and covered(media_type, schema.accepts):
        encoding = charset(content_type)
        return schema.load({schema.raw: Upload(body, "", media_type, path, encoding)})
    raise UnsupportedMediaType(media_type, (JSON, MULTIPART, *schema.accepts))


def decode_rows(
    schema: Schema, content_type: str, body: Data, path: Path | None = None
) -> list[dict[str, Any]]:
    """Decode tensors to the checked arguments of each of their rows; raises as the above."""
    from easymlnb.services.tensors import arguments

    return arguments.decode_rows(schema, content_type, body)


def encode_rows(schema: Schema, values: Sequence[Any], accept: str) -> EncodedBody:
    """Encode the results of rows as tensors with one more axis.

    Raises ``BadRequest`` or ``ResultNotEncodable``.
    """
    from easymlnb.services.tensors import results

    rows = [results.outputs(schema, value) for value in values]
    return EncodedBody(*results.write(results.stack(rows), accept))


def encode_item(schema: Schema, item: Any, accept: str) -> bytes:
    """Encode an item of a stream as tensors, after the length of their head."""
    encoded = encode_response(schema, item, accept)
    length = int(parameters_of(encoded.content_type)["head"])
    return length.to_bytes(LENGTH_SIZE, "little") + bytes(encoded.body)


def _utf8(content_type: str) -> None:
    charset = content_type.lower().partition("charset=")[2].strip('"; ')
    if charset and charset not in ("utf-8", "utf8", "us-ascii"):
        raise BadRequest(f"Unsupported JSON charset {charset}. Send JSON as UTF-8.")


def encode_response(schema: Schema, value: Any, accept: str = "") -> EncodedBody:
    """Encode a result as the best media type for ``accept``; JSON by default.

    Raises ``NotAcceptable`` or ``ResultNotEncodable``.
    """
    if not accept or accept == "*/*":
        return EncodedBody(JSON, schema.dump(value))
    if is_tensors(accept):
        from easymlnb.services.tensors import results

        return EncodedBody(*results.write(results.outputs(schema, value), accept))
    marker = (inference.infer_type(value) if schema.untyped else schema.result) or None
    if (wire := schema.wire_forms.get(accept)) is not None:
        return EncodedBody(*wire.encode(value))
    offered: tuple[str, ...] = (JSON,)
    if marker is not None and value is not None:
        try:
            offered = _offers(marker, value)
        except ValueError:
            # The result does not match its hint, such as a list instead of an array.
            value = schema.coerce_result(value)
            try:
                offered = _offers(marker, value)
            except ValueError as error:
                raise ResultNotEncodable(f"The result cannot be sent: {error}") from error
    chosen = choose(accept, offered)
    if chosen is None:
        raise NotAcceptable(accept, offered)
    if chosen == JSON or marker is None:
        return EncodedBody(JSON, schema.dump(value))
    try:
        body = marker.write(value, chosen)
    except ValueError as error:
        raise ResultNotEncodable(f"The result cannot be encoded as {chosen}: {error}") from error
    return _checked(marker, EncodedBody(chosen, body, marker.filename(value, chosen)))


def _checked(marker: Type, written: EncodedBody) -> EncodedBody:
    """Check the types of an encoded body, which may be from an author's own type."""
    kinds = {"write": bytes | bytearray | memoryview, "filename": str}
    for name, value in (("write", written.body), ("filename", written.filename)):
        if not isinstance(value, kinds[name]):
            raise ResultNotEncodable(
                f"{type(marker).__name__}.{name}() returned an unexpected value of type "
                f"{type(value).__name__}."
            )
    return written


def _offers(marker: Type, value: Any) -> tuple[str, ...]:
    return (JSON, *(item for item in marker.offers(value) if item != JSON))
