"""What forms under cells of a real JupyterLab do with a call."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def test_progress_moves_the_notebook_stays_usable_and_stop_stops(open_form: Any) -> None:
    it = open_form(
        """
@ml.service
def slow(n: int = 10_000) -> int:
    for at in range(n):
        ml.progress(at / n, f"step {at}")
        time.sleep(0.02)
    return n
""",
    )
    it.run()
    bar = it.page.locator(".em-bar .progress-bar")
    it.page.locator(".em-line", has_text="step").wait_for()
    first = bar.evaluate("e => e.offsetWidth")
    it.page.wait_for_function(
        "first => document.querySelector('.em-bar .progress-bar').offsetWidth > first", arg=first
    )
    it.in_new_cell("print('answer is', 6 * 7)")
    it.page.get_by_text("answer is 42", exact=True).wait_for()
    assert it.page.locator(".em-running").count() == 1
    it.page.get_by_role("button", name="Stop").click()
    it.page.get_by_text("The call was stopped.").wait_for()
    it.page.locator(".em-running").wait_for(state="detached")
    it.input("N").fill("1")
    it.run()
    it.result.get_by_text("1", exact=True).wait_for()


@pytest.mark.skipif(
    int(version("ipykernel").split(".")[0]) < 7,
    reason="Kernels before ipykernel 7 read no clicks while a cell computes.",
)
def test_what_was_typed_counts_in_the_very_next_run_also_while_a_cell_computes(
    open_form: Any,
) -> None:
    it = open_form("@ml.service\ndef twice(n: int = 2) -> int: return 2 * n")
    it.run()
    it.result.get_by_text("4", exact=True).wait_for()
    it.in_new_cell("while not Path('enough').exists(): sum(range(1000))")
    for n in (5, 6, 7):
        it.input("N").fill(str(n))
        it.run()
        it.result.get_by_text(str(2 * n), exact=True).wait_for()
    (it.root / "enough").touch()


def test_results_are_drawn_and_nothing_in_them_runs(open_form: Any, tmp_path: Path) -> None:
    it = open_form(
        """
NASTY = "<img src=x onerror=alert(1)><script>alert(2)</script>"
from easymlnb.services.definition import define
from easymlnb.forms.call_protocol import Succeeded
from easymlnb.forms.form import Form
import base64
BIG = base64.b64encode(b"0123456789" * 300_000).decode()
FIGURE = {"data": [{"y": [1, 3, 2]}], "layout": {"title": {"text": NASTY}}}
class Ready:
    def start(self, values, on):
        on(Succeeded([
            {"kind": "number", "title": "cells", "data": 125},
            {"kind": "plotly", "title": "", "data": FIGURE},
            {"kind": "table", "title": NASTY, "data": {"columns": [NASTY], "rows": [[NASTY]]}},
            {"kind": "markdown", "title": "", "data": NASTY + "**bold**"},
            {"kind": "html", "title": "", "data": NASTY + "<b>strong</b>"},
            {"kind": "text", "title": NASTY, "data": NASTY},
            {"kind": "file", "title": "big", "name": "big.bin", "data": BIG},
        ], 0.5, NASTY))
        return self
    def stop(self): ...
def show(word: Literal["<img src=x onerror=alert(3)>", "<b>b</b>"] = "<b>b</b>") -> int: ...
texts = {"title": NASTY, "description": NASTY, "author": NASTY, "tags": [NASTY]}
Form(define(show, examples=[{"word": "<b>b</b>"}], **texts).spec, Ready())
""",
        height=2000,
    )
    it.run()
    it.page.locator(".em-plot .js-plotly-plot").wait_for(timeout=60_000)
    it.page.locator(".em-prose strong", has_text="bold").wait_for()
    it.page.locator(".em-prose b", has_text="strong").wait_for()
    with it.page.expect_download() as download:
        it.page.get_by_text("Download big.bin").click()
    saved = tmp_path / "big.bin"
    download.value.save_as(saved)
    assert saved.read_bytes() == b"0123456789" * 300_000
    assert download.value.suggested_filename == "big.bin"
    assert it.page.locator(".em-form script, .em-form img[src=x]").count() == 0


def test_items_of_a_stream_appear_as_they_come(open_form: Any) -> None:
    it = open_form(
        """
@ml.service
def count(n: int = 3) -> Iterator[dict[str, int]]:
    for at in range(n):
        yield {"at": at}
        while not Path("go").exists():
            time.sleep(0.05)
"""
    )
    it.run()
    it.page.locator(".em-stat").first.wait_for()
    assert it.page.locator(".em-stat").count() == 1
    it.in_new_cell("Path('go').touch()")
    it.page.locator(".em-stat").nth(2).wait_for()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_one_column_when_narrow_two_when_wide_in_both_themes(open_form: Any, theme: str) -> None:
    it = open_form(f"@ml.service\ndef small_{theme[11:].lower()}(n: int = 2): return n")
    it.page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    it.page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light", arg=str("Light" in theme).lower()
    )

    def left(name: str) -> float:
        return float(it.page.locator(f".em-form {name}").bounding_box()["x"])

    assert left(".em-inputs") < left(".em-outcome")
    scheme = it.page.locator(".em-form").evaluate("e => getComputedStyle(e).colorScheme")
    assert scheme == ("light" if "Light" in theme else "dark")
    it.page.set_viewport_size({"width": 560, "height": 900})
    it.page.wait_for_function(
        "() => Math.abs(document.querySelector('.em-inputs').getBoundingClientRect().x -"
        " document.querySelector('.em-outcome').getBoundingClientRect().x) < 1"
    )
