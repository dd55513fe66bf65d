"""Find the server: given by arguments, by the environment, or running on this machine.

A Jupyter server leaves ``jpserver-<pid>.json`` with its URL and token in Jupyter's runtime folder,
readable for its owner only; that makes a kernel, a terminal and a script on the same machine find
it without anybody copying a token.
"""

import ipaddress
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from easymlnb.contract.errors import ServerUnreachable

PROBE_SECONDS = 2.0
"""How long one candidate may take to answer before the next is tried."""

SHARED = "/services/easymlnb/"
"""Path at the Hub's proxy of the service that all users of a Hub share."""

# What a browser shows behind the base URL; people copy it from the address bar.
_PAGES = re.compile(r"/(?:lab|tree|notebooks|edit|doc|consoles|terminals)(?:/.*)?\Z")


@dataclass(frozen=True, slots=True)
class Server:
    """Where easymlnb answers.

    ``url`` ends in ``/easymlnb/``; ``token`` is empty when none is needed.
    """

    url: str
    token: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that log in there."""
        return {"Authorization": f"token {self.token}"} if self.token else {}

    @property
    def shared(self) -> bool:
        """Say whether it is where a Hub has the service that all its users share."""
        return urlsplit(self.url).path.endswith(SHARED)

    @property
    def local(self) -> bool:
        """Say whether it is this very machine, where an HTTP proxy must not come between."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def find(url: str | None = None, token: str | None = None) -> Server:
    """Return the server to use.

    ``url`` (a server's base URL, its catalog, or the address of a JupyterLab page) and ``token``
    count first, then ``EASYMLNB_URL`` and ``EASYMLNB_TOKEN``, then the running server in Jupyter's
    runtime folder: the one that started this process, else the newest that answers.
    A server that was named is not asked whether it is there.

    Raises ``ServerUnreachable`` with what to do when there is none, or when ``url`` is not http(s).
    """
    named = url or os.environ.get("EASYMLNB_URL")
    if named:
        return _named(named, token, explicit=bool(url))
    for candidate in _running():
        server = Server(candidate.url, token or candidate.token or _environment_token())
        if answers(server):
            return server
    raise ServerUnreachable(
        "No running server with easymlnb was found on this machine. Start one with 'easymlnb "
        "serve' (or 'jupyter lab'), or set --url and --token, or the variables EASYMLNB_URL and "
        "EASYMLNB_TOKEN."
    )


def answers(server: Server, seconds: float = PROBE_SECONDS) -> bool:
    """Say whether easymlnb answers there within ``seconds``."""
    import httpx

    try:
        answer = httpx.get(
            server.url + "health/live",
            headers=server.headers,
            timeout=seconds,
            trust_env=not server.local,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return False
    return answer.status_code == 200


def base(url: str) -> str:
    """Return the base of easymlnb's routes, given any address of a server.

    Raises ``ServerUnreachable`` when it is no http(s) URL.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServerUnreachable(
            f"Invalid server URL {url.split('?')[0]!r}. Use a URL such as 'http://localhost:8888/'."
        )
    path = parts.path.rstrip("/")
    inside = path.find("/easymlnb/")
    if inside >= 0:
        path = path[: inside + len("/easymlnb")]
    elif not path.endswith("/easymlnb"):
        path = _PAGES.sub("", path) + "/easymlnb"
    return urlunsplit((parts.scheme, parts.netloc, path + "/", "", ""))


def _named(url: str, token: str | None, explicit: bool) -> Server:
    found = base(url)
    in_url = parse_qs(urlsplit(url.strip()).query).get("token", [""])[0]
    # A token of one server is not shown to another.
    default = os.environ.get("EASYMLNB_URL")
    ours = not explicit or not default or base(default) == found
    known = token or in_url or (_environment_token() if ours else "")
    if not known:
        known = next((server.token for server in _running() if server.url == found), "")
    return Server(found, known)


def _environment_token() -> str:
    return os.environ.get("EASYMLNB_TOKEN", "")


def _running() -> Iterator[Server]:
    """Yield the servers in Jupyter's runtime folder: this process's own, then newest first."""
    from jupyter_core.paths import jupyter_runtime_dir

    # A kernel is told of its server by Jupyter, a terminal by easymlnb.
    parent = os.environ.get("JPY_PARENT_PID") or os.environ.get("EASYMLNB_SERVER_PID", "")
    files = sorted(
        Path(jupyter_runtime_dir()).glob("jpserver-*.json"),
        key=lambda file: (file.stem == f"jpserver-{parent}", _changed(file)),
        reverse=True,
    )
    for file in files:
        info = _read(file)
        if not str(info.get("url", "")).startswith(("http://", "https://")):
            continue  # unix sockets, half-written files
        if not _alive(info.get("pid")):
            continue
        token = str(info.get("token") or "")
        if not token and file.stem == f"jpserver-{parent}":
            # On a Hub the Hub's token opens the server that it was given to.
            token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
        yield Server(base(str(info["url"])), token)


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    if os.name != "posix":  # signal 0 would end a process on Windows; the probe decides there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
