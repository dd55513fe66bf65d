"""The parameters of a service that take bytes: of which kinds, and how many."""

import mimetypes
from collections.abc import Mapping
from typing import Any

import msgspec

from easymlnb.contract.jsonschema import Schema, own_hints, properties, walk


class FileParameter(msgspec.Struct, frozen=True):
    """A parameter that takes bytes; no ``accept`` means any kind, ``max_bytes`` 0 any size."""

    name: str
    accept: tuple[str, ...]
    max_bytes: int

    def takes(self, name: str, media_type: str) -> bool:
        """Say whether a file of that name and media type, which may be empty, is of a kind."""
        return accepts(self.accept, name, media_type)


def file_parameters(schema: Mapping[str, Any]) -> list[FileParameter]:
    """Return the parameters, in their order, of an input schema that take bytes."""
    found = []
    for name, parameter in properties(schema).items():
        hints = [own_hints(node) for node in walk(parameter, schema, is_leaf=takes_bytes)]
        hints = [own for own in hints if own.get("accept")]
        if hints:
            accept = tuple(str(kind) for own in hints for kind in own["accept"])
            sizes = [int(own.get("max_bytes") or 0) for own in hints]
            found.append(FileParameter(name, accept, 0 if 0 in sizes else max(sizes)))
    return found


def takes_bytes(schema: Schema) -> bool:
    """Return whether a schema itself is one of a type that is sent as bytes."""
    return bool(own_hints(schema).get("accept"))


def accepts(accept: tuple[str, ...], name: str, media_type: str) -> bool:
    """Say whether a file is of one of the kinds: ``.csv``, ``text/csv``, ``image/*``.

    A file without name and media type may be of any, as its bytes will tell.
    """
    if not accept or "*/*" in accept or not (name or media_type):
        return True
    kinds = {media_type, mimetypes.guess_type(name)[0] or ""} - {""}
    return any(
        name.lower().endswith(item.lower())
        if item.startswith(".")
        else any(_covers(item, kind) for kind in kinds)
        for item in accept
    )


def _covers(item: str, kind: str) -> bool:
    return item == kind or (item.endswith("/*") and kind.startswith(item[:-1]))


def body_limit(schema: Mapping[str, Any], max_body: int, media_type: str) -> int:
    """Return how many bytes a call's body of that media type may have.

    A raw body is the value of one parameter, so it is bound by that, too.
    """
    if media_type in ("", "application/json", "multipart/form-data"):
        return max_body
    sizes = [
        one.max_bytes or max_body for one in file_parameters(schema) if one.takes("", media_type)
    ]
    return min(max_body, max(sizes, default=max_body))
