"""The routes of the protocol in the OpenAPI document."""

from typing import Any

from easymlnb_server.calls.responses import EVENTS
from easymlnb_server.openapi.document import (
    EVENT_STREAM,
    JSON,
    TEXT,
    Operation,
    ok,
    query_parameter,
)

Json = dict[str, Any]

_VERSION: Json = {"const": "2.0"}
_ID: Json = {"type": ["string", "integer"]}
_MESSAGE: Json = {
    "type": "object",
    "description": "A JSON-RPC message.",
    "properties": {
        "jsonrpc": _VERSION,
        "id": _ID,
        "method": {"type": "string", "minLength": 1},
        "params": {"type": "object"},
    },
    "required": ["jsonrpc", "method"],
}
_ERROR: Json = {
    "type": "object",
    "properties": {
        "jsonrpc": _VERSION,
        "id": {"type": ["string", "number", "null"]},
        "error": {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "data": {}},
            "required": ["code", "message"],
        },
    },
    "required": ["jsonrpc", "id", "error"],
}
_RESULT: Json = {"type": ["object", "array"], "description": "The answer, or those of a batch."}
_ANSWER = ok(
    "The answer, or an event stream that ends with it.", {JSON: _RESULT, EVENTS: EVENT_STREAM}
) | {202: ("A notification was taken.", {})}
_ABOUT = (
    "The Model Context Protocol, revisions 2024-11-05 to 2026-07-28: see the guide on assistants. "
    "Errors have the form of JSON-RPC."
)

OPERATIONS = {
    "POST /mcp": Operation(
        "mcp",
        "Call services as tools of an assistant",
        _ANSWER,
        (404, 415, 503),
        tag="Protocols",
        body={JSON: _MESSAGE},
        query=(query_parameter("tools", "Only these tools, separated by commas.", TEXT),),
        description=_ABOUT,
        error=_ERROR,
    ),
    "POST /services/{name}/mcp": Operation(
        "serviceMcp",
        "Call one service as a tool of an assistant",
        _ANSWER,
        (415, 503),
        tag="Protocols",
        body={JSON: _MESSAGE},
        description=_ABOUT,
        error=_ERROR,
    ),
}
