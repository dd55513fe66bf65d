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
"""Timeout of the request that checks for a shared service."""


def publish_target(
    url: str | None = None, token: str | None = None, *, personal: bool = False
) -> Server:
    """Return where published services go: the Hub's shared service if there is one.

    ``url`` and ``EASYMLNB_URL`` take precedence. With ``personal`` the Hub is not asked.
    Raises what ``find_shared_service`` and ``discovery.find`` raise.
    """
    if not personal and not url and not os.environ.get("EASYMLNB_URL"):
        shared = find_shared_service(token)
        if shared is not None:
            return shared
    return discovery.find(url, token)


def find_shared_service(
    token: str | None = None, environment: Mapping[str, str] | None = None
) -> Server | None:
    """Return the shared service of the Hub that this process belongs to; ``None`` without one.

    token: default: the token of this server.
    environment: default: the environment of this process.

    Raises ``Forbidden`` if the service rejects the token, with what its administrator has to add,
    and ``ServerUnreachable`` if the service exists and does not respond.
    """
    environment = os.environ if environment is None else environment
    token = token or environment.get("JUPYTERHUB_API_TOKEN", "")
    url = shared_service_url(environment, environment.get("EASYMLNB_HUB_PROXY", ""))
    if not (token and environment.get("JUPYTERHUB_USER") and url):
        return None
    server = Server(url, token)
    return server if _exists(server) else None


def shared_service_url(environment: Mapping[str, str], proxy: str = "") -> str:
    """Return the URL of a shared service; empty if the URL of the Hub's proxy is unknown."""
    host = proxy or _public_host(environment)
    base = environment.get("JUPYTERHUB_BASE_URL") or "/"
    return f"{host.rstrip('/')}{base.rstrip('/')}{discovery.SHARED}" if host else ""


def public_url(server: Server) -> str:
    """Return a server's URL as a person's browser knows it."""
    host, path = _public_host(os.environ), urlsplit(server.url).path
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    own = bool(prefix) and server.local and path.startswith(prefix)
    return f"{host}{path}" if host and (server.shared or own) else server.url


def _public_host(environment: Mapping[str, str]) -> str:
    for name in ("JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL"):
        parts = urlsplit(environment.get(name, ""))
        if parts.netloc:
            return f"{parts.scheme}://{parts.netloc}"
    return ""


def _exists(server: Server) -> bool:
    response = discovery.probe(server, "me", SECONDS)
    if response is None:
        return False  # this server does not publish to an unreachable service
    body = _json(response)
    if response.status_code == 200:
        return body.get("shared") is True
    if response.status_code in (401, 403) and "error" in body:
        raise Forbidden(
            "The Hub's shared service rejects this server's token. The administrator can allow "
            f"it with one line in jupyterhub_config.py: {TOKENS} (then restart this server). "
            "Until then, publish to this server with publish(personal=True) or --personal."
        )
    if response.status_code in (502, 503, 504):
        raise ServerUnreachable(
            "The Hub's shared service does not respond. Try again in a moment, or publish to "
            "this server with publish(personal=True) or --personal."
        )
    return False  # the Hub's own response for an unknown path


def _json(response: "httpx.Response") -> Mapping[str, object]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
