"""Which revision a request is in, and whether its headers say the same. Pure functions."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from easymlnb_server.protocols.mcp.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    RpcError,
    unsupported_version,
)
from easymlnb_server.protocols.mcp.models import (
    CURRENT,
    HANDSHAKE,
    TASKS,
    WITHOUT_HEADER,
    Revision,
    RpcMessage,
)

VERSION_HEADER = "Mcp-Protocol-Version"
METHOD_HEADER = "Mcp-Method"
NAME_HEADER = "Mcp-Name"
SESSION_HEADER = "Mcp-Session-Id"

_NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
}
"""Methods whose header ``Mcp-Name`` is required -> the parameter that it repeats."""

_message = msgspec.json.Decoder(RpcMessage)
_messages = msgspec.json.Decoder(list[RpcMessage])

_START, _END = "=?base64?", "?="


def decoded(body: bytes) -> RpcMessage | list[RpcMessage]:
    """Return the message of a request, or those of a batch; raises ``RpcError``."""
    try:
        return _messages.decode(body) if body.lstrip()[:1] == b"[" else _message.decode(body)
    except msgspec.ValidationError as error:
        code = INVALID_PARAMS if "$.params" in str(error) else INVALID_REQUEST
        text = f"The message does not have the form of the protocol ({error})."
        found = RpcError(code, text, status=400)
        found.id = _id_of(body)
        raise found from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, f"The body is not valid JSON ({error}).", status=400) from error


def _id_of(body: bytes) -> int | float | str | None:
    """Return the id of a message that is invalid otherwise, if it has one."""
    try:
        message: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    id = message.get("id") if isinstance(message, dict) else None
    return id if isinstance(id, int | float | str) and not isinstance(id, bool) else None


def revision(message: RpcMessage, headers: Mapping[str, str]) -> Revision:
    """Return the revision of a request; raises ``RpcError``."""
    meta, header = message.params.meta, headers.get(VERSION_HEADER, "").strip()
    if meta.version:
        _check_headers(message, headers, header)
        if meta.version != CURRENT:
            raise unsupported_version(meta.version)
        if meta.capabilities is None:
            raise RpcError(
                INVALID_PARAMS,
                "params._meta lacks io.modelcontextprotocol/clientCapabilities.",
                status=400,
            )
        extensions = meta.capabilities.get("extensions")
        return Revision(CURRENT, isinstance(extensions, dict) and TASKS in extensions)
    if message.method == "initialize":
        return Revision(negotiated(message.params.version))
    if header == CURRENT:
        raise RpcError(
            HEADER_MISMATCH,
            f"The header {VERSION_HEADER} is {CURRENT}, but params._meta lacks "
            "io.modelcontextprotocol/protocolVersion.",
            status=400,
        )
    if header and header not in HANDSHAKE:
        raise unsupported_version(header)
    return Revision(header or WITHOUT_HEADER)


def negotiated(asked: str) -> str:
    """Return the revision for a client that asks for one by ``initialize``."""
    return asked if asked in HANDSHAKE else HANDSHAKE[0]


def _check_headers(message: RpcMessage, headers: Mapping[str, str], version: str) -> None:
    """Raise ``RpcError`` where headers, by which proxies route, differ from the body."""
    _compare(VERSION_HEADER, version, message.params.meta.version)
    _compare(METHOD_HEADER, headers.get(METHOD_HEADER, ""), message.method)
    parameter = _NAMED.get(message.method, "")
    given = headers.get(NAME_HEADER, "")
    if parameter:
        _compare(NAME_HEADER, _decoded(given), getattr(message.params, parameter))
    elif message.params.task and given:
        _compare(NAME_HEADER, _decoded(given), message.params.task)


def _compare(name: str, header: str, body: str) -> None:
    if header == body:
        return
    told = f"is {header[:80]!r}" if header else "is missing"
    raise RpcError(
        HEADER_MISMATCH, f"The header {name} {told}; the body has {body[:80]!r}.", status=400
    )


def _decoded(header: str) -> str:
    """Return the value of a header that may be in base64."""
    if not (header.startswith(_START) and header.endswith(_END)):
        return header
    try:
        return base64.b64decode(header[len(_START) : -len(_END)], validate=True).decode()
    except (binascii.Error, ValueError):
        return header
