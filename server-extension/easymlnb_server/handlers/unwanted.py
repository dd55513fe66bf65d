"""Which requests are refused from their headers: nobody wants their bodies, or knows their senders.

Tornado reads the body of a request before it runs the handler that would refuse it. So requests
with a large body are looked at here, before the first byte of it is read.
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
from easymlnb_server.handlers.senders import JUPYTERS

UNASKED = 2**16
"""Bytes of a body that a route may be sent though it takes none: some clients send ``{}``."""

BODIES = ("POST", "PUT", "PATCH")

COOKIES = 100
"""Cookies that are looked at, at most."""


def misframed(headers: HTTPHeaders) -> BadRequest | None:
    """Return what is wrong with the headers that say how long a body is, if anything is.

    Tornado would tell only after a handler has begun with the request.
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


def unwanted(
    application: Application, start: RequestStartLine, headers: HTTPHeaders, connection: Any
) -> EasyMLNBError | None:
    """Return why a well-framed request is refused from its headers, if it is."""
    known = start.method in RequestHandler.SUPPORTED_METHODS
    large = "Transfer-Encoding" in headers or int(headers.get("Content-Length", 0)) > UNASKED
    if known and not large:
        return None
    request = HTTPServerRequest(connection=connection, start_line=start, headers=headers)
    # There is no handler of Tornado's for the fast path, nor for what another process answers.
    handler = getattr(application.find_handler(request), "handler_class", None)
    if not known and start.method not in getattr(handler, "SUPPORTED_METHODS", ()):
        return MethodNotAllowed(start.method[:20])
    if large and not _takes_body(handler, start.method):
        return TooLarge("This route accepts no request body. Send the request without a body.")
    foreign = handler is not None and issubclass(handler, JupyterHandler) and not _ours(handler)
    if large and foreign and not _may_be_known(application.settings, request):
        return NotLoggedIn()
    return None


def _takes_body(handler: type[RequestHandler] | None, method: str) -> bool:
    if method not in BODIES:
        return False
    if handler is None:
        return True
    if _ours(handler):  # those check who sends it by themselves
        return getattr(handler, "takes", "") == method
    return not issubclass(handler, Template404)


def _ours(handler: type[RequestHandler]) -> bool:
    return handler.__module__.startswith(f"{__name__.partition('.')[0]}.")


def _may_be_known(settings: dict[str, Any], request: HTTPServerRequest) -> bool:
    """Say whether a request has credentials that are good, or that only Jupyter can judge."""
    provider = settings.get("identity_provider")
    if not getattr(provider, "auth_enabled", False):
        return True
    given = request.headers.get("Authorization", "").rpartition(" ")[2].encode()
    tokens = [token for token in (given, *request.arguments.get("token", ())) if token]
    if type(provider) not in JUPYTERS:
        return bool(tokens or request.cookies)
    own = str(provider.token).encode()  # type: ignore[union-attr]
    if own and any(hmac.compare_digest(token, own) for token in tokens):
        return True
    cookies = islice(request.cookies.items(), COOKIES)
    secret = settings["cookie_secret"]
    return any(decode_signed_value(secret, name, one.value) for name, one in cookies)
