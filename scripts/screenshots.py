"""Take the screenshots of the documentation: JupyterLab with a form, an app page, the catalog.

Starts JupyterLab in a temporary folder, publishes three services, and visits them with Chromium.
The images are not in git; the documentation builds without them.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs/_static/screenshots"
SHARE = ROOT / "server-extension/share/jupyter"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 180.0
PAGE_SECONDS = 120.0
DESKTOP = (1280, 860)
LAB = (1280, 1240)
PHONE = (390, 844)

COOLING = '''
import numpy as np
import plotly.graph_objects as go
from typing import Annotated, Literal

import easymlnb as ml

HOURS = {"poor": 8, "average": 20, "good": 60}


@ml.service(
    title="Cooling of a room",
    tags=["energy", "physics"],
    author="Building physics group",
    examples=[{"outside": 0, "hours": 24}],
)
def cooling(
    outside: Annotated[float, ml.Slider(-20, 20, 1, unit="°C")] = 0,
    hours: Annotated[int, ml.Slider(1, 48, unit="h")] = 24,
    insulation: Literal["poor", "average", "good"] = "average",
) -> list[float]:
    """Estimate the temperature of a room after the heating is turned off.

    Args:
        outside: Temperature outside.
        insulation: How well the room keeps its heat.
    """
    time = np.arange(hours + 1)
    return list(outside + (21 - outside) * np.exp(-time / HOURS[insulation]))


@cooling.view
def show(result):
    figure = go.Figure(go.Scatter(y=result, mode="lines+markers"))
    figure.update_layout(xaxis_title="hours", yaxis_title="°C", height=320)
    return {"At the end, in °C": round(result[-1], 1), "Temperature": figure}
'''
WORDS = '''
import easymlnb as ml


@ml.service(
    title="Count words",
    tags=["text"],
    author="Text laboratory",
    examples=[{"text": "It rains. It pours."}],
)
def count_words(text: ml.LongText) -> dict[str, int]:
    """Count the words of a text, the most frequent first."""
    words = [word.strip(".,;:!?").lower() for word in text.split()]
    return {word: words.count(word) for word in sorted(set(words), key=words.count, reverse=True)}
'''
RUN_ALL = """async () => {
    const app = window.jupyterapp;
    while (!app.shell.currentWidget?.sessionContext) await new Promise((go) => setTimeout(go, 50));
    const context = app.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
    app.shell.collapseLeft();
    app.commands.execute('notebook:run-all-cells');
}"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running JupyterLab."""

    url: str
    token: str
    environment: dict[str, str]

    def page(self, path: str) -> str:
        """Return the URL of a page, with the token."""
        return f"{self.url}{path}?token={self.token}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=TARGET, help="folder of the images")
    target: Path = parser.parse_args().target
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, run_server(Path(folder)) as server:
        root = Path(folder) / "root"
        for name, source in (("cooling", COOLING), ("words", WORDS)):
            write_notebook(root / f"{name}.ipynb", source)
        shutil.copy(ROOT / "notebooks/00_quickstart.ipynb", root / "dice.ipynb")
        for name in ("cooling", "words", "dice"):
            publish(server, root / f"{name}.ipynb")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
            )
            take(browser, server, target)
            browser.close()


def take(browser: Browser, server: Server, target: Path) -> None:
    """Take all screenshots."""
    lab(browser, server, target / "jupyterlab.png")
    app(browser, server, target / "app.png")
    app(browser, server, target / "dark.png", color_scheme="dark")
    app(browser, server, target / "phone.png", size=PHONE, device_scale_factor=2, is_mobile=True)
    catalog(browser, server, target / "catalog.png")


def lab(browser: Browser, server: Server, file: Path) -> None:
    """JupyterLab with the form under a cell."""
    page = new_page(browser, LAB)
    page.goto(server.page("lab/tree/cooling.ipynb"))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.evaluate(RUN_ALL)
    run = page.locator(".em-form .em-primary").first
    run.scroll_into_view_if_needed()
    run.click()
    page.locator(".em-form .js-plotly-plot").first.wait_for()
    page.locator(".jp-CodeCell").filter(has_text="@ml.service").first.evaluate(
        "cell => cell.scrollIntoView()"
    )
    shoot(page, file)


def app(browser: Browser, server: Server, file: Path, **options: Any) -> None:
    """The app page of a service after a run."""
    page = new_page(browser, **options)
    page.goto(server.page("easymlnb/apps/cooling"))
    run = page.locator(".em-primary").first
    run.wait_for()
    run.click()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    if "is_mobile" not in options:
        page.evaluate("window.scrollTo(0, 0)")
    shoot(page, file)


def catalog(browser: Browser, server: Server, file: Path) -> None:
    """The catalog of all services."""
    page = new_page(browser)
    page.goto(server.page("easymlnb/"))
    page.get_by_text("Cooling of a room").first.wait_for()
    shoot(page, file)


def new_page(browser: Browser, size: tuple[int, int] = DESKTOP, **options: Any) -> Any:
    """Return a page that is closed with the browser."""
    viewport: Any = {"width": size[0], "height": size[1]}
    page = browser.new_page(viewport=viewport, **options)
    page.set_default_timeout(PAGE_SECONDS * 1000)
    return page


def shoot(page: Any, file: Path) -> None:
    """Save what a page shows, once its fonts and animations are done."""
    page.evaluate("document.fonts.ready")
    page.screenshot(path=file, animations="disabled")
    page.close()
    print(file)


def write_notebook(file: Path, source: str) -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    # A blank line too many begins a cell, as it would begin a new part of a module.
    book.cells += [nbformat.v4.new_code_cell(part) for part in source.strip().split("\n\n\n")]
    nbformat.write(book, file)


def publish(server: Server, notebook: Path) -> None:
    """Publish a notebook, as its author would in a terminal."""
    settings = {"EASYMLNB_URL": server.url, "EASYMLNB_TOKEN": server.token}
    subprocess.run(
        [Path(sys.executable).parent / "easymlnb", "publish", notebook],
        env=server.environment | settings,
        stdout=subprocess.DEVNULL,
        check=True,
    )


@contextlib.contextmanager
def run_server(home: Path) -> Iterator[Server]:
    """Run JupyterLab with its own settings and an empty root."""
    (home / "root").mkdir()
    quiet = home / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    token, port = secrets.token_hex(16), free_port()
    server = Server(f"http://127.0.0.1:{port}/", token, environment(home))
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={home / 'root'}", "--expose-app-in-browser"),
    ]
    with (home / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=server.environment | {"JUPYTER_TOKEN": token},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_up(server, process, home / "lab.log")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(home: Path) -> dict[str, str]:
    own = {
        f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    own["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    own["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    own["IPYTHONDIR"] = str(home / "ipython")
    # The lab extension of this tree, whatever is installed.
    own["JUPYTER_PATH"] = str(SHARE)
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **own}


def wait_until_up(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(server.page("easymlnb/health/ready"), timeout=2):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    sys.exit(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


def find_chromium() -> str:
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    return found or sys.exit(
        "Chromium is not installed. Install it, for example: apt install chromium"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
