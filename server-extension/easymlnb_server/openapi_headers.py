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
