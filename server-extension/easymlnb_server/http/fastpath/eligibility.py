"""Decide which calls take the fast path: simple ones from known callers.

Tornado's and Jupyter's request handlers cost more than the rest of a call. They are skipped for
calls with the token of a known caller (see ``credentials``), a known host name and no header beyond
``HEADERS``. All other requests, and all refusals before the body, go to the handlers of ``routes``.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from easymlnb.contract import api_keys
from easymlnb.contract.errors import NotLoggedIn, NotReady, ServiceNotFound
from easymlnb.contract.file_parameters import body_limit
from easymlnb_server.calls.responses import EVENTS
from easymlnb_server.context import ServerContext
from easymlnb_server.http.fastpath.credentials import (
    KnownCaller,
    find_key_holder,
    find_known_caller,
)
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.identity.api_keys.models import ApiKey

NAME = r"([A-Za-z0-9_-]+)"
"""The name of a service in the path of a call."""

SHARED_NAME = r"([A-Za-z0-9_.~-]+/[A-Za-z0-9_-]+)"
"""The name on a shared service, for owners whose names need no quoting in a path."""

HEADERS = frozenset(
    (
        *("host", "authorization", "content-type", "content-length", "accept", "x-request-id"),
        "x-api-key",
        *("connection", "user-agent", "accept-encoding", "accept-language"),
        *("traceparent", "tracestate", "via", "forwarded", "x-real-ip", "x-forwarded-for"),
        *("x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-server"),
    )
)
"""Headers that the fast path supports. Calls with any other header automatically go to the
handlers."""


@dataclass(frozen=True, slots=True)
class RouteKind:
    """What a route of the fast path takes.

    - ``headers``: headers besides ``HEADERS``
    - ``service``: whether its path names a service
    - ``raw``: whether a body can be the value of one parameter, whose limit then applies
    - ``events``: whether a caller may also accept an event stream
    """

    headers: frozenset[str] = frozenset()
    service: bool = True
    raw: bool = False
    events: bool = False


PLAIN = RouteKind(raw=True)
"""A call of a service."""

BODY_LIMIT = 2**20
"""Maximum bytes of a body on the fast path."""

JSON = "application/json"
EVENTS_IN_JSON = "application/cloudevents"
MAX_HOSTS = 256
"""Maximum number of cached host names."""


@dataclass(frozen=True, slots=True)
class EligibleCall:
    """A call that takes the fast path: its caller, and the bytes of its body."""

    caller: KnownCaller
    length: int


class SeenHead:
    """What is known of the head that a connection sent last: clients repeat it.

    - ``headers``: the headers, ``None`` for none that can take the fast path
    - ``token``: the token or API key
    - ``key``, ``owner``, ``holder``: the key, its owner and the caller, if they were found
    """

    __slots__ = ("headers", "holder", "is_key", "key", "owner", "token")

    def __init__(self) -> None:
        self.headers: Mapping[str, str] | None = None
        self.token = ""
        self.is_key = False
        self.key: ApiKey | None = None
        self.owner: Caller | None = None
        self.holder: KnownCaller | None = None


class Eligibility:
    """Finds calls for the fast path; everything uncertain is left to the handlers."""

    def __init__(self, state: ServerContext, settings: dict[str, Any]) -> None:
        self._state = state
        self._settings = settings
        self._hosts: set[str] = set()

    def check(
        self,
        name: str,
        headers: Mapping[str, str],
        seen: SeenHead | None = None,
        kind: RouteKind = PLAIN,
    ) -> EligibleCall | None:
        """Return the call if it can take the fast path, else ``None``.

        ``headers`` are those of a ``POST`` in HTTP/1.1, by their names in lower case. ``seen`` is
        what is known of the last head of the same connection.
        """
        if seen is None:
            seen = SeenHead()
        if seen.headers is not headers and not self._read(headers, seen, kind):
            return None
        caller = self._caller(seen)
        if caller is None:
            return None
        if not kind.service:
            return _limited(caller, headers, BODY_LIMIT)
        try:
            target = self._state.services.resolve(name, caller.caller, Action.CALL)
        except (NotLoggedIn, ServiceNotFound, NotReady):
            return None
        spec = target.spec
        if spec.stream or spec.on_timeout or not target.uniform:
            return None
        limit, media_type = spec.max_body, headers.get("content-type", JSON)
        if kind.raw and media_type != JSON:
            if media_type.lower().startswith(EVENTS_IN_JSON):
                return None
            limit = body_limit(spec.input, limit, media_type.partition(";")[0].strip().lower())
        return _limited(caller, headers, min(BODY_LIMIT, limit))

    def find_caller(self, headers: Mapping[str, str]) -> KnownCaller | None:
        """Return the sender of a request with these headers, if it is known without a handler."""
        seen = SeenHead()
        return self._caller(seen) if self._read(headers, seen, PLAIN) else None

    def _caller(self, seen: SeenHead) -> KnownCaller | None:
        """Return the caller whom Jupyter's own checks would certainly accept now."""
        settings = self._settings
        if (
            settings.get("allow_origin")
            or settings.get("allow_origin_pat")
            or settings.get("allow_credentials")
        ):
            return None
        if not seen.is_key:
            return find_known_caller(settings, self._state.services, seen.token)
        state, key = self._state, seen.key
        if key is None or not state.keys.use_again(key):
            key = seen.key = state.keys.find(seen.token)
            seen.holder = None
            if key is None:
                return None
        owner = state.users.known(key.owner)
        if seen.holder is None or seen.owner != owner:
            seen.owner, seen.holder = owner, find_key_holder(state.keys, key, owner)
        return seen.holder

    def _read(self, headers: Mapping[str, str], seen: SeenHead, kind: RouteKind) -> bool:
        """Note what a head says of its caller; return whether it can take the fast path."""
        seen.headers = None
        if (
            not (HEADERS.issuperset(headers) or (HEADERS | kind.headers).issuperset(headers))
            or headers.get("connection", "keep-alive").lower() != "keep-alive"
            or (EVENTS in headers.get("accept", "") and not kind.events)
            or (token := self._token(headers)) is None
        ):
            return False
        seen.headers, seen.token, seen.key = headers, token, None
        seen.is_key = api_keys.is_key(token)
        return True

    def _token(self, headers: Mapping[str, str]) -> str | None:
        """Return the token or key of a request for a host name of this server."""
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        token = credentials.strip()
        key = headers.get("x-api-key")
        if key is not None:
            if credentials or not api_keys.is_key(key):
                return None
            scheme, token = "bearer", key
        if not credentials and key is None and self._state.services.everyone:
            return "" if self._is_host(headers.get("host", "")) else None
        if (
            scheme.lower() not in ("token", "bearer")
            or not token
            or not self._is_host(headers.get("host", ""))
        ):
            return None
        return token

    def _is_host(self, host: str) -> bool:
        if host in self._hosts:
            return True
        known = bool(self._settings.get("allow_remote_access", False)) or _is_local(
            host, self._settings.get("local_hostnames", ["localhost"])
        )
        if known and len(self._hosts) < MAX_HOSTS:
            self._hosts.add(host)
        return known


def _limited(caller: KnownCaller, headers: Mapping[str, str], limit: int) -> EligibleCall | None:
    """Return a call whose body has at most ``limit`` bytes."""
    given = headers.get("content-length", "")
    if len(given) > 9 or not (given.isascii() and given.isdigit()) or int(given) > limit:
        return None
    return EligibleCall(caller, int(given))


def _is_local(host: str, names: list[str]) -> bool:
    """Check a host name like Jupyter's ``check_host``, without names of Unix sockets."""
    name = re.sub(r":\d+\Z", "", host)
    if name in names:
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
