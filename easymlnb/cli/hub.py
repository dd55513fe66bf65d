"""``easymlnb doctor --hub``: whether this user's server can use nodes of its JupyterHub."""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from easymlnb.cli.doctor import BAD, NOTE, OK, Finding
from easymlnb.contract.hubs import OWN_TOKENS

if TYPE_CHECKING:
    import httpx

SECONDS = 10.0
NEEDED = ("servers", "access:servers")
"""Scopes, each of the user's own servers, without which nodes cannot be started or reached."""


def examine(environment: Mapping[str, str] | None = None) -> list[Finding]:
    """Look at what a Hub gives the server that this runs in; says first whether there is one."""
    told = os.environ if environment is None else environment
    url, user = told.get("JUPYTERHUB_API_URL", ""), told.get("JUPYTERHUB_USER", "")
    if not url or not user:
        fix = "Run it in a terminal of a server that the Hub started."
        return [Finding("hub", BAD, "no JupyterHub started this server.", fix)]
    import httpx

    token = told.get("JUPYTERHUB_API_TOKEN", "")
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(headers=headers, timeout=SECONDS) as http:
        return [*_hub(http, url), *_rights(http, url, user), *_proxy(http, told)]


def _hub(http: "httpx.Client", url: str) -> Iterator[Finding]:
    import httpx

    try:
        version = str(http.get(f"{url}/").json().get("version", "?"))
    except (httpx.HTTPError, ValueError):
        yield Finding("hub", BAD, f"does not answer at {url}.", "Ask whoever runs it.")
        return
    if version.split(".")[0].isdecimal() and int(version.split(".")[0]) < 5:
        yield Finding("hub", BAD, f"JupyterHub {version}", "Nodes need JupyterHub 5.3 or newer.")
    else:
        yield Finding("hub", OK, f"JupyterHub {version} at {url}")


def _rights(http: "httpx.Client", url: str, user: str) -> Iterator[Finding]:
    import httpx

    try:
        answer = http.get(f"{url}/user")
        scopes = answer.json().get("scopes", []) if answer.status_code == 200 else []
    except (httpx.HTTPError, ValueError):
        return
    missing = [name for name in NEEDED if not _holds(scopes, name, user)]
    if missing:
        says = f"this server may not start and reach nodes ({', '.join(missing)} missing)."
        fix = f"In jupyterhub_config.py, then restart this server: {OWN_TOKENS}"
        yield Finding("rights", BAD, says, fix)
    else:
        yield Finding("rights", OK, f"servers of {user} may be started and reached")


def _holds(scopes: list[str], name: str, user: str) -> bool:
    return any(scope in (name, f"{name}!user={user}", f"{name}!user") for scope in scopes)


def _proxy(http: "httpx.Client", told: Mapping[str, str]) -> Iterator[Finding]:
    import httpx

    parts = urlsplit(told.get("JUPYTERHUB_PUBLIC_URL", ""))
    if not parts.netloc:
        says = "the Hub does not say where its proxy answers."
        fix = "Set c.JupyterHub.public_url, or c.EasyMLNB.hub_proxy of the users' servers."
        yield Finding("proxy", NOTE, says, fix)
        return
    address = f"{parts.scheme}://{parts.netloc}{told.get('JUPYTERHUB_SERVICE_PREFIX', '/')}"
    try:
        code = http.get(f"{address}easymlnb/health/live").status_code
    except httpx.HTTPError:
        code = 0
    if code == 200:
        yield Finding("proxy", OK, f"this server answers at {address}")
    else:
        fix = "If nodes reach it by another address, set c.EasyMLNB.hub_proxy."
        yield Finding("proxy", BAD, f"this server cannot be reached at {address}.", fix)


def placements(found: list[dict[str, Any]]) -> Iterator[Finding]:
    """Return what there is to say of the placements of a server."""
    for one in found:
        if one.get("error"):
            yield Finding(f"placement {one['name']}", BAD, one["error"])
        else:
            yield Finding(f"placement {one['name']}", OK, f"{len(one['nodes'])} node(s) now")
    if not found:
        fix = "Its administrator sets c.EasyMLNB.placements in jupyter_server_config.py."
        yield Finding("placements", NOTE, "this server has none.", fix)
