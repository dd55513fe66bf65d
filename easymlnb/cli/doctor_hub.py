"""``easymlnb doctor --hub``: check whether this user's server can use nodes of its Hub."""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from easymlnb.cli.doctor import BAD, NOTE, OK, CheckResult, verdict
from easymlnb.contract.hub_config import OWN_TOKENS, ROLE, TOKENS, USERS

if TYPE_CHECKING:
    import httpx

SECONDS = 10.0
SLOW = 2.0
"""Seconds above which the Hub seems to wait for a start instead of responding immediately."""
NO_WAIT = 'c.JupyterHub.tornado_settings.update({"slow_spawn_timeout": 0})'
NEEDED = ("servers", "access:servers")
"""Scopes for the user's own servers that are needed to start and reach nodes."""


def examine(environment: Mapping[str, str] | None = None) -> list[CheckResult]:
    """Check the Hub of the server in which this runs."""
    variables = os.environ if environment is None else environment
    url, user = variables.get("JUPYTERHUB_API_URL", ""), variables.get("JUPYTERHUB_USER", "")
    if not url or not user:
        fix = "Run this command in a terminal of a server that the Hub started."
        return [CheckResult("hub", BAD, "this server was not started by a JupyterHub.", fix)]
    import httpx

    from easymlnb.client.hub import shared_service_url

    token = variables.get("JUPYTERHUB_API_TOKEN", "")
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(headers=headers, timeout=SECONDS) as http:
        found = [*_hub(http, url), *_rights(http, url, user), *_proxy(http, variables)]
        if address := shared_service_url(variables):
            found += service(http, address)
        return found


def examine_service(url: str, token: str) -> list[CheckResult]:
    """Check the shared service at this URL, also from outside the Hub's servers."""
    import httpx

    headers = {"Authorization": f"token {token}"}
    with httpx.Client(headers=headers, timeout=SECONDS) as http:
        return [*service(http, f"{url.rstrip('/')}/")]


def service(http: "httpx.Client", address: str) -> Iterator[CheckResult]:
    """Check the shared service: whether it exists, accepts the token, and has its requirements."""
    import httpx

    about = "shared service"
    try:
        health = http.get(f"{address}health/live")
        me = http.get(f"{address}me")
    except httpx.HTTPError:
        yield CheckResult(
            about, BAD, f"not reachable at {address}.", "Ask the Hub's administrator."
        )
        return
    if health.status_code == 404 or not _is_ours(health):
        fix = "The Hub's administrator can add the output of: easymlnb hub config"
        if health.status_code in (502, 503, 504):
            yield CheckResult(
                about, BAD, f"no response at {address}.", "See the Hub's log for the cause."
            )
        else:
            yield CheckResult(about, NOTE, "this Hub has no shared service.", fix)
        return
    if me.status_code != 200:
        fix = f"In jupyterhub_config.py, c.JupyterHub.load_roles: {USERS}, and {TOKENS}"
        yield CheckResult(about, BAD, "the shared service rejects this token.", fix)
        return
    user = me.json()
    yield CheckResult(about, OK, f"accepts {user['name']} at {address}")
    if not user["admin"]:
        yield CheckResult(about, NOTE, "only administrators of the Hub can check its requirements.")
        return
    yield from _needs(http.get(f"{address}hub").json())


def _needs(state: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Check what the service reports to administrators."""
    about = "shared service"
    missing = f"missing scopes: {', '.join(state['missing'])}." if state["missing"] else ""
    fix = f"In jupyterhub_config.py, an entry of c.JupyterHub.load_roles: {ROLE}"
    can = "can start, stop and reach users' servers, and read users"
    yield verdict(about, missing, fix, can)
    where = f"at {state['proxy']}" if state["proxy"] else "because its URL is unknown"
    lost = f"the service cannot reach itself through the proxy {where}."
    fix = 'Set c.JupyterHub.public_url = "https://...", or c.EasyMLNB.hub_proxy for the service.'
    yield verdict(about, "" if state["reached"] else lost, fix, f"nodes connect {where}")
    if state["slowest_start"] > SLOW:
        says = f"the Hub took {state['slowest_start']:g} s to accept the start of a server."
        yield CheckResult(about, BAD, says, f"In jupyterhub_config.py: {NO_WAIT}")
    from easymlnb._version import __version__

    skew = f"its easymlnb is {state['easymlnb']}, but the local one is {__version__}."
    yield verdict(
        about,
        "" if state["easymlnb"] == __version__ else skew,
        "Install the same version in both environments.",
        f"easymlnb {__version__}, JupyterHub {state['hub'] or '(unavailable)'}",
    )


def _is_ours(answer: "httpx.Response") -> bool:
    try:
        return bool(answer.json() == {"status": "ok"})
    except ValueError:
        return False


def _hub(http: "httpx.Client", url: str) -> Iterator[CheckResult]:
    import httpx

    try:
        version = str(http.get(f"{url}/").json().get("version", "?"))
    except (httpx.HTTPError, ValueError):
        yield CheckResult("hub", BAD, f"no response at {url}.", "Ask the Hub's administrator.")
        return
    major = version.split(".")[0]
    problem = f"JupyterHub {version}" if major.isdecimal() and int(major) < 5 else ""
    fix = "Nodes require JupyterHub 5.3 or newer."
    yield verdict("hub", problem, fix, f"JupyterHub {version} at {url}")


def _rights(http: "httpx.Client", url: str, user: str) -> Iterator[CheckResult]:
    import httpx

    try:
        answer = http.get(f"{url}/user")
        scopes = answer.json().get("scopes", []) if answer.status_code == 200 else []
    except (httpx.HTTPError, ValueError):
        return
    missing = [name for name in NEEDED if not _holds(scopes, name, user)]
    says = f"this server cannot start and reach nodes (missing scopes: {', '.join(missing)})."
    fix = f"In jupyterhub_config.py, then restart this server: {OWN_TOKENS}"
    success = f"can start and reach servers of {user}"
    yield verdict("rights", says if missing else "", fix, success)


def _holds(scopes: list[str], name: str, user: str) -> bool:
    return any(scope in (name, f"{name}!user={user}", f"{name}!user") for scope in scopes)


def _proxy(http: "httpx.Client", variables: Mapping[str, str]) -> Iterator[CheckResult]:
    import httpx

    parts = urlsplit(variables.get("JUPYTERHUB_PUBLIC_URL", ""))
    if not parts.netloc:
        says = "the URL of the Hub's proxy is unknown."
        fix = "Set c.JupyterHub.public_url, or c.EasyMLNB.hub_proxy of the users' servers."
        yield CheckResult("proxy", NOTE, says, fix)
        return
    address = f"{parts.scheme}://{parts.netloc}{variables.get('JUPYTERHUB_SERVICE_PREFIX', '/')}"
    try:
        code = http.get(f"{address}easymlnb/health/live").status_code
    except httpx.HTTPError:
        code = 0
    problem = "" if code == 200 else f"this server is not reachable at {address}."
    fix = "If nodes need another URL, set c.EasyMLNB.hub_proxy."
    yield verdict("proxy", problem, fix, f"this server is reachable at {address}")


def placements(found: list[dict[str, Any]]) -> Iterator[CheckResult]:
    """Check the placements of a server."""
    for one in found:
        running = f"{len(one['nodes'])} node(s) running"
        yield verdict(f"placement {one['name']}", one.get("error") or "", "", running)
    if not found:
        fix = "An administrator can set c.EasyMLNB.placements of the Hub's shared service."
        yield CheckResult("placements", NOTE, "this server has no placements.", fix)
