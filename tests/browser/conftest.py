"""A real JupyterLab and a real Chromium, once per session."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 180
PATIENCE = 60_000
"""Milliseconds that anything on a page may take where other work keeps the processors busy."""

if find_spec("playwright") is not None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)  # by itself it waits for 5 s

SHARE = Path(__file__).parents[2] / "server-extension/share/jupyter"

IMPORTS = """
import threading, time
from dataclasses import dataclass
from datetime import date, datetime, time as clock
from pathlib import Path
from typing import Annotated, Any, Iterator, Literal
import numpy as np, pandas as pd
from pydantic import Field
import easymlnb as ml

@dataclass
class Point:
    x: Annotated[float, Field(ge=0)]
    y: float = 0.5
"""

RUN_ALL = """async () => {
    const app = window.jupyterapp;
    // The notebook may be seen a moment before it is the current one.
    while (!app.shell.currentWidget?.sessionContext) await new Promise((go) => setTimeout(go, 50));
    const context = app.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
    app.shell.collapseLeft();
    // It resolves when all cells have run, which may be long after the test wants to look.
    app.commands.execute('notebook:run-all-cells');
}"""


class Lab:
    """A running JupyterLab whose notebooks lie in ``root``."""

    def __init__(self, root: Path, port: int, token: str, browser: Any) -> None:
        self.root = root
        self.url = f"http://127.0.0.1:{port}/"
        self.token = token
        self._browser = browser

    def open(
        self, name: str, cells: Sequence[str], *, width: int = 1400, height: int = 1000
    ) -> Any:
        """Write a notebook, open it in a page of its own and run all its cells."""
        write_notebook(self.root / f"{name}.ipynb", cells)
        page = self._browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{self.url}lab/workspaces/{name}/tree/{name}.ipynb?token={self.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
        page.evaluate(RUN_ALL)
        return page


class FormPage:
    """A page with a notebook whose (only) form is to be used; the notebook lies in ``root``."""

    def __init__(self, page: Any, root: Path) -> None:
        self.page = page
        self.root = root
        self.form = page.locator(".em-form")
        self.result = self.form.locator(".em-parts")

    def field(self, label: str) -> Any:
        """Return the innermost field with that label."""
        named = self.page.get_by_text(label, exact=True)
        return self.form.locator(".em-field").filter(has=named).last

    def input(self, label: str) -> Any:
        """Return the input that a screen reader calls by that label."""
        return self.form.get_by_label(label, exact=True)

    def run(self) -> None:
        self.form.locator(".em-primary").click()

    def in_new_cell(self, code: str) -> None:
        """Run code in a cell of its own below the last one, as an author does meanwhile."""
        self.page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt").click()
        # A key that comes too early would be a command of JupyterLab.
        self.page.locator(".jp-Notebook.jp-mod-commandMode").wait_for()
        self.page.keyboard.press("b")
        fresh = self.page.locator(".jp-CodeCell.jp-mod-active").filter(has_text="[ ]:")
        fresh.wait_for()
        self.page.keyboard.press("Enter")
        fresh.locator(".cm-content:focus").wait_for()
        self.page.keyboard.type(code)
        self.page.keyboard.press("Shift+Enter")


def keep_screenshot(page: Any) -> None:
    """Keep how a page looks at its end where ``EASYMLNB_SHOTS`` says, for people to look at."""
    folder = os.environ.get("EASYMLNB_SHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{Path(page.url.partition('?')[0]).stem}.png")


@pytest.fixture
def open_form(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., FormPage]]:
    """Open cells as a notebook named after the test; a dialog opened by anything fails it."""
    pages: list[Any] = []
    alarms: list[str] = []

    def alarm(dialog: Any) -> None:
        alarms.append(dialog.message)
        dialog.dismiss()

    def start(*cells: str, **options: Any) -> FormPage:
        name = re.sub(r"\W+", "-", request.node.name)[-60:]
        page = lab.open(name, [IMPORTS, *cells], **options)
        pages.append(page)
        page.on("dialog", alarm)
        page.locator(".em-form .em-primary").first.wait_for(timeout=120_000)
        return FormPage(page, lab.root)

    yield start
    for page in pages:
        keep_screenshot(page)
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.close()
    assert not alarms


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    import nbformat

    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(book, path)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Lab]:
    """JupyterLab as a process of its own, with its own settings and an empty root."""
    if find_spec("jupyterlab") is None:
        pytest.skip("JupyterLab is not installed (pip install easymlnb[dev])")
    home = tmp_path_factory.mktemp("lab")
    root = home / "root"
    root.mkdir()
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    token, port = secrets.token_hex(16), _free_port()
    log = (home / "lab.log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
            *("--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}"),
            *(f"--ServerApp.root_dir={root}", "--expose-app-in-browser"),
        ],
        env=_environment(home),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/api?token={token}", process, home / "lab.log")
        yield Lab(root, port, token, chromium)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _environment(home: Path) -> dict[str, str]:
    own = {
        f"JUPYTER_{name}": str(home / folder)
        for name, folder in (
            ("CONFIG_DIR", "config"),
            ("DATA_DIR", "data"),
            ("RUNTIME_DIR", "runtime"),
        )
    }
    own["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    own["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    # The lab extension of this tree, whatever is installed.
    own["JUPYTER_PATH"] = str(SHARE)
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **own, "IPYTHONDIR": str(home / "ipython")}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait_until_up(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                json.load(answer)
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")
