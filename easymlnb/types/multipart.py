"""Read ``multipart/form-data``: one part per parameter, text by the parameter's schema."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from easymlnb.contract.errors import BadRequest, TooLarge
from easymlnb.contract.file_parameters import takes_bytes
from easymlnb.contract.json_values import check_keys
from easymlnb.contract.jsonschema import Schema, branches
from easymlnb.types.base import Upload
from easymlnb.types.media_types import charset, strip_parameters
from easymlnb.types.temp_files import safe_filename
from easymlnb.types.uploaded_files import Data, mapped

MAX_PARTS = 1000
LARGE = 2**20
"""Bytes from which a part of a body in a file is written to a file of its own."""
MAX_TEXT = 16 * 2**20
"""Longest part without a file name, in bytes; files are limited by the limit of the body."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The JSON types of a parameter and of its entries; empty means any.

    ``"bytes"`` is among them for a type that reads the part unchanged.
    """

    kinds: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Parsed:
    """The value of a part with the content type ``application/json``, which is not guessed."""

    value: Any


def shape(schema: Schema, document: Schema) -> Shape:
    """Return the shape of a parameter from its JSON Schema."""
    nodes = list(branches(schema, document, is_leaf=takes_bytes))
    items = [branch["items"] for branch in nodes if isinstance(branch.get("items"), Mapping)]
    inner = [kind for item in items for kind in branches(item, document, is_leaf=takes_bytes)]
    return Shape(_kinds(nodes), _kinds(inner))


_JSON_KINDS: dict[type, str] = {str: "string", list: "array", dict: "object"}


def _kinds(nodes: list[Schema]) -> frozenset[str]:
    kinds: set[str] = set()
    for node in nodes:
        constants = (*node.get("enum", ()), *([node["const"]] if "const" in node else ()))
        own = {_JSON_KINDS.get(type(value), "number") for value in constants}
        if takes_bytes(node):
            own.add("bytes")
        elif isinstance(node.get("type"), str):
            own.add(node["type"])
        if not own:
            return frozenset()
        kinds |= own
    return frozenset(kinds)


def read(content_type: str, body: Data, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Return the values of a form by parameter name; ``shapes`` are those of the parameters.

    Raises ``BadRequest`` or ``TooLarge``.
    """
    return {
        name: _value(parts, shapes.get(name, Shape()))
        for name, parts in parts_by_name(content_type, body).items()
    }


def parts_by_name(content_type: str, body: Data) -> dict[str, list[Upload | Parsed | str]]:
    """Return the parts of a form; raises ``BadRequest`` or ``TooLarge``."""
    import multipart  # type: ignore[import-untyped] # it ships no types

    _, options = multipart.parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if not boundary:
        raise BadRequest("The boundary of the multipart body is missing in its Content-Type.")
    parts: dict[str, list[Upload | Parsed | str]] = {}
    in_file = isinstance(body, memoryview)
    try:
        parser = multipart.MultipartParser(
            _Stream(body) if isinstance(body, memoryview) else io.BytesIO(body),
            boundary,
            content_length=len(body),
            # A body in memory is not copied to disk.
            memory_limit=len(body) + 2**20,
            spool_limit=LARGE if in_file else len(body) + 2**20,
            disk_limit=len(body) if in_file else 0,
            part_limit=MAX_PARTS,
            header_limit=16,
        )
        for part in parser:
            if not part.name:
                raise BadRequest(
                    "A part of the form has no name. Set it to the name of a parameter."
                )
            parts.setdefault(part.name, []).append(_part(part))
            part.close()
    except multipart.ParserLimitReached as error:
        raise TooLarge(f"The form exceeds a limit: {error}.") from error
    except multipart.MultipartError as error:
        raise BadRequest(f"The multipart body is invalid: {error}.") from error
    return parts


class _Stream(io.RawIOBase):
    """A memoryview as a readable stream."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        stop = len(self._data) if size < 0 else self._at + size
        data = bytes(self._data[self._at : stop])
        self._at += len(data)
        return data


def _part(part: Any) -> Upload | Parsed | str:
    data: Data = part.raw if part.is_buffered() else mapped(part.file)
    media_type = strip_parameters(part.content_type or "")
    content_type = {name.lower(): value for name, value in part.headerlist}.get("content-type", "")
    if part.filename is not None:
        return Upload(data, safe_filename(part.filename), media_type, charset=charset(content_type))
    if media_type not in ("", "text/plain", "application/json"):
        return Upload(data, "", media_type, charset=charset(content_type))
    if len(data) > MAX_TEXT:
        raise TooLarge(f"Part {part.name!r} exceeds {MAX_TEXT >> 20} MB. Send it as a file.")
    if media_type == "application/json":
        return _parsed(part.name, bytes(data))
    return text(part.name, data)


def _parsed(name: str, data: bytes) -> Parsed:
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(
            f"Part {name!r} has a JSON content type but is not valid JSON: {error}."
        ) from error
    check_keys(data)
    return Parsed(value)


def text(name: str, data: Data) -> str:
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(
            f"Part {name!r} is not UTF-8 text. Send binary data as a file part."
        ) from None


def text_value(given: str, shape: Shape) -> Any:
    """Return text, such as the cell of a table, as a value that the parameter's check accepts."""
    return _value([given], shape)


def _value(parts: list[Upload | Parsed | str], shape: Shape) -> Any:
    if len(parts) > 1:
        return [_part_value(part, shape.items) for part in parts]
    value = _part_value(parts[0], shape.kinds)
    only_list = bool(shape.kinds) and shape.kinds <= {"array", "null"}
    if only_list and value is not None and not isinstance(value, list):
        # A form cannot distinguish a list with one entry from a single value.
        return [_part_value(parts[0], shape.items)]
    return value


def _part_value(part: Upload | Parsed | str, kinds: frozenset[str]) -> Any:
    """Return a part as a value that the parameter's check accepts."""
    if isinstance(part, Upload):
        keep = "bytes" in kinds or "string" not in kinds
        return part if keep else text(part.name or "file", part.data)
    if isinstance(part, Parsed):
        return part.value
    begins = part.lstrip()[:1]
    if "null" in kinds and "string" not in kinds and part in ("", "null"):
        return None
    if not kinds or (kinds & {"array", "object", "bytes"} and begins and begins in "[{"):
        return json_value(part)
    return part


def json_value(part: str) -> Any:
    """Return the value of JSON text, or the text itself if it is not JSON."""
    try:
        value = from_json(part)
    except ValueError:
        return part
    if ":" in part:
        check_keys(part)
    return value
