"""Check whether a Hub gives the shared service what it needs."""

from typing import Any

import httpx

from easymlnb.contract.hub_config import SCOPES
from easymlnb_server.hub.users import HubUsers
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials

SECONDS = 5.0


async def examine(members: HubUsers, account: HubCredentials) -> dict[str, Any]:
    """Return what was found: the Hub's version, rights that are missing, and the way back here.

    ``hub`` is empty when the Hub does not answer. ``missing`` are scopes of ours, ``proxy`` is our
    address as nodes dial it, ``reached`` whether something answers there, and ``slowest_start`` for
    how many seconds the Hub kept a request waiting that only was to begin the start of a node.
    """
    home = f"{account.proxy}{account.path}"
    async with httpx.AsyncClient(timeout=SECONDS) as http:
        return {
            "hub": await _version(http, account.api_url),
            "missing": await members.missing(SCOPES),
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
