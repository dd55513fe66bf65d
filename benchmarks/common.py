"""What the benchmarks share: servers that are measured, and a client that costs little itself."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
import nbformat
import psutil

TOKEN = "benchmark"
HERE = Path(__file__).parent


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 60.0) -> None:
    """Return when the URL answers 200."""
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, headers={"Authorization": f"token {TOKEN}"}).status_code == 200:
                return
        if time.monotonic() > until:
            raise TimeoutError(f"{url} did not answer within {seconds:g} s")
        time.sleep(0.05)


def wait_until(happens: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when this no longer raises; raises ``TimeoutError`` with what it raised last."""
    until = time.monotonic() + seconds
    while True:
        try:
            happens()
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            if time.monotonic() > until:
                raise TimeoutError(f"It did not answer within {seconds:g} s: {error}") from error
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def process(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Run a server for the time of the block."""
    with (folder / "log").open("ab") as log:
        started = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        with contextlib.suppress(ProcessLookupError):
            # Some peers leave processes of theirs behind.
            os.killpg(started.pid, signal.SIGKILL)


@contextlib.contextmanager
def easymlnb(folder: Path, **settings: int) -> Iterator[str]:
    """Run ``easymlnb serve`` with its folders below ``folder``; yields the URL of its routes.

    ``settings`` are those of ``EasyMLNB``.
    """
    port = free_port()
    folders = {
        f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    command = [
        sys.executable, "-m", "easymlnb_server", f"--port={port}", "--no-browser", "--allow-root",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
        *(f"--EasyMLNB.{name}={value}" for name, value in settings.items()),
    ]  # fmt: skip
    with process(command, {**os.environ, **folders}, folder):
        url = f"http://127.0.0.1:{port}/easymlnb/"
        wait_for(f"{url}health/ready")
        yield url


def workers(url: str) -> list[psutil.Process]:
    """Return the processes of all workers of this server."""
    port = f":{httpx.URL(url).port}/"
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if "EASYMLNB_WORKER" in environment and port in environment.get("EASYMLNB_LINK", ""):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def server(url: str) -> psutil.Process:
    """Return the process of this server."""
    port = httpx.URL(url).port
    for process in psutil.process_iter(["cmdline"]):
        if f"--port={port}" in (process.info["cmdline"] or ()):
            return process
    raise RuntimeError("The server is gone.")


def publish(url: str, source: str, name: str) -> None:
    """Publish a notebook of one cell and wait until it serves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.ipynb"
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id="only")])
        nbformat.write(notebook, path)
        publish_notebook(url, path)


def publish_notebook(url: str, path: Path) -> None:
    """Publish a notebook and wait until it serves."""
    from easymlnb.publishing.bundle import build_bundle

    data = build_bundle(path).data
    with httpx.Client(base_url=url, headers={"Authorization": f"token {TOKEN}"}) as client:
        sent = client.post("services", content=data, headers={"Content-Type": "application/zip"})
        bundle = sent.raise_for_status().json()["bundle"]
        while (state := client.get(f"bundles/{bundle}").json())["state"] == "starting":
            time.sleep(0.1)
        if state["state"] != "ready":
            raise RuntimeError(state["error"])


@dataclass(frozen=True)
class Peer:
    """Something that is called: where, with which bodies in turn, and with which headers."""

    url: str
    bodies: list[bytes]
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    def answers(self) -> bytes:
        """Return its answer to the first body; raises ``RuntimeError`` by any but 200."""
        return Caller(self).call()


def service(url: str, name: str, bodies: list[bytes], media_type: str = "application/json") -> Peer:
    """Return one of our services as what is called, with the token."""
    headers = {"Content-Type": media_type, "Authorization": f"token {TOKEN}"}
    return Peer(f"{url}services/{name}/call", bodies, headers)


class Caller:
    """One kept-alive connection that sends the first body again and again."""

    def __init__(self, peer: Peer) -> None:
        parts = httpx.URL(peer.url)
        self._connection = http.client.HTTPConnection(parts.host, parts.port or 80, timeout=60)
        self._path = parts.raw_path.decode()
        self._peer = peer

    def call(self, **more: str) -> bytes:
        peer = self._peer
        self._connection.request("POST", self._path, peer.bodies[0], {**peer.headers, **more})
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(data.decode(errors="replace")[:500])
        return data

    def times(self, calls: int) -> list[float]:
        """Return the seconds of that many calls, one after the other."""
        found = []
        for _ in range(calls):
            began = time.perf_counter()
            self.call()
            found.append(time.perf_counter() - began)
        return found

    def p50(self, calls: int) -> float:
        """Return the median seconds of that many calls."""
        return median(self.times(calls))
