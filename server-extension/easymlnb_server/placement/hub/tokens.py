"""Short-lived tokens for users' servers, each valid for one user only.

A server of a user runs whatever that user wants, and reads what it is sent. The service's own token
starts servers of everybody and makes such tokens, so it is shown to nobody but the Hub.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from urllib.parse import quote

import httpx

from easymlnb.contract.errors import EasyMLNBError, Forbidden, NotReady
from easymlnb_server.placement.hub.credentials import HubCredentials

LIFE = 900
"""Seconds that the Hub takes such a token."""

RENEW = 600.0
"""Seconds after which another is asked for."""

MOST = 1000
"""Users whose tokens are kept."""


class UserTokens:
    """Asks the Hub for tokens that open one user's servers. ``account`` is the service's own.

    ``identity`` returns what tells a user from others of the same name, before and after: a token
    of one must not be shown to servers of another.
    """

    def __init__(
        self, account: HubCredentials, identity: Callable[[str], str] = lambda user: ""
    ) -> None:
        self._account = account
        self._identity = identity
        self._kept: dict[tuple[str, str], tuple[float, str]] = {}
        self._turn = threading.Lock()
        self._http = httpx.Client(
            base_url=f"{account.api_url.rstrip('/')}/users/", headers=account.headers, timeout=10.0
        )

    def close(self) -> None:
        self._http.close()

    def of(self, user: str) -> str:
        """Return a token; it blocks, and threads may use it at once.

        Raises ``NotReady`` or ``Forbidden`` when the Hub gives none.
        """
        key = (user, self._identity(user))
        since, token = self._kept.get(key, (0.0, ""))
        if token and time.monotonic() - since < RENEW:
            return token
        with self._turn:
            since, token = self._kept.get(key, (0.0, ""))
            if token and time.monotonic() - since < RENEW:
                return token
            try:
                fresh = self._made(user)
            except NotReady:
                if token and time.monotonic() - since < LIFE:
                    return token  # the Hub is away; it is good for some time yet
                raise
            self._kept.pop(key, None)
            self._kept[key] = (time.monotonic(), fresh)
            if len(self._kept) > MOST:
                self._kept.pop(next(iter(self._kept)))
            return fresh

    def _made(self, user: str) -> str:
        asked = {
            "expires_in": LIFE,
            "note": "easymlnb, to reach servers of this user",
            "scopes": [f"access:servers!user={user}"],
        }
        try:
            answer = self._http.post(f"{quote(user, safe='')}/tokens", json=asked)
        except httpx.TransportError as error:
            raise NotReady("The Hub does not respond. Try again in a moment.") from error
        if answer.status_code >= 500:
            raise NotReady("The Hub does not respond. Try again in a moment.")
        if answer.status_code != 201:
            raise Forbidden(self._account.refusal)
        return str(answer.json()["token"])


class NodeAuth(httpx.Auth):
    """Signs requests to the nodes of one user. ``token`` returns what opens them; it may block."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def headers(self) -> dict[str, str]:
        """Return what opens the nodes; it may block. Raises what ``token`` does."""
        return {"Authorization": f"token {self._token()}"}

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        try:
            request.headers.update(self.headers())
        except EasyMLNBError as error:
            # To who asks a node, it is the same as if the way there were cut.
            raise httpx.ConnectError(error.message) from error
        yield request

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        try:
            request.headers.update(await asyncio.to_thread(self.headers))
        except EasyMLNBError as error:
            raise httpx.ConnectError(error.message) from error
        yield request
