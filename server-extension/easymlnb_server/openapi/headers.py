"""Headers in OpenAPI documents: of responses, of calls, and for credentials."""

from typing import Any

SECURITY: dict[str, Any] = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`token <TOKEN>`, with the Jupyter server's token.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same token."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "jupyter-session",
        "description": "Jupyter's login cookie in a browser; its name depends on the server.",
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
    "X-Request-Id": _header("The request's id in the logs."),
    "X-Easymlnb-Version": _header("The version that ran the call: a number, or `live`."),
    "X-Easymlnb-Model": _header(
        "The models that the call used, such as `forest=4`; absent for streams."
    ),
    "Server-Timing": _header("Durations of the call's parts in milliseconds."),
    "Idempotency-Replayed": _header(
        "`true` if the response belongs to an earlier request with the same key."
    ),
    "Retry-After": _header("Seconds to wait before the next attempt.", "integer"),
    "Location": _header("URL of the status."),
}


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


_KEY = _parameter(
    "Idempotency-Key",
    "Requests with the same key and content run once; other content under the same key is "
    "rejected.",
    {"type": "string", "pattern": "^[ -~]+$", "minLength": 1, "maxLength": 200},
)
CALL: tuple[dict[str, Any], ...] = (
    _parameter(
        "X-Timeout",
        "Timeout of the call in seconds, at most the service's own timeout.",
        {"type": "number", "minimum": 0.001},
    ),
    _parameter(
        "X-Priority",
        "`batch` marks the call as low priority: interactive calls go first.",
        {"enum": ["interactive", "batch"], "default": "interactive"},
    ),
    _KEY,
    _parameter(
        "Prefer",
        "`respond-async` makes the call a job; `wait=10` does so if it takes longer than 10 s.",
        {"type": "string"},
    ),
    _parameter(
        "X-Easymlnb-Uploads", "The ids of the uploads that the body refers to.", {"type": "string"}
    ),
    _parameter(
        "X-Request-Id",
        "Your id for the call, used to stop it with `DELETE /calls/{request_id}`; the server "
        "replaces an invalid id.",
        {"type": "string"},
    ),
    _parameter(
        "traceparent", "Your trace span, the parent of the call's span.", {"type": "string"}
    ),
)
"""The headers of a call."""
WEBHOOK = (
    _parameter(
        "X-Easymlnb-Webhook",
        "A URL that is called, or `mailto:...`, when this job ends.",
        {"type": "string", "maxLength": 500},
    ),
    _parameter(
        "X-Easymlnb-Webhook-Events",
        "The events of the webhook, separated by commas; by default all ends.",
        {"type": "string"},
    ),
    _parameter(
        "X-Easymlnb-Webhook-Secret",
        "The secret that signs, `whsec_...`; without it the response has a new one.",
        {"type": "string"},
    ),
)
"""The headers of a job that has a webhook of its own."""
STREAM = tuple(header for header in CALL if header is not _KEY)
"""The headers of a streaming call: a sent stream cannot be replayed."""
