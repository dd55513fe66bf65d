"""The inputs and the result of a recorded call as JSON values, and as code."""

import base64
import re
from collections.abc import Mapping
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import msgspec

from easymlnb.contract import snippets
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.names import is_attribute
from easymlnb.contract.spec import VIEW, ServiceSpec
from easymlnb_server.recordings.models import MAX_PREVIEW, StoredCall

JSON = "application/json"
BODY = "body"
"""Name of a body that is the only file of a service with several file parameters."""

MAX_SHOWN = 60
"""Characters of one value in a preview."""

_FILE_KEYS = ("b64", "upload")


def media_type(content_type: str) -> str:
    """Return a content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def values_of(call: StoredCall, spec: ServiceSpec | None = None) -> dict[str, Any] | None:
    """Return a call's parameters as the JSON that a caller could send; ``None`` if unreadable.

    Files are ``{"b64", "media_type", "name"}``, wherever they came from. ``spec`` gives a body that
    is a file the name of its parameter.
    """
    kind = media_type(call.input_type)
    if not call.input and kind in ("", JSON):
        return {}
    if kind == JSON:
        values = _json(call.input)
        if not isinstance(values, dict):
            return None
        return {name: _with_uploads(value, dict(call.uploads)) for name, value in values.items()}
    if kind == "multipart/form-data":
        return _form(call.input_type, call.input)
    names = [one.name for one in file_parameters(spec.input)] if spec is not None else []
    name = names[0] if len(names) == 1 else BODY
    return {name: _file(call.input, kind, name)}


def result_of(call: StoredCall) -> Any:
    """Return a call's result as JSON: a stream as the list of its items, a view's own result.

    Other media types are a file.
    """
    kind = media_type(call.result_type)
    if not call.result:
        return None
    if kind not in (JSON, VIEW) and not kind.endswith("+json"):
        return _file(call.result, kind, "result")
    value = _json(call.result)
    if kind == VIEW and isinstance(value, list):
        return [item.get("parts") if isinstance(item, dict) else item for item in value]
    if kind == VIEW and isinstance(value, dict):
        # A large result is left out of a view; its parts are what the caller saw.
        return value["result"] if value.get("result") is not None else value.get("parts")
    return value


def preview(call: StoredCall) -> str:
    """Return the start of a call's inputs for lists, without the content of files."""
    values = values_of(call)
    if values is None:
        return f"{media_type(call.input_type) or 'unknown'}, {len(call.input):,} bytes"
    text = ", ".join(f"{name}={_short(value)}" for name, value in values.items())
    return text if len(text) <= MAX_PREVIEW else f"{text[: MAX_PREVIEW - 3]}..."


def code_cell(name: str, spec: ServiceSpec, record: str, call: StoredCall, url: str) -> str:
    """Return a cell for a notebook that repeats a call.

    Short inputs are written into it. Files and long values are fetched from the server.
    """
    values = values_of(call, spec)
    if values is not None:
        code = snippets.python(spec, values, url)
        if not _fetches(code, values):
            return code
    server = f'"{url}", token="YOUR_TOKEN"' if url else ""
    function = f"c.{name}" if is_attribute(name) else f"c[{name!r}]"
    return (
        f"import easymlnb as ml\n\nc = ml.connect({server})\n"
        f"inputs = c.admin.record_inputs({name!r}, {record!r})\nresult = {function}(**inputs)\n"
    )


def _fetches(code: str, values: Mapping[str, Any]) -> bool:
    """Return whether code leaves out a value that is too long for it."""
    return snippets.PLACEHOLDER in code or "Path(" in code or _has_file(values)


def _has_file(value: Any) -> bool:
    if isinstance(value, Mapping):
        return isinstance(value.get("b64"), str) or any(map(_has_file, value.values()))
    return isinstance(value, list) and any(map(_has_file, value))


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _file(data: bytes, kind: str, name: str) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode(), "media_type": kind, "name": name}


def _with_uploads(value: Any, uploads: Mapping[str, bytes]) -> Any:
    """Return a JSON value with the content of its uploads."""
    if isinstance(value, list):
        return [_with_uploads(item, uploads) for item in value]
    if not isinstance(value, dict):
        return value
    content = uploads.get(str(value.get("upload")))
    if content is not None:
        return _file(content, str(value.get("media_type") or ""), str(value.get("name") or "file"))
    return {name: _with_uploads(item, uploads) for name, item in value.items()}


def _form(content_type: str, body: bytes) -> dict[str, Any] | None:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    if not message.is_multipart():
        return None
    values: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and name:
            values[name] = _part(part)
    return values


def _part(part: Message) -> Any:
    data = part.get_payload(decode=True)
    content = data if isinstance(data, bytes) else b""
    filename = part.get_filename()
    kind = part.get_content_type() if "content-type" in part else ""
    if filename is not None:
        return _file(content, kind or "application/octet-stream", str(filename) or "file")
    text = content.decode("utf-8", "replace")
    value = _json(content)
    # Without a type, a form's field that is no JSON is a text.
    return value if kind == JSON or (not kind and not isinstance(value, str | None)) else text


def _short(value: Any) -> str:
    if isinstance(value, dict) and any(isinstance(value.get(key), str) for key in _FILE_KEYS):
        return str(value.get("name") or value.get("dtype") or "file")[:MAX_SHOWN]
    if isinstance(value, str) and re.match(r"data:[^,]{0,100};base64,", value):
        return f"<{media_type(value[5:60].partition(',')[0]) or 'file'}>"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
