"""The routes of the protocol in the OpenAPI document."""

from typing import Any

from easymlnb_server.calls.responses import EVENTS
from easymlnb_server.openapi.document import JSON, TEXT, Operation, ok, query_parameter

Json = dict[str, Any]

_MESSAGE: Json = {"type": "object", "required": ["jsonrpc"], "description": "A JSON-RPC message."}
_ANSWER = ok(
    "The answer, or an event stream that ends with it.", {JSON: _MESSAGE, EVENTS: TEXT}
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
    ),
    "POST /services/{name}/mcp": Operation(
        "serviceMcp",
        "Call one service as a tool of an assistant",
        _ANSWER,
        (415, 503),
        tag="Protocols",
        body={JSON: _MESSAGE},
        description=_ABOUT,
    ),
}
