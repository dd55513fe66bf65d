"""What runs on users' own servers, for the Hub's catalog."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
import msgspec

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.spec import NAME
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.nodes import PREFIX
from easymlnb_server.placement.hub.tokens import UserTokens

PATIENCE = 1.5
"""Seconds that a page waits for all of this."""

FRESH = 4.0
"""Seconds for which what was found is shown again: pages ask every few seconds."""

LARGEST = 2 * 2**20
"""Bytes that a server's list may have; whoever owns the server can send what they like."""

MOST_USERS = 1000
MOST = 100
"""Services that are shown of one server."""


class ServiceSummary(msgspec.Struct, frozen=True):
    """A service of such a server, as its own list has it."""

    name: str
    title: str
    state: str = ""
    summary: str = ""
    live: bool = False


class _Answer(msgspec.Struct, frozen=True):
    services: list[ServiceSummary]


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server of a user. ``path`` is where it is behind the proxy; it begins and ends in a slash.

    ``services`` is ``None`` when it did not answer in time.
    """

    name: str
    path: str
    services: tuple[ServiceSummary, ...] | None


class UserServers:
    """Asks users' servers; ``account`` is the shared service's own, ``tokens`` open them."""

    def __init__(self, account: HubCredentials, tokens: UserTokens | None = None) -> None:
        self._account = account
        self._tokens = tokens or UserTokens(account)
        self._http = httpx.AsyncClient(timeout=PATIENCE)
        self._found: dict[str, tuple[float, list[OwnServer]]] = {}

    async def close(self) -> None:
        await self._http.aclose()
        self._tokens.close()

    async def of(self, user: str) -> list[OwnServer]:
        """Return the servers of a user that run, with what they serve. It never fails."""
        since, found = self._found.get(user, (0.0, []))
        if since and time.monotonic() - since < FRESH:
            return found
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._look(user)
        except (EasyMLNBError, TimeoutError, httpx.HTTPError, ValueError):
            # A catalog without this is still a catalog.
            found = [replace(server, services=None) for server in found]
        self._found.pop(user, None)
        self._found[user] = (time.monotonic(), found)
        if len(self._found) > MOST_USERS:
            self._found.pop(next(iter(self._found)))
        return found

    async def _look(self, user: str) -> list[OwnServer]:
        api = HubClient(replace(self._account, user=user))
        try:
            models = await api.servers()
        finally:
            await api.close()
        running = [
            model
            for name, model in models.items()
            if model.get("ready") and not name.startswith(PREFIX)
        ]
        if not running:
            return []
        token = await asyncio.to_thread(self._tokens.of, user)
        headers = {"Authorization": f"token {token}"}
        return list(await asyncio.gather(*(self._ask(model, headers) for model in running)))

    async def _ask(self, model: Mapping[str, Any], headers: dict[str, str]) -> OwnServer:
        path = str(model["url"])
        server = OwnServer(str(model.get("name", "")), path, None)
        try:
            # Less than the whole, so that one that hangs does not hide the others.
            async with asyncio.timeout(PATIENCE * 2 / 3):
                data = await self._read(f"{self._account.proxy}{path}easymlnb/services", headers)
            lines = msgspec.json.decode(data, type=_Answer).services
        except (TimeoutError, httpx.HTTPError, msgspec.MsgspecError, UnicodeDecodeError):
            return server
        return replace(server, services=tuple(one for one in lines[:MOST] if NAME.match(one.name)))

    async def _read(self, url: str, headers: dict[str, str]) -> bytes:
        # As it comes: what is packed may be a thousand times as large, and more.
        plain = {**headers, "Accept-Encoding": "identity"}
        async with self._http.stream("GET", url, headers=plain) as answer:
            found = b""
            if answer.status_code == 200:
                async for part in answer.aiter_raw():
                    found += part
                    if len(found) > LARGEST:
                        return b""
            return found
