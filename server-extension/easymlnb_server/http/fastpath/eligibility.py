"""Decide which calls take the fast path: simple ones from known callers.

Tornado's and Jupyter's request handlers do more work for a request than a whole call costs
otherwise. A call that comes with a token of which ``senders`` knows whose it is, a known host name
and no header beyond those in ``HEADERS`` needs none of it: what they would check and answer is
known beforehand.
Every other request, and every refusal before the body, is left to the handlers of ``routes``.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from easymlnb.contract.errors import NotReady, ServiceNotFound
from easymlnb.contract.file_parameters import body_limit
from easymlnb_server.calls.responses import EVENTS
from easymlnb_server.context import ServerContext
from easymlnb_server.http.fastpath.credentials import KnownCaller, sender_of
from easymlnb_server.identity.access import Action

CALL = r"services/([A-Za-z0-9_-]+)/call"
"""The one route that has a short way, below that of the extension."""

SHARED_CALL = r"services/([A-Za-z0-9_.~-]+/[A-Za-z0-9_-]+)/call"
"""The same on a shared service, for owners whose names need no quoting in a path."""

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
HOSTS = 256
"""Host names that were found good and are kept."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A plain call that may come in: whose it is, and the bytes of its body."""

    sender: KnownCaller
    length: int


class Eligibility:
    """Lets plain calls through. Whatever it does not know for certain it leaves to the handlers."""

    def __init__(self, state: ServerContext, settings: dict[str, Any]) -> None:
        self._state = state
        self._settings = settings
        self._hosts: set[str] = set()

    def admit(self, name: str, headers: Mapping[str, str]) -> Admitted | None:
        """Return what is to be known of a plain call to this name, ``None`` for all others.

        ``headers`` are those of a ``POST`` in HTTP/1.1, by their names in lower case.
        """
        if (
            not HEADERS.issuperset(headers)
            or headers.get("connection", "keep-alive").lower() != "keep-alive"
            or EVENTS in headers.get("accept", "")
            or (sender := self._sender(headers)) is None
        ):
            return None
        try:
            spec = self._state.services.resolve(name, sender.caller, Action.CALL).spec
        except (ServiceNotFound, NotReady):
            return None
        said = headers.get("content-length", "")
        if spec.stream or len(said) > 9 or not (said.isascii() and said.isdigit()):
            return None
        limit, kind = spec.max_body, headers.get("content-type", JSON)
        if kind != JSON:
            limit = body_limit(spec.input, limit, kind.partition(";")[0].strip().lower())
        length = int(said)
        return Admitted(sender, length) if length <= min(BODY_LIMIT, limit) else None

    def _sender(self, headers: Mapping[str, str]) -> KnownCaller | None:
        """Return whom Jupyter's own checks would let in with this request, for certain."""
        settings = self._settings
        if (
            settings.get("allow_origin")
            or settings.get("allow_origin_pat")
            or settings.get("allow_credentials")
        ):
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        token = given.strip()
        if (
            scheme.lower() not in ("token", "bearer")
            or not token
            or not self._is_host(headers.get("host", ""))
        ):
            return None
        return sender_of(settings, self._state.services, token)

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
