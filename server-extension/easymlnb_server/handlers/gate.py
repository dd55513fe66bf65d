"""Which calls are plain: they ask for nothing special, and who sends them is known at once.

Tornado's and Jupyter's request handlers do more work for a request than a whole call costs
otherwise. A call that comes with the server's token, a known host name and no header beyond
those in ``HEADERS`` needs none of it: what they would check and answer is known beforehand.
Every other request, and every refusal before the body, is left to the handlers of ``routes``.
"""

import hmac
import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider

from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.takers import body_limit
from easymlnb_server.handlers.answers import EVENTS
from easymlnb_server.state import State

CALL = r"services/([A-Za-z0-9_-]+)/call"
"""The one route that has a short way, below that of the extension."""

HEADERS = frozenset(
    (
        *("host", "authorization", "content-type", "content-length", "accept", "x-request-id"),
        *("connection", "user-agent", "accept-encoding", "accept-language"),
        *("traceparent", "tracestate", "via", "forwarded", "x-real-ip", "x-forwarded-for"),
        *("x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-server"),
    )
)
"""Headers that ask for nothing which this way does not do. A new one that does has no place here:
calls that carry it go to the handlers by themselves."""

BODY_LIMIT = 2**20
"""Bytes of a body; larger ones are the handlers' business."""

JSON = "application/json"
PROVIDERS = (IdentityProvider, PasswordIdentityProvider)
HOSTS = 256
"""Host names that were found good and are kept."""


class Gate:
    """Lets plain calls through. Whatever it does not know for certain it leaves to the handlers."""

    def __init__(self, state: State, settings: dict[str, Any]) -> None:
        self._state = state
        self._settings = settings
        self._hosts: set[str] = set()

    def length(self, name: str, headers: Mapping[str, str]) -> int | None:
        """Return the bytes of the body of a plain call to this name, ``None`` for all others.

        ``headers`` are those of a ``POST`` in HTTP/1.1, by their names in lower case.
        """
        if (
            not HEADERS.issuperset(headers)
            or headers.get("connection", "keep-alive").lower() != "keep-alive"
            or EVENTS in headers.get("accept", "")
            or not self._may(headers)
        ):
            return None
        cluster = self._state.cluster
        if cluster is not None and not cluster.serves(name):
            return None
        try:
            spec = self._state.services.target(name).spec
        except ServiceNotFound:
            return None
        said = headers.get("content-length", "")
        if spec.stream or len(said) > 9 or not (said.isascii() and said.isdigit()):
            return None
        limit, kind = spec.max_body, headers.get("content-type", JSON)
        if kind != JSON:
            limit = body_limit(spec.input, limit, kind.partition(";")[0].strip().lower())
        length = int(said)
        return length if length <= min(BODY_LIMIT, limit) else None

    def _may(self, headers: Mapping[str, str]) -> bool:
        """Say whether Jupyter's own checks would let this request in, for certain."""
        settings = self._settings
        provider = settings.get("identity_provider")
        if (
            type(provider) not in PROVIDERS
            or type(settings.get("authorizer")) is not AllowAllAuthorizer
            or settings.get("allow_origin")
            or settings.get("allow_origin_pat")
            or settings.get("allow_credentials")
        ):
            return False
        scheme, _, given = headers.get("authorization", "").partition(" ")
        token = provider.token  # type: ignore[union-attr]
        return (
            bool(token)
            and scheme.lower() in ("token", "bearer")
            and hmac.compare_digest(given.strip().encode(), token.encode())
            and self._is_host(headers.get("host", ""))
        )

    def _is_host(self, host: str) -> bool:
        if host in self._hosts:
            return True
        known = bool(self._settings.get("allow_remote_access", False)) or _is_local(
            host, self._settings.get("local_hostnames", ["localhost"])
        )
        if known and len(self._hosts) < HOSTS:
            self._hosts.add(host)
        return known


def _is_local(host: str, names: list[str]) -> bool:
    """Ask as Jupyter's ``check_host`` does, without its names of Unix sockets."""
    name = re.sub(r":\d+\Z", "", host)
    if name in names:
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
