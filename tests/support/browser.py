"""Pages of a server in Chromium: windows that may reach that server only, and axe-core."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.server import RunningServer

SERVICES = '''
import os, time
from typing import Annotated, Literal
from pydantic import Field
import easymlnb as ml

@ml.service(public=True, author="Ann", license="MIT", examples=[{"text": "hi", "times": 2}])
def shout(text: str, times: Annotated[int, Field(ge=1, le=10)] = 3) -> str:
    """Say it *louder*."""
    return text.upper() * times

@ml.service
def whisper(text: str = "psst") -> str:
    """Not for everybody."""
    return text.lower()
'''


class Visit:
    """A visitor's browser window at one server; what goes elsewhere is stopped and noted."""

    def __init__(self, context: Any, server: RunningServer) -> None:
        self.server = server
        self.context = context
        self.elsewhere: list[str] = []
        self.alarms: list[str] = []
        context.set_default_timeout(60_000)
        context.route("**/*", self._guard)
        context.on("page", self._watch)

    def _guard(self, route: Any) -> None:
        url = route.request.url
        if url.startswith(f"http://127.0.0.1:{self.server.port}/"):
            route.continue_()
        else:
            self.elsewhere.append(url)
            route.abort()

    def _watch(self, page: Any) -> None:
        def alarm(dialog: Any) -> None:
            self.alarms.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", alarm)

    def log_in(self) -> None:
        page = self.context.new_page()
        page.goto(f"{self.server.url}easymlnb/?token={self.server.token}")
        page.close()

    def open(self, path: str, *, wait: bool = True) -> Any:
        """Open a page below our routes, and wait for its form."""
        page = self.context.new_page()
        words: list[str] = []
        page.on("console", lambda message: words.append(message.text[:300]))
        page.goto(f"{self.server.url}easymlnb/{path}")
        if wait:
            self._wait_for_form(page, words)
        return page

    def _wait_for_form(self, page: Any, console: list[str]) -> None:
        for last in (False, True):
            try:
                page.locator("html[data-ready] .em-primary").wait_for(timeout=90_000)
                return
            except Exception:
                # Hub tests create network interfaces, at which Chromium breaks off all requests.
                if not last and any("ERR_NETWORK_CHANGED" in text for text in console):
                    console.clear()
                    page.reload()
                    continue
                # For the reader of the failure: what the page shows instead.
                body = page.locator("body").inner_text()
                print(body, *console, self.server.log[-3000:], sep="\n")
                raise


@contextmanager
def visit(chromium: Any, server: RunningServer, *, user: bool = False) -> Iterator[Visit]:
    """A browser of its own for one visitor; ``user`` logs in."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    try:
        made = Visit(context, server)
        if user:
            made.log_in()
        yield made
        assert made.elsewhere == []
        assert made.alarms == []
    finally:
        context.close()


def run(page: Any, **texts: str) -> Any:
    """Fill in texts by their labels, run, and return the element with the result."""
    for label, text in texts.items():
        page.get_by_label(label, exact=True).first.fill(text)
    page.locator(".em-form .em-primary").click()
    return page.locator(".em-form .em-parts")


def form_kernels(server: RunningServer) -> list[psutil.Process]:
    """Return the form kernels of a server."""
    assert server.process is not None
    found = []
    for child in psutil.Process(server.process.pid).children():
        try:
            if "easymlnb.apps.form_kernel" in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


def until(page: Any, expression: str, seconds: float = 60.0) -> None:
    """Wait until an expression holds in a page; its policy lets Playwright itself not wait so."""
    end = time.monotonic() + seconds
    while not _holds(page, expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(100)


def note(page: Any, expression: str) -> None:
    """Have a page note that an expression held: what passes may be over when somebody looks.

    ``until(page, "window.noted")`` then waits for it.
    """
    page.evaluate(
        "() => { window.noted = false;"
        f" const look = () => {{ window.noted ||= Boolean({expression}); }};"
        " new MutationObserver(look).observe(document.body,"
        " { subtree: true, childList: true, characterData: true, attributes: true }); }"
    )


def _holds(page: Any, expression: str) -> bool:
    from playwright.sync_api import Error

    try:
        return bool(page.evaluate(expression))
    except Error as error:
        # It is being loaded again.
        if "navigati" not in str(error):
            raise
        return False


AT_REST = """async () => {
  const ends = (one) => isFinite(one.effect.getComputedTiming().endTime);
  const moves = () => document.querySelector(".em-dim") || document.getAnimations().some(ends);
  for (let turn = 0; turn < 1200 && moves(); turn++) await new Promise((go) => setTimeout(go, 50));
  // A form gives names to what is new one frame later; a page that nobody sees draws none.
  const frame = () => new Promise((go) => { requestAnimationFrame(go); setTimeout(go, 1000); });
  await frame();
  await frame();
}"""
"""Waits until no former result is shown, which is pale, and nothing moves that comes to an end."""


def serious(page: Any) -> list[str]:
    """Return what keeps somebody from using a page once it is at rest, with the element of each."""
    if find_spec("axe_playwright_python") is None:
        pytest.skip("axe-core is not installed (pip install easymlnb[dev])")
    page.evaluate(AT_REST)
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run(document)")["violations"]
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def keep(page: Any, name: str) -> None:
    """Keep how a page looks where ``EASYMLNB_SHOTS`` says, for people to look at."""
    if folder := os.environ.get("EASYMLNB_SHOTS"):
        page.screenshot(path=Path(folder) / f"page-{name}.png", full_page=True)
