"""A Hub with the shared service, configured by what ``easymlnb hub config`` prints and no more."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from easymlnb.client.transport import LIMITS
from support.hub.hub import Hub, free_ports
from support.server import publish

PLACEMENTS = {
    "gpu": {"profile": "gpu", "idle": "10m", "max_workers": 2, "slots": 2},
    "local": {"idle": "5s", "max_workers": 4, "slots": 4},
}
SETTINGS = {
    "EasyMLNB": {
        "placements": PLACEMENTS,
        "app_kernels": 1,
        # The Hub notices only after 30 s that its service ended, and then has to start it.
        "orphan_timeout": 120.0,
        # Half a GPU each; before they are used up a worker has to start and to answer.
        "group_limits": {"students": {"workers": 1, "gpu_seconds_a_day": 20}},
    },
    "HubIdentity": {"cache_seconds": 5.0},
}
PATIENCE = 120.0
"""Seconds until the Hub has noticed that its service ended: it looks every 30."""


@dataclass
class ServiceHub(Hub):
    """A Hub that runs the shared service. ``settings`` are the service's."""

    settings: dict[str, Any] = field(default_factory=lambda: SETTINGS)

    def start(self) -> None:
        if "TEST_HUB_BLOCK" not in self.variables:
            self._configure()
        super().start()
        self.wait_until_ready()

    def _configure(self) -> None:
        settings = self.folder / "service.json"
        settings.write_text(json.dumps(self.settings))
        self.state = self.folder / "service"
        # In the Hub's own folder; nothing may import it in place of the package.
        (self.folder / "easymlnb.py").write_text("raise SystemExit('not the package')\n")
        block = self.folder / "block.py"
        command = [str(Path(sys.executable).with_name("easymlnb")), "hub", "config"]
        command += ["--public-url", self.url]
        command += ["--state-dir", str(self.state), "--config", str(settings)]
        command += ["--port", str(free_ports(1)[0])]
        block.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
        self.variables |= {"TEST_HUB_BLOCK": str(block)}

    @property
    def service_url(self) -> str:
        return f"{self.url}/services/easymlnb/"

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            try:
                answer = httpx.get(f"{self.service_url}health/ready", timeout=60)
                return answer.status_code == 200
            except httpx.TransportError:
                return False

        self.wait_for(ready, "the shared service did not start", PATIENCE)

    def member(self, name: str, scopes: list[str] | None = None) -> "Member":
        """Return somebody with a token of the Hub, as they make themselves for a script."""
        self.api.post(f"users/{name}")  # 409 where that user exists
        asked: dict[str, Any] = {"expires_in": 3600, "note": "test"}
        if scopes is not None:
            asked["scopes"] = scopes
        told = self.api.post(f"users/{name}/tokens", json=asked)
        told.raise_for_status()
        return Member(self, name, told.json()["token"], told.json()["id"])

    def service(self) -> psutil.Process:
        """Return the process of the service."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # such as one that the Hub has not missed yet
                words = child.cmdline()  # of the command, and of what it becomes
                if {"hub", "serve"} <= set(words) or "easymlnb_server.hub.shared_service" in words:
                    return child
        raise AssertionError(self.log[-3000:])

    def group(self, method: str, name: str, user: str) -> None:
        """Add somebody to a group (``POST``), or take them out (``DELETE``)."""
        answer = self.api.request(method, f"groups/{name}/users", json={"users": [user]})
        answer.raise_for_status()

    def kill_service(self) -> None:
        os.kill(self.service().pid, signal.SIGKILL)


@dataclass
class Member:
    """A user of the Hub, and a token of theirs."""

    hub: ServiceHub
    name: str
    token: str
    token_id: str

    def __post_init__(self) -> None:
        headers = {"Authorization": f"token {self.token}"}
        base_url = self.hub.service_url
        self.http = httpx.Client(base_url=base_url, headers=headers, timeout=90, limits=LIMITS)

    def publish(self, notebook: Any, path: Path) -> dict[str, Any]:
        """Publish a notebook and wait for the end of it; returns the bundle's description."""
        return publish(self.http, self.hub.wait_for_node, notebook, path)

    def call(self, name: str, **values: Any) -> httpx.Response:
        return self.http.post(f"services/{name}/call", json=values)

    def share(self, name: str, **who: Any) -> None:
        answer = self.http.put(f"services/{name}/access", json=who)
        assert answer.status_code == 200, answer.text


@contextlib.contextmanager
def logged_in(hub: ServiceHub, name: str) -> Iterator[httpx.Client]:
    """Log in as a browser does: led to the Hub by the service, and back."""
    with httpx.Client(follow_redirects=True, timeout=60) as browser:
        form = browser.get(hub.service_url)
        assert form.url.path == "/hub/login", form.url
        # JupyterHub's own cookie for the form; there may be one of each path.
        xsrf = next(one.value for one in browser.cookies.jar if one.name == "_xsrf")
        said = {"username": name, "password": hub.password, "_xsrf": xsrf or ""}
        page = browser.post(str(form.url), data=said)
        assert page.status_code == 200, page.text
        assert str(page.url) == hub.service_url
        yield browser
