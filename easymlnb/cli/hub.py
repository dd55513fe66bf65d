"""``easymlnb doctor --hub``: whether this user's server can use nodes of its JupyterHub."""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from easymlnb.cli.doctor import BAD, NOTE, OK, Finding
from easymlnb.contract.hubs import OWN_TOKENS, ROLE, SERVICE, TOKENS, USERS

if TYPE_CHECKING:
    import httpx

SECONDS = 10.0
SLOW = 2.0
"""Seconds after which the Hub is thought to wait for a start instead of answering at once."""
AT_ONCE = 'c.JupyterHub.tornado_settings.update({"slow_spawn_timeout": 0})'
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
        found = [*_hub(http, url), *_rights(http, url, user), *_proxy(http, told)]
        if address := _service_of(told):
            found += service(http, address)
        return found


def examine_service(url: str, token: str) -> list[Finding]:
    """Look at the shared service at this address, such as from outside of any server."""
    import httpx

    headers = {"Authorization": f"token {token}"}
    with httpx.Client(headers=headers, timeout=SECONDS) as http:
        return [*service(http, f"{url.rstrip('/')}/")]


def service(http: "httpx.Client", address: str) -> Iterator[Finding]:
    """Look at the shared service: whether it is there, lets us in, and has what it needs."""
    import httpx

    about = "shared service"
    try:
        there = http.get(f"{address}health/live")
        me = http.get(f"{address}me")
    except httpx.HTTPError:
        yield Finding(about, BAD, f"cannot be reached at {address}.", "Ask whoever runs the Hub.")
        return
    if there.status_code == 404 or not _is_ours(there):
        fix = "Its administrator adds what is printed by: easymlnb hub config"
        if there.status_code in (502, 503, 504):
            yield Finding(about, BAD, f"does not answer at {address}.", "The Hub's log says why.")
        else:
            yield Finding(about, NOTE, "this Hub has none.", fix)
        return
    if me.status_code != 200:
        fix = f"In jupyterhub_config.py, c.JupyterHub.load_roles: {USERS}, and {TOKENS}"
        yield Finding(about, BAD, "it does not let this token in.", fix)
        return
    told = me.json()
    yield Finding(about, OK, f"lets {told['name']} in at {address}")
    if not told["admin"]:
        says = "what it needs itself is shown to administrators of the Hub."
        yield Finding(about, NOTE, says)
        return
    yield from _needs(http.get(f"{address}hub").json())


def _needs(told: Mapping[str, Any]) -> Iterator[Finding]:
    """Return what the service says of itself to an administrator."""
    about = "shared service"
    if told["missing"]:
        fix = f"In jupyterhub_config.py, an entry of c.JupyterHub.load_roles: {ROLE}"
        yield Finding(about, BAD, f"it lacks the rights {', '.join(told['missing'])}.", fix)
    else:
        yield Finding(about, OK, "may start, stop and reach users' servers, and know who users are")
    if told["reached"]:
        yield Finding(about, OK, f"nodes dial it at {told['proxy']}")
    else:
        fix = 'c.JupyterHub.public_url = "https://..." or, for it alone, c.EasyMLNB.hub_proxy.'
        where = f"at {told['proxy']}" if told["proxy"] else "as the Hub does not say where"
        yield Finding(about, BAD, f"it does not reach itself through the proxy {where}.", fix)
    if told["slowest_start"] > SLOW:
        says = f"the Hub took {told['slowest_start']:g} s to answer that a server will start."
        yield Finding(about, BAD, says, f"In jupyterhub_config.py: {AT_ONCE}")
    from easymlnb._version import __version__

    if told["easymlnb"] != __version__:
        says = f"it is easymlnb {told['easymlnb']}, and here is {__version__}."
        yield Finding(about, BAD, says, "Install the same version in both environments.")
    else:
        yield Finding(about, OK, f"easymlnb {__version__}, JupyterHub {told['hub'] or '(away)'}")


def _is_ours(answer: "httpx.Response") -> bool:
    try:
        return bool(answer.json() == {"status": "ok"})
    except ValueError:
        return False


def _service_of(told: Mapping[str, str]) -> str:
    """Return where the shared service would be; empty if the proxy's address is not known."""
    parts = urlsplit(told.get("JUPYTERHUB_PUBLIC_URL", ""))
    if not parts.netloc:
        return ""
    base = told.get("JUPYTERHUB_BASE_URL") or "/"
    return f"{parts.scheme}://{parts.netloc}{base.rstrip('/')}/services/{SERVICE}/"


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
        fix = "An administrator sets c.EasyMLNB.placements of the Hub's shared service."
        yield Finding("placements", NOTE, "this server has none.", fix)
