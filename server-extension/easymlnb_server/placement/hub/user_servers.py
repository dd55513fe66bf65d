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

TIMEOUT = 1.5
"""Seconds that a page waits for all servers."""

MAX_AGE = 4.0
"""Seconds for which a result is reused: pages refresh every few seconds."""

MAX_RESPONSE = 2 * 2**20
"""Maximum bytes of a server's list; the owner of the server controls what it sends."""

MAX_USERS = 1000
MAX_SERVICES = 100
"""Services that are shown of one server."""


class PersonalService(msgspec.Struct, frozen=True):
    """A service of such a server, from its own list."""

    name: str
    title: str
    state: str = ""
    summary: str = ""
    live: bool = False


class _Response(msgspec.Struct, frozen=True):
    services: list[PersonalService]


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server of a user.

    path: where it is behind the proxy; begins and ends with a slash.
    services: ``None`` if it did not respond in time.
    """

    name: str
    path: str
    services: tuple[PersonalService, ...] | None


class UserServers:
    """Queries users' servers. ``credentials`` are the shared service's own."""

    def __init__(self, credentials: HubCredentials, tokens: UserTokens | None = None) -> None:
        self._credentials = credentials
        self._tokens = tokens or UserTokens(credentials)
        self._http = httpx.AsyncClient(timeout=TIMEOUT)
        self._cache: dict[str, tuple[float, list[OwnServer]]] = {}

    async def close(self) -> None:
        await self._http.aclose()
        self._tokens.close()

    async def get(self, user: str) -> list[OwnServer]:
        """Return a user's running servers and their services. It never fails."""
        since, servers = self._cache.get(user, (0.0, []))
        if since and time.monotonic() - since < MAX_AGE:
            return servers
        try:
            async with asyncio.timeout(TIMEOUT):
                servers = await self._query_all(user)
        except (EasyMLNBError, TimeoutError, httpx.HTTPError, ValueError):
            # The catalog is useful without them.
            servers = [replace(server, services=None) for server in servers]
        self._cache.pop(user, None)
        self._cache[user] = (time.monotonic(), servers)
        if len(self._cache) > MAX_USERS:
            self._cache.pop(next(iter(self._cache)))
        return servers

    async def _query_all(self, user: str) -> list[OwnServer]:
        hub = HubClient(replace(self._credentials, user=user))
        try:
            models = await hub.servers()
        finally:
            await hub.close()
        running = [
            model
            for name, model in models.items()
            if model.get("ready") and not name.startswith(PREFIX)
        ]
        if not running:
            return []
        token = await asyncio.to_thread(self._tokens.get, user)
        # Without compression, which could hide a response a thousand times as large.
        headers = {"Authorization": f"token {token}", "Accept-Encoding": "identity"}
        return list(await asyncio.gather(*(self._query(model, headers) for model in running)))

    async def _query(self, model: Mapping[str, Any], headers: dict[str, str]) -> OwnServer:
        path = str(model["url"])
        server = OwnServer(str(model.get("name", "")), path, None)
        url = f"{self._credentials.proxy}{path}easymlnb/services"
        try:
            # Shorter than the timeout of all, so one that hangs does not hide the others.
            async with asyncio.timeout(TIMEOUT * 2 / 3):
                data = await self._read(url, headers)
            services = msgspec.json.decode(data, type=_Response).services
        except (TimeoutError, httpx.HTTPError, msgspec.MsgspecError, UnicodeDecodeError):
            return server
        valid = (service for service in services[:MAX_SERVICES] if NAME.match(service.name))
        return replace(server, services=tuple(valid))

    async def _read(self, url: str, headers: dict[str, str]) -> bytes:
        async with self._http.stream("GET", url, headers=headers) as response:
            data = b""
            if response.status_code == 200:
                async for chunk in response.aiter_raw():
                    data += chunk
                    if len(data) > MAX_RESPONSE:
                        return b""
            return data
