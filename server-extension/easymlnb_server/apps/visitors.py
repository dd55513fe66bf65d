"""Identify the visitors of app pages by a cookie, in addition to the login."""

import re
import secrets

from easymlnb_server.apps.sessions import Visitor
from easymlnb_server.http.base import EasyHandler

COOKIE = "easymlnb-visitor"

VALUE = re.compile(rb"[A-Za-z0-9_-]{20,64}\Z")


def visitor(handler: EasyHandler, *, public: bool) -> Visitor | None:
    """Return who asks; None for a browser that has opened no page yet."""
    found = handler.get_signed_cookie(COOKIE)
    if found is None or not VALUE.match(found):
        return None
    return Visitor(found.decode(), "" if public else _name(handler))


def welcome(handler: EasyHandler, path: str, *, public: bool) -> Visitor:
    """Return who asks, and give a new browser its cookie, good below ``path`` of this server."""
    found = visitor(handler, public=public)
    if found is not None:
        return found
    made = secrets.token_urlsafe(24)
    handler.set_signed_cookie(
        COOKIE,
        made,
        expires_days=None,
        path=path,
        httponly=True,
        samesite="Lax",
        secure=handler.request.protocol == "https",
    )
    return Visitor(made, "" if public else _name(handler))


def _name(handler: EasyHandler) -> str:
    user = handler.current_user
    if handler.state.services.shared:
        return handler.caller.name if handler.caller is not None else ""
    # With a token and no name, each request is a new made-up user; the cookie tells them apart.
    return "" if user is None or handler.token_authenticated else str(user.username)
