"""What is asked of the Hub: a user's servers, started, watched, stopped."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from easymlnb.contract.errors import Forbidden, NotReady

NO_HUB = "Placements need a server that a JupyterHub started; this one was not."

TIMEOUT = httpx.Timeout(30.0, read=60.0)
EVENTS_TIMEOUT = httpx.Timeout(30.0, read=None)

RIGHTS = (
    'c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!user", "servers!user"]'
)
"""The line that lets a user's server start and reach other servers of the same user."""


class HubApi:
    """The Hub's REST API, as one user's server may use it.

    ``proxy`` is the address of the Hub's proxy, as nodes and this server reach it.
    """

    def __init__(self, url: str, user: str, token: str, proxy: str) -> None:
        self.user = user
        self.proxy = proxy.rstrip("/")
        self.headers = {"Authorization": f"token {token}"}
        self._http = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/users/", headers=self.headers, timeout=TIMEOUT
        )

    @staticmethod
    def credentials(environment: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that open this user's servers."""
        return {"Authorization": f"token {environment.get('JUPYTERHUB_API_TOKEN', '')}"}

    @classmethod
    def of(cls, environment: Mapping[str, str], proxy: str = "") -> "HubApi":
        """Return the API for the server that has this environment; raises ``NotReady``."""
        url = environment.get("JUPYTERHUB_API_URL", "")
        user = environment.get("JUPYTERHUB_USER", "")
        token = environment.get("JUPYTERHUB_API_TOKEN", "")
        if not (url and user and token):
            raise NotReady(NO_HUB)
        return cls(url, user, token, proxy or proxy_of(environment))

    def address(self, model: Mapping[str, Any]) -> str:
        """Return where a server answers, through the proxy; ends in a slash."""
        return f"{self.proxy}{model['url']}"

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
        answer = await self._ask("POST", f"/servers/{name}", body)
        if 400 <= answer.status_code < 500 and name not in await self.servers():
            raise NotReady(f"The Hub refuses a node with {dict(options)}: {_said(answer)}")

    async def events(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """Yield what the Hub tells while a server starts, until it is ready or has failed."""
        request = self._http.build_request(
            "GET", f"{self.user}/servers/{name}/progress", timeout=EVENTS_TIMEOUT
        )
        answer = await self._http.send(request, stream=True)
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
        """Stop a server and remove its name; nothing happens where it does not run."""
        await self._ask("DELETE", f"/servers/{name}", {"remove": True})

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            answer = await self._http.request(method, self.user + path, json=body)
        except httpx.TransportError as error:
            raise NotReady("The Hub does not answer. Try again in a moment.") from error
        if answer.status_code in (401, 403) or (method != "DELETE" and answer.status_code == 404):
            # The Hub answers 404 to whoever may not even know what there is.
            raise Forbidden(
                "This server may not start nodes on the Hub. Its administrator allows it with one "
                f"line in jupyterhub_config.py: {RIGHTS} (then restart this server)."
            )
        return answer


def home_of(environment: Mapping[str, str], proxy: str = "") -> str:
    """Return where this very server's routes answer through the proxy; raises ``NotReady``."""
    prefix = environment.get("JUPYTERHUB_SERVICE_PREFIX", "")
    if not prefix:
        raise NotReady(NO_HUB)
    return (proxy or proxy_of(environment)).rstrip("/") + f"{prefix}easymlnb/"


def link_of(home: str) -> str:
    """Return where kernels dial in, given where a server's routes answer."""
    return "ws" + home.removeprefix("http") + "link"


def proxy_of(environment: Mapping[str, str]) -> str:
    """Return the address of the Hub's proxy as the Hub tells it; raises ``NotReady``."""
    for name in ("JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL"):
        parts = urlsplit(environment.get(name, ""))
        if parts.netloc:
            return f"{parts.scheme}://{parts.netloc}"
    raise NotReady(
        "It is not known where the Hub's proxy answers. Its administrator sets "
        "c.JupyterHub.public_url, or c.EasyMLNB.hub_proxy where nodes reach it by another address."
    )


def _said(answer: httpx.Response) -> str:
    try:
        text = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = f"it answered {answer.status_code}."
    return text.strip()[:500]
