"""Results of calls as the results of tools. Pure functions, but for what is stored."""

import base64
import binascii
import csv
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw

from easymlnb.contract.errors import BadRequest, EasyMLNBError, ResultNotEncodable
from easymlnb_server.protocols.mcp.models import Revision
from easymlnb_server.protocols.mcp.results import StoredResult

INLINE = 2**20
"""Bytes of a file, or of JSON text, that are in the answer itself; larger ones are linked."""

INLINE_IN_JSON = 4096
"""Characters of a file inside JSON; in place of a larger one is a link."""

MAX_RESULT = 64 * 2**20
"""Bytes of a result, as JSON, that can be the result of a tool."""

MAX_ROWS = 200
"""Rows of a table of an author's view that are in its text."""

Store = Callable[[bytes, str, str], StoredResult]
"""Stores bytes of a media type under a name; blocks."""

Json = dict[str, Any]


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def too_long() -> str:
    """Return why a result cannot be that of a tool."""
    return (
        f"The result has more than {MAX_RESULT // 2**20} MiB as JSON, which is too much for an "
        "assistant. Call the service by REST, which also has compact media types."
    )


def failure(error: EasyMLNBError) -> Json:
    """Return the result of a tool that failed, with all that a model can mend."""
    words = error.message
    if isinstance(error.details, list) and len(error.details) > 3:
        words = "\n".join(f"{item['field']}: {item['message']}" for item in error.details[:50])
    about: Json = {"code": error.code, "request_id": error.request_id}
    if error.details is not None:
        about["details"] = error.details
    return {"content": [text(words)], "isError": True, "_meta": {"easymlnb/error": about}}


class ContentWriter:
    """Writes results of one tool for one client; blocks when it stores, or when one is large.

    Parameters
    ----------
    revision
        What the client understands.
    store
        Keeps what is too large for an answer.
    own_view
        Whether the author made the view, so that it is more than the result.
    wrap
        Whether clients that expect an object get ``{"result": ...}``; ``None`` to decide by value.
    """

    def __init__(
        self, revision: Revision, store: Store, *, own_view: bool = False, wrap: bool | None = None
    ) -> None:
        self._revision = revision
        self._store = store
        self._own_view = own_view
        self._wrap = wrap

    def result(self, body: bytes, *, view: bool) -> Json:
        """Return the result of a tool for the body of a call: a view, or plain JSON."""
        if len(body) > MAX_RESULT:
            raise ResultNotEncodable(too_long())
        if not view:
            return self._plain(body)
        found = msgspec.json.decode(body)
        value = self._linked(found["result"])
        content = self._shown(found["parts"])
        return self._finished(msgspec.json.encode(value), content)

    def _plain(self, body: bytes) -> Json:
        if b'"data:' in body or b'"b64"' in body:
            value = self._linked(msgspec.json.decode(body))
            body = msgspec.json.encode(value)
        return self._finished(body, [])

    def _finished(self, body: bytes, content: list[Json]) -> Json:
        """Add the JSON: as text, which older clients read, and as structured content."""
        if len(body) <= INLINE:
            content = [text(body.decode()), *content]
        else:
            link = self._link(body, "application/json", "result.json")
            words = f"The result has {len(body):,} bytes of JSON: read the linked resource."
            content = [text(words), link, *content]
        made: Json = {"content": content}
        if self._revision.structured:
            made["structuredContent"] = self._structured(body)
        return made

    def _structured(self, body: bytes) -> Raw:
        wrap = not body.startswith(b"{") if self._wrap is None else self._wrap
        if wrap and not self._revision.current:
            return Raw(b'{"result":' + body + b"}")
        return Raw(body)

    # the parts of a view

    def _shown(self, parts: list[Json]) -> list[Json]:
        """Return the parts of a view; those that repeat the JSON only if the author made them."""
        found = []
        for part in parts:
            kind = part["kind"]
            if kind in ("image", "audio", "file"):
                found += self._file(part)
            elif self._own_view and (words := _words(part)):
                found.append(text(words))
        return found

    def _file(self, part: Json) -> list[Json]:
        media_type, encoded = str(part.get("media_type") or ""), str(part["data"])
        name = str(part.get("name") or part.get("title") or part["kind"])
        if len(encoded) * 3 // 4 > INLINE:
            return [self._link(base64.b64decode(encoded), media_type, name)]
        if part["kind"] in ("image", "audio"):
            return [{"type": part["kind"], "data": encoded, "mimeType": media_type}]
        uri = f"easymlnb://files/{quote(name, safe='')}"
        resource = {"uri": uri, "mimeType": media_type, "blob": encoded}
        return [{"type": "resource", "resource": resource}]

    def _link(self, data: bytes, media_type: str, name: str) -> Json:
        stored = self._store(data, media_type, name)
        if not self._revision.structured:  # links came with the same revision
            return text(f"{name}, {len(data):,} bytes: read the resource {stored.uri}")
        found: Json = {"type": "resource_link", "uri": stored.uri, "name": name}
        return found | {"mimeType": media_type or "application/octet-stream", "size": len(data)}

    # files inside JSON

    def _linked(self, value: Any) -> Any:
        """Return a JSON value with links in place of the files in it that are not small."""
        if isinstance(value, str):
            return self._linked_text(value)
        if isinstance(value, dict):
            if isinstance(value.get("b64"), str) and "dtype" not in value:
                return self._linked_file(value)
            return {key: self._linked(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._linked(one) for one in value]
        return value

    def _linked_text(self, value: str) -> str:
        if len(value) <= INLINE_IN_JSON or not value.startswith("data:"):
            return value
        head, _, body = value[5:].partition(";base64,")
        try:
            data = base64.b64decode(body, validate=True)
        except (ValueError, binascii.Error):
            return value
        return self._store(data, head.partition(";")[0], "file").uri

    def _linked_file(self, value: Json) -> Any:
        if len(value["b64"]) <= INLINE_IN_JSON:
            return value
        name, media_type = str(value.get("name") or "file"), str(value.get("media_type") or "")
        return self._store(base64.b64decode(value["b64"]), media_type, name).uri


def _words(part: Json) -> str:
    """Return a part of an author's view as text; empty for what has no text."""
    kind, data, title = part["kind"], part.get("data"), str(part.get("title") or "")
    if kind in ("text", "markdown"):
        words = str(data)
    elif kind in ("number", "json"):
        words = json.dumps(data, ensure_ascii=False)
    elif kind == "table" and isinstance(data, dict):
        words = _table(data)
    else:
        return ""
    return f"{title}: {words}" if title else words


def _table(data: Json) -> str:
    """Return the first rows of a table as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(data["columns"])
    writer.writerows(data["rows"][:MAX_ROWS])
    more = int(data.get("total") or 0) - min(len(data["rows"]), MAX_ROWS)
    return out.getvalue() + (f"({more:,} more rows)\n" if more > 0 else "")


def uploads_in(arguments: bytes) -> list[str]:
    """Return the ids of the uploads that the arguments of a tool name; raises ``BadRequest``."""
    if b'"upload"' not in arguments:
        return []
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"The arguments are not valid JSON ({error}).") from error
    found: dict[str, None] = {}
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if isinstance(one.get("upload"), str):
                found[one["upload"]] = None
            left += one.values()
        elif isinstance(one, list):
            left += one
    return list(found)
