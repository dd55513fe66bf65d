"""What OpenAPI documents say of headers: those of answers, and those that carry credentials."""

from typing import Any

SECURITY: dict[str, Any] = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`token <TOKEN>`, with the token of the Jupyter server.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same token."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "jupyter-session",
        "description": "The login cookie that Jupyter sets in a browser, whatever its name.",
    },
    "xsrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-XSRFToken",
        "description": "The value of the `_xsrf` cookie.",
    },
}


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


HEADERS: dict[str, Any] = {
    "X-Request-Id": _header("Names this request in the logs."),
    "X-Easymlnb-Version": _header("The version that answered: a number, or `live`."),
    "Server-Timing": _header("Where the time went, in milliseconds."),
    "Idempotency-Replayed": _header("`true` when another request under the key brought it about."),
    "Retry-After": _header("Seconds to wait before the next try.", "integer"),
    "Location": _header("Where to ask how far it is."),
}


def _asked(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


_KEY = _asked(
    "Idempotency-Key",
    "The same request under the same key runs once; another one is refused.",
    {"type": "string", "pattern": "^[ -~]+$", "minLength": 1, "maxLength": 200},
)
CALL: tuple[dict[str, Any], ...] = (
    _asked(
        "X-Timeout",
        "Seconds to give the call, at most the service's own limit.",
        {"type": "number", "minimum": 0.001},
    ),
    _asked(
        "X-Priority",
        "`batch` lets interactive calls go first.",
        {"enum": ["interactive", "batch"], "default": "interactive"},
    ),
    _KEY,
    _asked("X-Easymlnb-Uploads", "The ids of the uploads that the body names.", {"type": "string"}),
    _asked(
        "X-Request-Id",
        "Your own id of the call, which stops it by `DELETE /calls/{request_id}`; others are "
        "replaced by one of the server's.",
        {"type": "string"},
    ),
    _asked("traceparent", "Your span, below which the call's own is.", {"type": "string"}),
)
"""What a call may ask for by its headers."""
STREAM = tuple(header for header in CALL if header is not _KEY)
"""The same of a service that streams: what has gone out cannot be repeated."""
