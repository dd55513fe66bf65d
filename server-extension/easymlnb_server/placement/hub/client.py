"""Requests to the Hub's API: start, watch and stop a user's servers."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb_server.placement.hub.credentials import HubCredentials

TIMEOUT = httpx.Timeout(30.0, read=60.0)
EVENTS_TIMEOUT = httpx.Timeout(30.0, read=None)


REVOKED = (
    "The Hub rejects this server's token: the token was revoked, or the Hub regards this server "
    "as stopped. Stop this server and start it again on the Hub."
)


class HubClient:
    """The Hub's REST API, as far as an account may use it for its user's servers.

    Raises ``NotReady`` for an account that a Hub gave nothing. ``slowest`` is for how many seconds
    a request waited at most that only was to begin the start of a server.
    """

    slowest: ClassVar[float] = 0.0

    def __init__(self, account: HubCredentials) -> None:
        account.check()
        self.account = account
        self.headers = account.headers
        self._user = quote(account.user, safe="")
        self._http = httpx.AsyncClient(
            base_url=f"{account.api_url.rstrip('/')}/users/", headers=self.headers, timeout=TIMEOUT
        )

    @classmethod
    def of(cls, environment: Mapping[str, str], proxy: str = "") -> "HubClient":
        """Return the API for the server that has this environment; raises ``NotReady``."""
        return cls(HubCredentials.of(environment, proxy))

    def address(self, model: Mapping[str, Any]) -> str:
        """Return where a server answers, through the proxy; ends in a slash."""
        return f"{self.account.proxy}{model['url']}"

    async def servers(self) -> dict[str, dict[str, Any]]:
        """Return what the Hub says of the user's servers that run or are about to, by name."""
        answer = await self._ask("GET", "")
        found: dict[str, dict[str, Any]] = answer.json().get("servers") or {}
        return found

    async def start(self, name: str, title: str, options: Mapping[str, Any]) -> None:
        """Begin to start a server; nothing happens where it runs already.

        Raises ``NotReady`` with the Hub's words when it refuses. Why a start fails that it has
        accepted is told by ``events``, also when it fails at once (which the Hub answers with 500).
        """
        body = {"display_name": title, "user_options": dict(options)}
        began = time.monotonic()
        answer = await self._ask("POST", f"/servers/{name}", body)
        HubClient.slowest = max(HubClient.slowest, time.monotonic() - began)
        if 400 <= answer.status_code < 500 and name not in await self.servers():
            raise NotReady(
                f"The Hub rejected a node with the options {dict(options)}: {_said(answer)}"
            )

    async def events(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """Yield what the Hub tells while a server starts, until it is ready or has failed."""
        request = self._http.build_request(
            "GET", f"{self._user}/servers/{name}/progress", timeout=EVENTS_TIMEOUT
        )
        try:
            answer = await self._http.send(request, stream=True)
        except httpx.TransportError:
            return
        try:
            if answer.status_code != 200:
                return
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    event = json.loads(line[5:])
                    yield event
                    if event.get("ready") or event.get("failed"):
                        return
        except httpx.TransportError:
            return  # the Hub was restarted; the server's model tells how it stands
        finally:
            await answer.aclose()

    async def stop(self, name: str) -> None:
        """Stop a server and remove its name; nothing happens where it does not run.

        Raises ``Forbidden`` when the Hub does not know the user any more, by this name at least.
        """
        answer = await self._ask("DELETE", f"/servers/{name}", {"remove": True})
        if answer.status_code == 404:
            await self.servers()  # by which the Hub says whether it knows the user

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            answer = await self._http.request(method, self._user + path, json=body)
        except httpx.TransportError as error:
            raise NotReady("The Hub does not respond. Try again in a moment.") from error
        if answer.status_code in (401, 403) or (method != "DELETE" and answer.status_code == 404):
            # The Hub answers 404 to whoever may not even know what there is.
            raise Forbidden(await self._refusal())
        return answer

    async def _refusal(self) -> str:
        """Return why the Hub does not let us: the token or its user may not be what they were."""
        try:
            answer = await self._http.get(f"{self.account.api_url.rstrip('/')}/user")
            told = answer.json() if answer.status_code == 200 else {}
        except (httpx.TransportError, ValueError):
            return self.account.refusal
        if answer.status_code in (401, 403):
            return REVOKED
        if told.get("kind") == "user" and told.get("name") != self.account.user:
            return (
                f"The Hub's name of this user is now {told.get('name')!r}, but this server was "
                f"started for {self.account.user!r}. Stop this server and start it again on the "
                "Hub."
            )
        return self.account.refusal


def _said(answer: httpx.Response) -> str:
    try:
        text = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = f"it responded with status {answer.status_code}."
    return text.strip()[:500]
