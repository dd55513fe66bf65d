"""Short-lived tokens for users' servers, each valid for one user only.

A user's server runs any code of that user, which can read what it receives. The service's own token
can start all users' servers and create such tokens, so only the Hub receives it.
"""

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable
from urllib.parse import quote

import httpx

from easymlnb.contract.errors import EasyMLNBError, Forbidden, NotReady
from easymlnb_server.placement.hub.credentials import HUB_AWAY, HubCredentials

LIFETIME = 900
"""Seconds for which a token is valid."""

RENEW_AFTER = 600.0
"""Seconds after which a token is replaced."""

MAX_TOKENS = 1000
"""Users whose tokens are cached."""


class UserTokens:
    """Requests tokens that give access to one user's servers.

    credentials: the service's own.
    identity: returns what distinguishes a user from former and later users of the same name. A
        token of one must not reach the servers of another.
    """

    def __init__(
        self, credentials: HubCredentials, identity: Callable[[str], str] = lambda user: ""
    ) -> None:
        self._credentials = credentials
        self._identity = identity
        self._cache: dict[tuple[str, str], tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._http = httpx.Client(
            base_url=f"{credentials.api_url.rstrip('/')}/users/",
            headers=credentials.headers,
            timeout=10.0,
        )

    def close(self) -> None:
        self._http.close()

    def get(self, user: str) -> str:
        """Return a token; blocks, and may be called by several threads.

        Raises ``NotReady`` or ``Forbidden`` if the Hub returns none.
        """
        key = (user, self._identity(user))
        token, age = self._cached(key)
        if age < RENEW_AFTER:
            return token
        with self._lock:
            token, age = self._cached(key)
            if age < RENEW_AFTER:
                return token
            try:
                renewed = self._request(user)
            except NotReady:
                if age < LIFETIME:
                    return token  # the Hub is away, and this token is still valid
                raise
            self._cache.pop(key, None)
            self._cache[key] = (time.monotonic(), renewed)
            if len(self._cache) > MAX_TOKENS:
                self._cache.pop(next(iter(self._cache)))
            return renewed

    def _cached(self, key: tuple[str, str]) -> tuple[str, float]:
        """Return a token and its age in seconds; ``inf`` if there is none."""
        since, token = self._cache.get(key, (-math.inf, ""))
        return token, time.monotonic() - since

    def _request(self, user: str) -> str:
        body = {
            "expires_in": LIFETIME,
            "note": "easymlnb, to reach servers of this user",
            "scopes": [f"access:servers!user={user}"],
        }
        try:
            response = self._http.post(f"{quote(user, safe='')}/tokens", json=body)
        except httpx.TransportError as error:
            raise NotReady(HUB_AWAY) from error
        if response.status_code >= 500:
            raise NotReady(HUB_AWAY)
        if response.status_code != 201:
            raise Forbidden(self._credentials.refusal)
        return str(response.json()["token"])


class NodeAuth(httpx.Auth):
    """Adds a token to requests to one user's nodes. ``token`` returns it, and may block."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def headers(self) -> dict[str, str]:
        """Return the headers for a request; may block. Raises what ``token`` raises."""
        return {"Authorization": f"token {self._token()}"}

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        try:
            request.headers.update(await asyncio.to_thread(self.headers))
        except EasyMLNBError as error:
            # For the caller this is the same as a node that cannot be reached.
            raise httpx.ConnectError(error.message) from error
        yield request
