"""The parameters of a service that accept files: which media types, and how many bytes."""

import mimetypes
from collections.abc import Mapping
from typing import Any

import msgspec

from easymlnb.contract.jsonschema import Schema, own_hints, properties, walk


class FileParameter(msgspec.Struct, frozen=True):
    """A parameter that accepts files; no ``accept`` means any kind, ``max_bytes`` 0 any size."""

    name: str
    accept: tuple[str, ...]
    max_bytes: int

    def accepts(self, name: str, media_type: str) -> bool:
        """Say whether a file with this name and media type, which may be empty, is accepted."""
        return accepts(self.accept, name, media_type)


def file_parameters(schema: Mapping[str, Any]) -> list[FileParameter]:
    """Return the parameters of an input schema that accept files, in order."""
    parameters = []
    for name, parameter in properties(schema).items():
        hints = [own_hints(node) for node in walk(parameter, schema, is_leaf=takes_bytes)]
        hints = [own for own in hints if own.get("accept")]
        if hints:
            accept = tuple(str(kind) for own in hints for kind in own["accept"])
            sizes = [int(own.get("max_bytes") or 0) for own in hints]
            parameters.append(FileParameter(name, accept, 0 if 0 in sizes else max(sizes)))
    return parameters


def takes_bytes(schema: Schema) -> bool:
    """Say whether a schema, without its parts, accepts files."""
    return bool(own_hints(schema).get("accept"))


def accepts(accept: tuple[str, ...], name: str, media_type: str) -> bool:
    """Say whether a file matches ``accept``: extensions and media types (``.csv``, ``image/*``).

    A file without name and media type matches; its content is checked later.
    """
    if not accept or "*/*" in accept or not (name or media_type):
        return True
    kinds = {media_type, mimetypes.guess_type(name)[0] or ""} - {""}
    return any(
        name.lower().endswith(item.lower())
        if item.startswith(".")
        else any(matches(kind, item) for kind in kinds)
        for item in accept
    )


def matches(media_type: str, pattern: str) -> bool:
    """Say whether ``pattern`` (``image/png``, ``image/*``, ``*/*``) covers a bare media type."""
    if pattern in ("*/*", media_type):
        return True
    return pattern.endswith("/*") and media_type.startswith(pattern[:-1])


def body_limit(schema: Mapping[str, Any], max_body: int, media_type: str) -> int:
    """Return the limit in bytes of a call's body with this media type.

    A raw body is the value of one parameter, whose limit applies as well.
    """
    if media_type in ("", "application/json", "multipart/form-data"):
        return max_body
    sizes = [
        parameter.max_bytes or max_body
        for parameter in file_parameters(schema)
        if parameter.accepts("", media_type)
    ]
    return min(max_body, max(sizes, default=max_body))
