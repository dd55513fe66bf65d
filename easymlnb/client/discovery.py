"""Find the server: from arguments, from the environment, or running on this machine.

A Jupyter server writes ``jpserver-<pid>.json`` with its URL and token into Jupyter's runtime
folder, readable for its owner only. A kernel, a terminal and a script on the same machine find the
server by it, and no one has to copy a token.
"""

import ipaddress
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from easymlnb.contract import api_keys
from easymlnb.contract.errors import NotLoggedIn, ServerUnreachable

if TYPE_CHECKING:
    import httpx

PROBE_SECONDS = 2.0
"""How long one candidate may take to respond before the next is tried."""

SHARED = "/services/easymlnb/"
"""Path of a Hub's shared service at the Hub's proxy."""

# What a browser shows behind the base URL; people copy it from the address bar.
_PAGES = re.compile(r"/(?:lab|tree|notebooks|edit|doc|consoles|terminals)(?:/.*)?\Z")


@dataclass(frozen=True, slots=True)
class Server:
    """A server with easymlnb.

    ``url`` ends in ``/easymlnb/``; ``token`` is empty if none is needed. ``scheme`` is how it is
    sent, and ``cafile`` has the certificate of a server that workers reach by its local address.
    """

    url: str
    token: str = field(default="", repr=False)
    scheme: str = "token"
    cafile: str = ""

    def __post_init__(self) -> None:
        if api_keys.is_key(self.token) and not api_keys.is_complete(self.token):
            raise NotLoggedIn(api_keys.TYPO)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate a request."""
        return {"Authorization": f"{self.scheme} {self.token}"} if self.token else {}

    @property
    def shared(self) -> bool:
        """Whether this is a Hub's shared service."""
        return urlsplit(self.url).path.endswith(SHARED)

    @property
    def local(self) -> bool:
        """Whether it is this machine, which is reached without an HTTP proxy."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def find(url: str | None = None, token: str | None = None) -> Server:
    """Return the server to use.

    ``url`` (a server's base URL, its catalog, or the address of a JupyterLab page) and ``token``
    come first, then ``EASYMLNB_URL`` and ``EASYMLNB_TOKEN``, then the running server in Jupyter's
    runtime folder: the one that started this process, else the newest that responds.
    A given server is not probed.

    Raises ``ServerUnreachable`` with what to do if there is none, or if ``url`` is not http(s).
    """
    named = url or os.environ.get("EASYMLNB_URL")
    if named:
        return _named(named, token, explicit=bool(url))
    for candidate in _running():
        server = Server(candidate.url, token or candidate.token or _environment_token())
        if is_alive(server):
            return server
    raise ServerUnreachable(
        "No running server with easymlnb was found on this machine. Start one with 'easymlnb "
        "serve' (or 'jupyter lab'), or set --url and --token, or the variables EASYMLNB_URL and "
        "EASYMLNB_TOKEN."
    )


def is_alive(server: Server, seconds: float = PROBE_SECONDS) -> bool:
    """Return whether easymlnb responds there within ``seconds``."""
    response = probe(server, "health/live", seconds)
    return response is not None and response.status_code == 200


def is_ready(server: Server, seconds: float = PROBE_SECONDS) -> bool:
    """Return whether easymlnb there serves published services."""
    response = probe(server, "health/ready", seconds)
    return response is not None and response.status_code == 200


def probe(server: Server, path: str, seconds: float) -> "httpx.Response | None":
    """Get a route of a server; ``None`` if the server cannot be reached within ``seconds``."""
    import httpx

    try:
        return httpx.get(
            server.url + path, headers=server.headers, timeout=seconds, trust_env=not server.local
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return None


def api_base(url: str) -> str:
    """Return the base of easymlnb's routes, given any address of a server.

    Raises ``ServerUnreachable`` if it is not an http(s) URL.
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
    found = api_base(url)
    in_url = parse_qs(urlsplit(url.strip()).query).get("token", [""])[0]
    if api_keys.is_key(in_url):
        raise NotLoggedIn(
            "API keys are not accepted in URLs, which end up in logs. Pass the key as token=, or "
            "set EASYMLNB_TOKEN."
        )
    # One server must not receive the token of another.
    default = os.environ.get("EASYMLNB_URL")
    ours = not explicit or not default or api_base(default) == found
    known = token or in_url or (_environment_token() if ours else "")
    if not known:
        known = next((server.token for server in _running() if server.url == found), "")
    return Server(found, known)


def _environment_token() -> str:
    return os.environ.get("EASYMLNB_TOKEN", "")


def _running() -> Iterator[Server]:
    """Yield the servers in Jupyter's runtime folder: this process's own, then newest first."""
    import psutil
    from jupyter_core.paths import jupyter_runtime_dir

    # Jupyter names the server to a kernel, easymlnb to a terminal.
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
        if not isinstance(info.get("pid"), int) or not psutil.pid_exists(info["pid"]):
            continue
        token = str(info.get("token") or "")
        if not token and file.stem == f"jpserver-{parent}":
            # On a Hub, its token gives access to the server that received the token.
            token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
        yield Server(api_base(str(info["url"])), token)


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
