"""Requests to the Hub's API: start, watch and stop a user's servers."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb_server.placement.hub.credentials import HUB_AWAY, HubCredentials

TIMEOUT = httpx.Timeout(30.0, read=60.0)
EVENTS_TIMEOUT = httpx.Timeout(30.0, read=None)


REVOKED = (
    "The Hub rejects this server's token: the token was revoked, or the Hub regards this server "
    "as stopped. Stop this server and start it again on the Hub."
)


class OptionsRejected(NotReady):
    """The Hub knows no such profile, or refuses its options."""


class HubClient:
    """The part of the Hub's REST API that manages one user's servers.

    Raises ``NotReady`` for credentials that are not sufficient. ``slowest`` is the longest time in
    seconds that the Hub took to accept the start of a server.
    """

    slowest: ClassVar[float] = 0.0

    def __init__(self, credentials: HubCredentials) -> None:
        credentials.check()
        self.credentials = credentials
        self._user = quote(credentials.user, safe="")
        self._version: str | None = None  # unknown before the first response
        self._http = httpx.AsyncClient(
            base_url=f"{credentials.api_url.rstrip('/')}/users/",
            headers=credentials.headers,
            timeout=TIMEOUT,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], proxy: str = "") -> "HubClient":
        """Return a client for the server with this environment; raises ``NotReady``."""
        return cls(HubCredentials.from_environment(environment, proxy))

    def address(self, model: Mapping[str, Any]) -> str:
        """Return a server's URL through the proxy; ends in a slash."""
        return f"{self.credentials.proxy}{model['url']}"

    async def servers(self) -> dict[str, dict[str, Any]]:
        """Return the Hub's models of the user's servers that run, start or stop, by name."""
        response = await self._request("GET", "")
        models: dict[str, dict[str, Any]] = response.json().get("servers") or {}
        return models

    async def start(self, name: str, title: str, options: Mapping[str, Any]) -> None:
        """Begin to start a server; does nothing if the server runs.

        Raises ``NotReady`` with the Hub's message if the Hub rejects it. ``events`` reports why an
        accepted start fails, also if it fails immediately (which the Hub answers with 500).
        """
        body = dict(options)
        if await self._accepts_titles():
            body = {"display_name": title, "user_options": body}
        began = time.monotonic()
        response = await self._request("POST", f"/servers/{name}", body)
        HubClient.slowest = max(HubClient.slowest, time.monotonic() - began)
        if 400 <= response.status_code < 500 and name not in await self.servers():
            # Other statuses say that a start is not possible at this time.
            kind = OptionsRejected if response.status_code == 400 else NotReady
            raise kind(
                f"The Hub rejected a node with the options {dict(options)}: {_message(response)}"
            )

    async def events(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the Hub's events while a server starts, until it is ready or has failed."""
        url = f"{self._user}/servers/{name}/progress"
        try:
            async with self._http.stream("GET", url, timeout=EVENTS_TIMEOUT) as response:
                if response.status_code != 200:
                    return
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        event = json.loads(line[5:])
                        yield event
                        if event.get("ready") or event.get("failed"):
                            return
        except httpx.TransportError:
            return  # the Hub was restarted; the server's model has its state

    async def stop(self, name: str) -> None:
        """Stop a server and remove its name; does nothing if the server does not run.

        Raises ``Forbidden`` if the Hub no longer knows the user by this name.
        """
        response = await self._request("DELETE", f"/servers/{name}", {"remove": True})
        if response.status_code == 404:
            await self.servers()  # raises if it is the user that the Hub does not know

    async def close(self) -> None:
        await self._http.aclose()

    async def _accepts_titles(self) -> bool:
        """Return whether the Hub is JupyterHub 6 or newer.

        Before, the whole body of a request to start a server was the options of the spawner. Newer
        Hubs still accept that, so it is right for a Hub that does not name its version.
        """
        if self._version is None:
            await self.servers()
        major = (self._version or "").partition(".")[0]
        return major.isdecimal() and int(major) >= 6

    async def _request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            response = await self._http.request(method, self._user + path, json=body)
        except httpx.TransportError as error:
            raise NotReady(HUB_AWAY) from error
        self._version = response.headers.get("X-JupyterHub-Version", "")
        status = response.status_code
        if status in (401, 403) or (method != "DELETE" and status == 404):
            # The Hub answers 404 to clients that must not know what exists.
            raise Forbidden(await self._refusal())
        return response

    async def _refusal(self) -> str:
        """Return why the Hub rejects us: the token may be revoked, or the user renamed."""
        credentials = self.credentials
        try:
            response = await self._http.get(f"{credentials.api_url.rstrip('/')}/user")
            model = response.json() if response.status_code == 200 else {}
        except (httpx.TransportError, ValueError):
            return credentials.refusal
        if response.status_code in (401, 403):
            return REVOKED
        if model.get("kind") == "user" and model.get("name") != credentials.user:
            return (
                f"The Hub's name of this user is now {model.get('name')!r}, but this server was "
                f"started for {credentials.user!r}. Stop this server and start it again on the Hub."
            )
        return credentials.refusal


def _message(response: httpx.Response) -> str:
    try:
        text = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = f"it responded with status {response.status_code}."
    return text.strip()[:500]
