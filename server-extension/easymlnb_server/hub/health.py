"""Check whether a Hub gives the shared service what it needs."""

from typing import Any

import httpx

from easymlnb.contract.hub_config import SCOPES
from easymlnb_server.hub.users import HubUsers
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials

TIMEOUT = 5.0


async def examine(users: HubUsers, account: HubCredentials) -> dict[str, Any]:
    """Return the results of the checks.

    hub: version of the Hub; empty if it does not answer.
    missing: scopes that this service lacks.
    proxy: our URL as nodes use it.
    reached: whether this server answers at that URL.
    slowest_start: seconds of the Hub's slowest response to a request to start a node.
    """
    home = f"{account.proxy}{account.path}"
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        return {
            "hub": await _version(http, account.api_url),
            "missing": await users.missing(SCOPES),
            "proxy": home if account.proxy else "",
            "reached": bool(account.proxy) and await _answers(http, f"{home}health/live"),
            "slowest_start": round(HubClient.slowest, 1),
        }


async def _version(http: httpx.AsyncClient, url: str) -> str:
    try:
        return str((await http.get(f"{url.rstrip('/')}/")).json()["version"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ""


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == 200
    except httpx.HTTPError:
        return False
