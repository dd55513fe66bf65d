"""Compare an app page with plain Voila: the same form and scikit-learn model, in real Chromium.

``python benchmarks/voila.py [--rounds N] [--pages N]``. Both servers run all the time and are
measured in turns. Voila renders a notebook that loads the model and shows the form in its own
kernel; here the model is in a worker and the form in a form kernel.
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import nbformat
import psutil
from common import TOKEN, easymlnb, free_port, process, publish, wait_for

MODEL = """
import pickle
from pathlib import Path
from typing import Annotated, Literal
from pydantic import Field
import easymlnb as ml
from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestRegressor

x, y = make_regression(500, 6, random_state=0)
model = RandomForestRegressor(100, random_state=0).fit(x, y)

@ml.service(title="Estimate")
def estimate(
    name: str = "a sample",
    width: Annotated[float, Field(ge=0, le=10)] = 1.0,
    height: Annotated[float, Field(ge=0, le=10)] = 2.0,
    depth: float = 3.0,
    mass: float = 1.0,
    age: Annotated[int, Field(ge=0, le=100)] = 5,
    kind: Literal["round", "square"] = "round",
    exact: bool = True,
) -> float:
    return float(model.predict([[width, height, depth, mass, age, kind == "round"]])[0])
"""
ECHO = """
import easymlnb as ml

@ml.service
def echo(text: str = "x") -> str:
    return f"<{text}>"
"""
READY = ".em-form .em-primary"
CLICK = """() => new Promise((done) => {
    const shown = document.querySelector(".em-form .em-parts");
    const began = performance.now();
    // The old result goes when the new one is there, so any change of the text is the answer.
    const before = shown.textContent;
    const watch = new MutationObserver(() => {
        if (shown.textContent === before) return;
        watch.disconnect();
        done(performance.now() - began);
    });
    watch.observe(shown, { childList: true, subtree: true, characterData: true });
    document.querySelector(".em-form .em-primary").click();
})"""


@contextlib.contextmanager
def voila(folder: Path) -> Iterator[str]:
    """Run a Jupyter server with Voila and the notebook, without our extension."""
    root = folder / "root"
    root.mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(MODEL, id="only")],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(notebook, root / "form.ipynb")
    port = free_port()
    folders = {
        f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    command = [
        sys.executable, "-m", "jupyter_server", f"--port={port}", "--no-browser", "--allow-root",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
        "--ServerApp.jpserver_extensions=voila.server_extension=True",
    ]  # fmt: skip
    with process(command, {**os.environ, **folders, "EASYMLNB_URL": ""}, folder):
        url = f"http://127.0.0.1:{port}/"
        wait_for(f"{url}api/status", 180)
        yield url


class Side:
    """One of the two: where its page is, and which processes stand behind open pages."""

    def __init__(self, page: str, behind: str) -> None:
        self.page = page
        self.behind = behind
        self._server = f"--port={httpx.URL(page).port}"

    def client(self) -> httpx.Client:
        return httpx.Client(headers={"Authorization": f"token {TOKEN}"}, timeout=120)

    def first_byte(self) -> float:
        with self.client() as client:
            began = time.perf_counter()
            with client.stream("GET", self.page) as answer:
                parts = answer.iter_raw()
                next(parts)
                took = time.perf_counter() - began
                # Voila renders the page only while a client reads it.
                for _ in parts:
                    pass
            return took

    def memory(self) -> int:
        """Return the bytes that the processes behind open pages have to themselves."""
        total = 0
        for one in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                mine = self._server in (one.parent() or one).cmdline()
                if mine and self.behind in one.cmdline():
                    total += one.memory_full_info().uss
        return total


def load(browser: Any, page: str, visits: int) -> tuple[int, list[float]]:
    """Return the bytes of a first visit, and the seconds until the form is there of later ones."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    # A cookie for what the page asks for itself.
    context.set_extra_http_headers({"Authorization": f"token {TOKEN}"})
    found: list[float] = []
    size = 0
    for visit in range(visits + 1):
        tab = context.new_page()
        network = context.new_cdp_session(tab)
        network.send("Network.enable")
        sizes: list[int] = []
        network.on("Network.loadingFinished", lambda e, to=sizes: to.append(e["encodedDataLength"]))
        began = time.perf_counter()
        tab.goto(page, wait_until="commit", timeout=120_000)
        tab.wait_for_selector(READY, timeout=120_000)
        took = time.perf_counter() - began
        if visit:
            found.append(took)
        else:
            tab.wait_for_timeout(2000)
            size = int(sum(sizes))
        tab.close(run_before_unload=True)
    context.close()
    return size, found


def clicks(browser: Any, page: str, count: int) -> float:
    """Return the median milliseconds from a click to its answer."""
    context = browser.new_context()
    context.set_extra_http_headers({"Authorization": f"token {TOKEN}"})
    tab = context.new_page()
    tab.goto(page)
    tab.wait_for_selector(READY, timeout=60_000)
    field = tab.get_by_label("Text", exact=True).first
    found = []
    for number in range(count + 3):
        field.fill(f"value {number}")
        field.press("Tab")
        tab.wait_for_timeout(250)
        found.append(tab.evaluate(CLICK))
        tab.wait_for_timeout(250)
    context.close()
    return float(median(found[3:]))


def open_pages(side: Side, count: int) -> tuple[float, float]:
    """Open ``count`` more pages at once.

    Returns the memory that each page added, in bytes, and the average memory per open page.
    """
    before = side.memory()
    for _ in range(count):
        with side.client() as client:
            assert re.search("kernelId", client.get(side.page).text)
    time.sleep(3)
    after = side.memory()
    return (after - before) / count, after / count


def row(what: str, mine: float, theirs: float, unit: str, scale: float = 1.0) -> None:
    """Print a row of the table."""
    both = f"{mine * scale:.3g} {unit} | {theirs * scale:.3g} {unit}"
    print(f"| {what} | {both} | {mine / theirs:.3f} |", flush=True)


def compare_visits(browser: Any, ours: Side, plain: Side, rounds: int) -> None:
    """Visit both pages in turns, and print times and sizes."""
    size_of: dict[str, int] = {}
    first: dict[str, list[float]] = {"ours": [], "plain": []}
    usable: dict[str, list[float]] = {"ours": [], "plain": []}
    for side in (ours, plain):
        side.first_byte()
    for _ in range(rounds):
        for name, side in (("ours", ours), ("plain", plain)):
            first[name].append(side.first_byte())
            size, seconds = load(browser, side.page, 1)
            size_of[name] = size
            usable[name] += seconds
    row("first byte", median(first["ours"]), median(first["plain"]), "ms", 1000)
    row("form usable, second visit", median(usable["ours"]), median(usable["plain"]), "s")
    row("bytes of the first visit", size_of["ours"], size_of["plain"], "MB", 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--voila-pages", type=int, default=6)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        ours_url = stack.enter_context(easymlnb(folders[0]))
        publish(ours_url, MODEL, "estimate")
        publish(ours_url, ECHO, "echo")
        plain_url = stack.enter_context(voila(folders[1]))
        ours = Side(f"{ours_url}apps/estimate", "easymlnb.apps.form_kernel")
        plain = Side(f"{plain_url}voila/render/form.ipynb", "ipykernel_launcher")
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        print("| | app page | plain Voila | ratio |", flush=True)
        compare_visits(browser, ours, plain, options.rounds)
        answer = clicks(browser, f"{ours_url}apps/echo", 30)
        print(f"| click to answer, p50 | {answer:.0f} ms | | |", flush=True)
        browser.close()
        added, share = open_pages(ours, options.pages)
        # Each of its pages has a kernel of its own, so what one adds is its share.
        theirs, _ = open_pages(plain, options.voila_pages)
        row("memory that a page adds", added, theirs, "MB", 1e-6)
        row("memory per page, with the kernels", share, theirs, "MB", 1e-6)


if __name__ == "__main__":
    main()
