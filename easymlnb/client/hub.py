"""Find a JupyterHub's shared service from within a server of that Hub."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from easymlnb.client import discovery
from easymlnb.client.discovery import Server
from easymlnb.contract.errors import Forbidden, ServerUnreachable
from easymlnb.contract.hub_config import TOKENS

if TYPE_CHECKING:
    import httpx

SECONDS = 5.0
"""How long the Hub's proxy may take to say whether there is a shared service."""


def server(url: str | None = None, token: str | None = None, *, here: bool = False) -> Server:
    """Return where published services go: the Hub's shared service if there is one.

    A server that is named, by arguments or ``EASYMLNB_URL``, counts first, and with ``here`` there
    is no look at the Hub. Raises what ``shared`` and ``discovery.find`` raise.
    """
    if not here and not url and not os.environ.get("EASYMLNB_URL"):
        found = shared(token)
        if found is not None:
            return found
    return discovery.find(url, token)


def shared(token: str | None = None, told: Mapping[str, str] | None = None) -> Server | None:
    """Return the shared service of the Hub that this process belongs to; ``None`` without one.

    token: default: the one of this server. told: the environment, default: that of this process.

    Raises ``Forbidden`` with what its administrator has to add when the token is refused there, and
    ``ServerUnreachable`` when the service is there and does not answer.
    """
    told = os.environ if told is None else told
    token = token or told.get("JUPYTERHUB_API_TOKEN", "")
    proxy = told.get("EASYMLNB_HUB_PROXY") or _public(told)
    if not (token and told.get("JUPYTERHUB_USER") and proxy):
        return None
    base = told.get("JUPYTERHUB_BASE_URL") or "/"
    found = Server(f"{proxy.rstrip('/')}{base.rstrip('/')}{discovery.SHARED}", token)
    return found if _is_there(found) else None


def address(found: Server) -> str:
    """Return a server's address as a person's browser knows it."""
    public, path = _public(os.environ), urlsplit(found.url).path
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    own = bool(prefix) and found.local and path.startswith(prefix)
    return f"{public}{path}" if public and (found.shared or own) else found.url


def _public(told: Mapping[str, str]) -> str:
    for name in ("JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL"):
        parts = urlsplit(told.get(name, ""))
        if parts.netloc:
            return f"{parts.scheme}://{parts.netloc}"
    return ""


def _is_there(found: Server) -> bool:
    import httpx

    try:
        answer = httpx.get(
            f"{found.url}me",
            headers=found.headers,
            timeout=SECONDS,
            trust_env=not found.local,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return False  # what cannot be reached from here is not where this server publishes
    told = _json(answer)
    if answer.status_code == 200:
        return told.get("shared") is True
    if answer.status_code in (401, 403) and "error" in told:
        raise Forbidden(
            "The Hub's shared service rejects this server's token. The administrator can allow "
            f"it with one line in jupyterhub_config.py: {TOKENS} (then restart this server). "
            "Until then, publish to this server with publish(here=True) or --here."
        )
    if answer.status_code in (502, 503, 504):
        raise ServerUnreachable(
            "The Hub's shared service does not respond. Try again in a moment, or publish to "
            "this server with publish(here=True) or --here."
        )
    return False  # the Hub's own word for a path that it does not know


def _json(answer: "httpx.Response") -> Mapping[str, object]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
