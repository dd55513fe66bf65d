"""Refuse requests by their headers: unexpected bodies and unknown callers.

Tornado reads the body of a request before it runs the handler that would refuse it. This module
checks requests with a large body before the first byte of the body is read.
"""

import hmac
from itertools import islice
from typing import Any

from jupyter_server.base.handlers import JupyterHandler, Template404
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler, decode_signed_value

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    MethodNotAllowed,
    NotLoggedIn,
    TooLarge,
)
from easymlnb_server.http.fastpath.credentials import JUPYTER_PROVIDERS
from easymlnb_server.http.refusals import methods_of

MAX_IGNORED_BODY = 2**16
"""Maximum bytes of a body on routes that accept none: some clients send ``{}``."""

BODY_METHODS = ("POST", "PUT", "PATCH")

MAX_COOKIES = 100
"""Maximum number of cookies to check."""


def framing_error(headers: HTTPHeaders) -> BadRequest | None:
    """Return the error in the headers that give the length of a body, if there is one.

    Tornado would report it only after a handler has started.
    """
    lengths = headers.get_list("Content-Length")
    codings = headers.get_list("Transfer-Encoding")
    if lengths and codings:
        return BadRequest("Send either Content-Length or Transfer-Encoding, not both.")
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        return BadRequest("Unsupported Transfer-Encoding. Use 'chunked' or send Content-Length.")
    if len(lengths) > 1:
        return BadRequest("Send Content-Length once.")
    if lengths and not (lengths[0].isascii() and lengths[0].isdigit() and len(lengths[0]) < 19):
        return BadRequest(
            f"Invalid Content-Length {lengths[0][:40]!r}: use the size of the body in bytes."
        )
    return None


CALL_METHODS = "POST, OPTIONS"
"""The methods of calls, which have no Tornado handler on the fast path."""


def early_refusal(
    application: Application, start: RequestStartLine, headers: HTTPHeaders, connection: Any
) -> EasyMLNBError | None:
    """Return the error for which the headers of a request are refused, if there is one."""
    known = start.method in RequestHandler.SUPPORTED_METHODS
    large = (
        "Transfer-Encoding" in headers or int(headers.get("Content-Length", 0)) > MAX_IGNORED_BODY
    )
    if known and not large:
        return None
    request = HTTPServerRequest(connection=connection, start_line=start, headers=headers)
    # The fast path has no Tornado handler.
    handler = getattr(application.find_handler(request), "handler_class", None)
    if not known and start.method not in getattr(handler, "SUPPORTED_METHODS", ()):
        allowed = CALL_METHODS if handler is None else methods_of(handler)
        return MethodNotAllowed(start.method[:20], allowed)
    if large and not _accepts_body(handler, start.method):
        return TooLarge("This route accepts no request body. Send the request without a body.")
    foreign = handler is not None and issubclass(handler, JupyterHandler) and not _is_own(handler)
    if large and foreign and not _may_have_credentials(application.settings, request):
        return NotLoggedIn()
    return None


def _accepts_body(handler: type[RequestHandler] | None, method: str) -> bool:
    if method not in BODY_METHODS:
        return False
    if handler is None:
        return True
    if _is_own(handler):  # our handlers check the caller
        return getattr(handler, "body_method", "") == method
    return not issubclass(handler, Template404)


def _is_own(handler: type[RequestHandler]) -> bool:
    return handler.__module__.startswith(f"{__name__.partition('.')[0]}.")


def _may_have_credentials(settings: dict[str, Any], request: HTTPServerRequest) -> bool:
    """Return whether a request has valid credentials, or some that only Jupyter can check."""
    provider = settings.get("identity_provider")
    if not getattr(provider, "auth_enabled", False):
        return True
    given = request.headers.get("Authorization", "").rpartition(" ")[2].encode()
    tokens = [token for token in (given, *request.arguments.get("token", ())) if token]
    if type(provider) not in JUPYTER_PROVIDERS:
        return bool(tokens or request.cookies)
    own = str(provider.token).encode()  # type: ignore[union-attr]
    if own and any(hmac.compare_digest(token, own) for token in tokens):
        return True
    cookies = islice(request.cookies.items(), MAX_COOKIES)
    secret = settings["cookie_secret"]
    return any(decode_signed_value(secret, name, cookie.value) for name, cookie in cookies)
