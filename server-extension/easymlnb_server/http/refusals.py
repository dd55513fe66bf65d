"""Complete error responses without a handler; they close the connection."""

import json
import uuid
from email.utils import formatdate
from http.client import responses

from tornado.web import RequestHandler

from easymlnb.contract.errors import EasyMLNBError, MethodNotAllowed

POLICY = "default-src 'none'; frame-ancestors 'self'"


def refusal(error: EasyMLNBError) -> bytes:
    """Return the bytes of an error response with ``Connection: close``."""
    request_id = error.request_id or uuid.uuid4().hex
    body = json.dumps(error.to_dict(request_id)).encode()
    lines = (
        f"HTTP/1.1 {error.status} {responses[error.status]}",
        "Content-Type: application/json",
        "X-Content-Type-Options: nosniff",
        f"Content-Security-Policy: {POLICY}",
        "Cache-Control: no-store",
        f"Date: {formatdate(usegmt=True)}",
        f"X-Request-Id: {request_id}",
        *_retry(error),
        *_allow(error),
        "Connection: close",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _retry(error: EasyMLNBError) -> tuple[str, ...]:
    known = isinstance(error.details, dict) and "retry_after" in error.details
    return (f"Retry-After: {error.details['retry_after']}",) if known else ()


def _allow(error: EasyMLNBError) -> tuple[str, ...]:
    allowed = error.allowed if isinstance(error, MethodNotAllowed) else ""
    return (f"Allow: {allowed}",) if allowed else ()


def methods_of(handler: type[RequestHandler]) -> str:
    """Return the methods of a handler, as in an ``Allow`` header."""
    return ", ".join(
        method
        for method in handler.SUPPORTED_METHODS
        if getattr(handler, method.lower()) is not RequestHandler._unimplemented_method
    )
