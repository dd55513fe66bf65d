"""Two processes of the shared service behind a load balancer: one active, one on standby."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.hub.hub import free_ports
from support.hub.shared_service import ServiceHub
from support.standby_pair import LEASE

PREFIX = "/services/easymlnb/"
BY_OTHERS = """
# It is started by others, behind a load balancer.
service = c.JupyterHub.services[-1]
del service["command"]
service |= {service!r}
"""


class LoadBalancer:
    """Sends connections to the port whose ``health/ready`` answers 200."""

    def __init__(self, port: int, targets: tuple[int, ...]) -> None:
        self.port = port
        self._targets = targets
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        await self._over.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.1)  # what was closed is gone some turns of the loop later

    async def _serve(self, asks: asyncio.StreamReader, answered: asyncio.StreamWriter) -> None:
        port = await self._ready()
        if not port:
            answered.close()
            return
        answers, asked = await asyncio.open_connection("127.0.0.1", port)
        pumps = [_pump(asks, asked), _pump(answers, answered)]
        ways = [asyncio.ensure_future(one) for one in pumps]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (asked, answered):
                writer.close()

    async def _ready(self) -> int:
        """Return the port of the active process, or 0."""
        async with httpx.AsyncClient() as http:
            for port in self._targets:
                with contextlib.suppress(httpx.TransportError):
                    url = f"http://127.0.0.1:{port}{PREFIX}health/ready"
                    if (await http.get(url, timeout=5)).status_code == 200:
                        return port
        return 0


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(2**16):
            target.write(data)
            await target.drain()


@dataclass
class Served:
    """One process of the service."""

    folder: Path
    port: int
    environment: dict[str, str]
    options: list[str]
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}{PREFIX}"

    @property
    def log(self) -> str:
        return self.folder.with_suffix(".log").read_text(errors="replace")

    def start(self) -> None:
        command = [str(Path(sys.executable).with_name("easymlnb")), "hub", "serve"]
        command += self.options
        with self.folder.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    @property
    def active(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}health/ready", timeout=60).status_code == 200
        return False


@dataclass
class TwoServices(ServiceHub):
    """A Hub whose shared service is two processes on this ``database``."""

    database: str = ""
    both: list[Served] = field(default_factory=list)

    def start(self) -> None:
        ingress, *ports = free_ports(3)
        self.balancer = LoadBalancer(ingress, tuple(ports))
        self.secret = secrets.token_hex(16)
        self._configure()
        with Path(self.variables["TEST_HUB_BLOCK"]).open("a") as block:
            told = {"url": f"http://127.0.0.1:{ingress}", "api_token": self.secret}
            block.write(BY_OTHERS.format(service=told))
        cookie = self.folder / "cookie"
        cookie.write_text(secrets.token_hex(32))
        cookie.chmod(0o600)
        options = ["--config", str(self.folder / "service.json")]
        options += [f"--ServerApp.cookie_secret_file={cookie}"]
        options += [f"--EasyMLNB.database_url={self.database}"]
        options += ["--state-dir", str(self.folder / "state")]
        options += [f"--EasyMLNB.lease_seconds={LEASE}"]
        self.balancer.start()
        for name, port in zip(("one", "two"), ports, strict=True):
            environment = self._environment(port)
            self.both.append(Served(self.folder / name, port, environment, options))
            self.both[-1].start()
        super().start()
        self.wait_for(lambda: any(one.active for one in self.both), "no process is active")

    def stop(self) -> None:
        for one in self.both:
            one.stop()
        super().stop()
        self.balancer.stop()

    def _environment(self, port: int) -> dict[str, str]:
        """Return what the Hub would give to a service that it starts itself."""
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("JUPYTER", "EASYMLNB", "JPY_"))
        }
        told = {
            "SERVICE_NAME": "easymlnb",
            "SERVICE_PREFIX": PREFIX,
            "SERVICE_URL": f"http://127.0.0.1:{port}",
            "API_TOKEN": self.secret,
            "API_URL": f"http://127.0.0.1:{self.ports[1]}/hub/api",
            "CLIENT_ID": "service-easymlnb",
            "BASE_URL": "/",
            "OAUTH_ACCESS_SCOPES": json.dumps(["access:services!service=easymlnb"]),
            "PUBLIC_URL": f"{self.url}{PREFIX}",
        }
        return own | {f"JUPYTERHUB_{name}": value for name, value in told.items()}

    def roles(self) -> tuple[Served, Served]:
        """Return the active process and the one on standby."""
        active = self.wait_for(
            lambda: [one for one in self.both if one.active], "no process is active"
        )
        assert len(active) == 1, "both processes are active"
        return active[0], next(one for one in self.both if one is not active[0])


def running(made: TwoServices) -> Iterator[TwoServices]:
    try:
        made.start()
        yield made
    finally:
        made.stop()


def kernels(hub: ServiceHub, user: str, token: str, node: str) -> list[dict[str, Any]]:
    """Return what one of a user's nodes carries."""
    url = f"{hub.url}/user/{user}/{node}/easymlnb/node"
    answer = httpx.get(url, headers={"Authorization": f"token {token}"}, timeout=60)
    found: list[dict[str, Any]] = answer.json()["kernels"]
    return found
