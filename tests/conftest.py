"""Fixtures that many tests share: a real server in a process of its own, real kernels in it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from hypothesis import HealthCheck, settings

from easymlnb.client.transport import LIMITS

TOKEN = "test-token-of-the-suite"
START_TIMEOUT = 180.0

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # A camera that films a test card.
    "--use-fake-device-for-media-stream",
]

ORDER = ("kernel", "server", "integration", "browser")


def pytest_configure() -> None:
    """Hear SIGINT although the parent ignores it, as a shell does for what it starts with ``&``.

    What tests start would inherit the deafness, and tests that interrupt it would hang.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # On a busy machine examples are slow, not wrong.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first, and those with a browser last.

    Playwright keeps an event loop running in the main thread while a browser is open, and
    ``asyncio.run`` of any later test would refuse to start another.
    """

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("browser"):
            return len(ORDER)
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return ORDER.index(folder) if folder in ORDER else -1

    items.sort(key=place)


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_notebook(*cells: str, skip: tuple[int, ...] = ()) -> nbformat.NotebookNode:
    """Return a notebook of code cells; those whose number is in ``skip`` are tagged so."""
    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    for number, source in enumerate(cells):
        cell = nbformat.v4.new_code_cell(source, id=f"cell-{number}")
        if number in skip:
            cell.metadata["tags"] = ["skip"]
        made.cells.append(cell)
    return made


@dataclass
class RunningServer:
    """A Jupyter server with the extension, in folders of its own."""

    folder: Path
    port: int
    base: str = "/"
    options: tuple[str, ...] = ()
    token: str = TOKEN
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
            f"--ServerApp.base_url={self.base}", f"--ServerApp.root_dir={self.root}", *self.options,
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

    def publish(self, notebook: nbformat.NotebookNode, name: str = "work.ipynb") -> dict[str, Any]:
        """Publish a notebook and wait for the end of it; returns the bundle's description."""
        return publish(self.http, self.wait_for, notebook, self.root / name)


def publish(
    http: httpx.Client,
    wait_for: Callable[[Callable[[], Any], str, float], Any],
    notebook: nbformat.NotebookNode,
    path: Path,
) -> dict[str, Any]:
    """Write a notebook, publish it, wait for the end of it; returns the bundle's description."""
    from easymlnb.publishing.bundle import make

    nbformat.write(notebook, path)
    sent = http.post(
        "services", content=make(path).data, headers={"Content-Type": "application/zip"}
    )
    assert sent.status_code in (200, 202), sent.text
    bundle = sent.json()["bundle"]

    def settled() -> dict[str, Any] | None:
        found = http.get(f"bundles/{bundle}").json()
        return found if found["state"] != "starting" else None

    found: dict[str, Any] = wait_for(settled, "the bundle did not settle", 90)
    return found


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that leave it as they found it."""
    server = RunningServer(tmp_path_factory.mktemp("server"), free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of the test's own, to be killed and restarted."""
    made = RunningServer(tmp_path, free_port())
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium of this machine."""
    path = next((one for one in CHROMIUM if Path(one).exists()), None) or shutil.which("chromium")
    if find_spec("playwright") is None:
        pytest.skip("playwright is not installed (pip install easymlnb[dev])")
    if path is None:
        pytest.skip("there is no Chromium on this machine (apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
