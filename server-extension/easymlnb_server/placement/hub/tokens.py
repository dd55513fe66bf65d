"""Tokens for users' servers: what a shared service sends there is good for that one user only.

A server of a user runs whatever that user wants, and reads what it is sent. The service's own token
starts and opens the servers of everybody, so it is shown to nobody but the Hub.
"""

import time
from urllib.parse import quote

import httpx

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb_server.placement.hub.account import Account

LIFE = 900
"""Seconds that the Hub takes such a token."""

RENEW = 600.0
"""Seconds after which another is asked for."""

MOST = 1000
"""Users whose tokens are kept."""


class UserTokens:
    """Asks the Hub for tokens that open one user's servers. ``account`` is the service's own."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._kept: dict[str, tuple[float, str]] = {}
        self._http = httpx.AsyncClient(
            base_url=f"{account.api_url.rstrip('/')}/users/", headers=account.headers, timeout=30.0
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def of(self, user: str) -> str:
        """Return a token; raises ``NotReady`` or ``Forbidden`` when the Hub gives none."""
        since, token = self._kept.get(user, (0.0, ""))
        now = time.monotonic()
        if token and now - since < RENEW:
            return token
        token = await self._made(user)
        self._kept.pop(user, None)
        self._kept[user] = (now, token)
        if len(self._kept) > MOST:
            self._kept.pop(next(iter(self._kept)))
        return token

    async def _made(self, user: str) -> str:
        asked = {
            "expires_in": LIFE,
            "note": "easymlnb, to reach servers of this user",
            "scopes": [f"access:servers!user={user}"],
        }
        try:
            answer = await self._http.post(f"{quote(user, safe='')}/tokens", json=asked)
        except httpx.TransportError as error:
            raise NotReady("The Hub does not answer. Try again in a moment.") from error
        if answer.status_code != 201:
            raise Forbidden(self._account.refusal)
        return str(answer.json()["token"])
