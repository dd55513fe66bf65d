"""A real JupyterLab as a process of its own, and the forms in its notebooks."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest

from support.notebooks import make_notebook
from support.server import free_port

START_SECONDS = 180
PATIENCE = 60_000
"""Milliseconds that anything on a page may take where other work keeps the processors busy."""

if find_spec("playwright") is not None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)  # the default is 5 s

SHARE = Path(__file__).parents[2] / "server-extension/share/jupyter"

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
        nbformat.write(make_notebook(*cells), self.root / f"{name}.ipynb")
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


@contextmanager
def running_lab(home: Path, browser: Any) -> Iterator[Lab]:
    """Run JupyterLab with its own settings and an empty root."""
    root = home / "root"
    root.mkdir()
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    token, port = secrets.token_hex(16), free_port()
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
        yield Lab(root, port, token, browser)
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
