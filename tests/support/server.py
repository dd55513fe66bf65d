"""A real Jupyter server with the extension, in a process of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nbformat

from easymlnb.client.transport import LIMITS

TOKEN = "test-token-of-the-suite"
START_TIMEOUT = 180.0


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningServer:
    """A Jupyter server with the extension, in folders of its own.

    ``app_kernels``: form kernels that it keeps ready. Without any its app pages are off, and it
    starts in half the time.
    """

    folder: Path
    port: int
    base: str = "/"
    options: tuple[str, ...] = ()
    token: str = TOKEN
    app_kernels: int = 0
    process: subprocess.Popen[bytes] | None = None
    http: httpx.Client = field(default_factory=httpx.Client)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base}"

    @property
    def environment(self) -> dict[str, str]:
        folders = {
            f"JUPYTER_{name}_DIR": str(self.folder / name.lower())
            for name in ("CONFIG", "DATA", "RUNTIME")
        }
        return {**os.environ, **folders, "IPYTHONDIR": str(self.folder / "ipython")}

    @property
    def root(self) -> Path:
        """The folder of the notebooks."""
        path = self.folder / "root"
        path.mkdir(exist_ok=True)
        return path

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def start(self) -> None:
        command = [
            sys.executable, "-m", "easymlnb_server", f"--port={self.port}", "--no-browser",
            "--allow-root", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
            f"--ServerApp.base_url={self.base}", f"--ServerApp.root_dir={self.root}",
            f"--EasyMLNB.app_kernels={self.app_kernels}", *self.options,
        ]  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, cwd=self.root, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        headers = {"Authorization": f"token {self.token}"}
        base_url = f"{self.url}easymlnb/"
        self.http = httpx.Client(base_url=base_url, headers=headers, timeout=60, limits=LIMITS)
        try:
            self.wait_for(lambda: self._answers(), "the server did not start", START_TIMEOUT)
        except BaseException:
            self.stop()  # nobody else would: a fixture that fails has no end
            raise

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        try:
            return self.http.get("health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def wait_for(self, done: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        """Wait until ``done`` returns something true, and return that."""
        until = time.monotonic() + seconds
        while not (found := done()):
            assert time.monotonic() < until, f"{what}\n{self.log[-4000:]}"
            time.sleep(0.05)
        return found

    def call(self, name: str, **values: Any) -> httpx.Response:
        return self.http.post(f"services/{name}/call", json=values)

    def state(self, name: str) -> str | None:
        answer = self.http.get(f"services/{name}")
        return str(answer.json()["state"]) if answer.status_code == 200 else None

    def publish(
        self, notebook: nbformat.NotebookNode, name: str = "work.ipynb", **query: str
    ) -> dict[str, Any]:
        """Publish a notebook and wait for the end of it; returns the bundle's description."""
        return publish(self.http, self.wait_for, notebook, self.root / name, **query)


def publish(
    http: httpx.Client,
    wait_for: Callable[[Callable[[], Any], str, float], Any],
    notebook: nbformat.NotebookNode,
    path: Path,
    **query: str,
) -> dict[str, Any]:
    """Write a notebook, publish it, wait for the end of it; returns the bundle's description."""
    from easymlnb.publishing.bundle import build_bundle

    nbformat.write(notebook, path)
    data, headers = build_bundle(path).data, {"Content-Type": "application/zip"}
    sent = http.post("services", content=data, headers=headers, params=query)
    assert sent.status_code in (200, 202), sent.text
    bundle = sent.json()["bundle"]

    def settled() -> dict[str, Any] | None:
        found = http.get(f"bundles/{bundle}").json()
        return found if found["state"] != "starting" else None

    found: dict[str, Any] = wait_for(settled, "the bundle did not settle", 90)
    return found


@contextmanager
def running_server(
    folder: Path, *notebooks: nbformat.NotebookNode, **settings: Any
) -> Iterator[RunningServer]:
    """Run a server that serves these notebooks; ``settings`` are fields of ``RunningServer``."""
    server = RunningServer(folder, free_port(), **settings)
    server.start()
    try:
        for number, notebook in enumerate(notebooks):
            found = server.publish(notebook, f"work{number or ''}.ipynb")
            assert found["state"] == "ready", found
        yield server
    finally:
        server.stop()
