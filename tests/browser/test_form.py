"""Forms under cells of a real JupyterLab, filled in by hand."""

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow]

IMPORTS = """
import threading, time
from dataclasses import dataclass
from datetime import date, datetime, time as clock
from pathlib import Path
from typing import Annotated, Any, Iterator, Literal
import numpy as np, pandas as pd
from pydantic import Field
import easymlnb as ml
from easymlnb.definition import define
from easymlnb.forms.form import Form
from easymlnb.forms.local import LocalCaller
from easymlnb.types.choices import MultipleChoice
from easymlnb.types.colour import Colour
from easymlnb.types.image import Image
from easymlnb.types.numbers import Interval, Slider
from easymlnb.types.text import LongText, Secret
from easymlnb.types.timeseries import TimeSeries

def form(function, **options):
    service = define(function, **options)
    return Form(service.spec, LocalCaller(service))

@dataclass
class Point:
    x: Annotated[float, Field(ge=0)]
    y: float = 0.5
"""

EVERYTHING = """
TAGS = [f"tag{at}" for at in range(12)]
def everything(
    name: str,
    notes: LongText,
    key: Secret,
    count: Annotated[int, Field(ge=0)] = 3,
    level: Annotated[float, Slider(0, 1, 0.1)] = 0.5,
    window: Annotated[tuple[int, int], Interval(0, 100)] = (20, 60),
    colour: Colour = "#2450c8",
    active: bool = False,
    size: Literal["S", "M", "L"] = "M",
    method: Literal["Random forest regression", "Support vector machine", "Linear"] = "Linear",
    country: Literal["Austria", "Belgium", "Croatia", "Denmark", "Estonia"] = "Austria",
    models: Annotated[list[str], MultipleChoice(["Linear", "Forest", "SVR"])] = ["Linear"],
    tags: Annotated[list[str], MultipleChoice(TAGS)] = [],
    day: date = date(2026, 1, 1),
    moment: datetime | None = None,
    at: clock = clock(12, 30),
    maybe: Annotated[int, Slider(0, 10)] | None = None,
    start: Point = Point(1.0),
    points: list[Point] = [],
    weights: dict[str, float] = {},
    either: int | str = 5,
    anything: Any = None,
) -> Any:
    print("called by", name)
    Path("got.txt").write_text(repr(locals()))
    return {"count": count, "said": notes}
form(everything)
"""


@pytest.fixture
def open_(lab: Any, request: pytest.FixtureRequest) -> Any:
    """Open a notebook named after the test; anything in it that runs script fails the test."""
    opened = []

    def start(*cells: str, **options: Any) -> Any:
        name = re.sub(r"\W+", "-", request.node.name)[-60:]
        page = lab.open(name, [IMPORTS, *cells], **options)
        opened.append(page)
        page.set_default_timeout(20_000)
        page.on("dialog", lambda dialog: (alarms.append(dialog.message), dialog.dismiss()))
        page.locator(".em-form .em-primary").first.wait_for(timeout=60_000)
        return page

    alarms: list[str] = []
    yield start
    for page in opened:
        keep_screenshot(page)
        page.close()
    assert not alarms


def keep_screenshot(page: Any) -> None:
    """Keep how the page looks at its end where ``EASYMLNB_SHOTS`` says, for people to look at."""
    folder = os.environ.get("EASYMLNB_SHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{Path(page.url.partition('?')[0]).stem}.png")


def run(page: Any) -> None:
    page.locator(".em-form .em-primary").click()


def shown(page: Any) -> Any:
    return page.locator(".em-form .em-parts")


def field(page: Any, label: str) -> Any:
    """Return the field whose label it is."""
    named = page.locator(".em-form .em-field").filter(has=page.get_by_text(label, exact=True))
    return named.last


def png(array: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def test_every_kind_of_field_is_filled_in_by_hand(open_: Any, lab: Any) -> None:
    from playwright.sync_api import expect

    page = open_(EVERYTHING, height=3600)
    page.get_by_label("Name", exact=True).fill("Ada")
    page.get_by_label("Notes", exact=True).fill("one\ntwo")
    page.get_by_label("Key", exact=True).fill("pass")
    page.get_by_label("Count", exact=True).fill("7")
    handle = field(page, "Level").locator(".noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    lower = field(page, "Window").locator(".noUi-handle").first
    lower.focus()
    lower.press("ArrowLeft")
    page.get_by_label("Colour", exact=True).fill("#ff8800")
    page.get_by_label("Active", exact=True).check()
    field(page, "Size").get_by_role("button", name="L", exact=True).click()
    page.get_by_label("Support vector machine", exact=True).check()
    page.get_by_label("Country", exact=True).select_option("Estonia")
    page.get_by_label("SVR", exact=True).check()
    tag = field(page, "Tags").locator("input")
    tag.fill("tag7")
    tag.press("Enter")
    page.get_by_label("Day", exact=True).fill("2026-11-20")
    page.get_by_label("Moment", exact=True).fill("2026-11-20T13:37")
    page.get_by_label("At", exact=True).fill("08:15:00")
    page.get_by_label("Maybe", exact=True).check()
    field(page, "Start").get_by_label("X", exact=True).fill("2.5")
    add = field(page, "Points").get_by_role("button", name="Add")
    add.click()
    add.click()
    rows = field(page, "Points").locator(".em-row")
    rows.nth(1).get_by_label("X", exact=True).fill("4")
    rows.nth(0).locator(".em-remove").click()
    field(page, "Weights").get_by_role("button", name="Add").click()
    field(page, "Weights").get_by_placeholder("Name").fill("w")
    field(page, "Weights").locator(".em-row .em-field input").fill("1.5")
    field(page, "Either").get_by_role("button", name="Text").click()
    expect(field(page, "Either").locator("input")).to_have_value("")
    field(page, "Either").locator("input").fill("six")
    page.get_by_label("Anything", exact=True).fill('{"a": [1, null]}')
    run(page)
    shown(page).get_by_text("one", exact=False).wait_for()
    got = (lab.root / "got.txt").read_text()
    for expected in (
        "'name': 'Ada'",
        "'notes': 'one\\ntwo'",
        "'key': 'pass'",
        "'count': 7",
        "'level': 0.6",
        "'window': (19, 60)",
        "'colour': '#ff8800'",
        "'active': True",
        "'size': 'L'",
        "'method': 'Support vector machine'",
        "'country': 'Estonia'",
        "'models': ['Linear', 'SVR']",
        "'tags': ['tag7']",
        "'day': datetime.date(2026, 11, 20)",
        "'moment': datetime.datetime(2026, 11, 20, 13, 37)",
        "'at': datetime.time(8, 15)",
        "'maybe': 0",
        "'start': Point(x=2.5, y=0.5)",
        "'points': [Point(x=4.0, y=0.5)]",
        "'weights': {'w': 1.5}",
        "'either': 'six'",
        "'anything': {'a': [1, None]}",
    ):
        assert expected in got
    page.locator(".em-tabs").get_by_role("button", name="Log").click()
    page.get_by_text("called by Ada").wait_for()
    page.locator(".em-tabs").get_by_role("button", name="Code").click()
    assert "c.everything(" in page.locator(".em-outcome pre:visible").inner_text()
    page.get_by_role("button", name="curl").click()
    page.locator(".em-outcome pre:visible", has_text="curl -X POST").wait_for()


def test_wrong_input_is_told_at_its_field_and_stays_typed(open_: Any) -> None:
    page = open_(
        """
def wrong(name: str, count: Annotated[int, Field(ge=0)] = 3, points: list[Point] = []) -> int:
    return count
form(wrong)
"""
    )
    page.get_by_label("Count", exact=True).fill("-3")
    run(page)
    field(page, "Name").get_by_text("Please fill this in.").wait_for()
    page.get_by_label("Name", exact=True).fill("Ada")
    field(page, "Points").get_by_role("button", name="Add").click()
    page.locator(".em-row").get_by_label("X", exact=True).fill("-1")
    run(page)
    field(page, "Count").locator(".em-error").first.wait_for()
    assert field(page, "X").locator(".em-error").count() == 1
    assert page.get_by_label("Count", exact=True).input_value() == "-3"
    page.get_by_label("Count", exact=True).fill("5")
    page.locator(".em-row").get_by_label("X", exact=True).fill("1")
    run(page)
    shown(page).get_by_text("5", exact=True).wait_for()
    assert page.locator(".em-error").count() == 0


def test_progress_moves_the_notebook_stays_usable_and_stop_stops(open_: Any) -> None:
    page = open_(
        """
def slow(n: int = 2000) -> int:
    for at in range(n):
        ml.progress(at / n, f"step {at}")
        time.sleep(0.02)
    return n
form(slow)
""",
        "answer = 6 * 7",
    )
    run(page)
    bar = page.locator(".em-bar .progress-bar")
    page.locator(".em-line", has_text="step").wait_for()
    first = bar.evaluate("e => e.offsetWidth")
    page.wait_for_function(
        "first => document.querySelector('.em-bar .progress-bar').offsetWidth > first", arg=first
    )
    cell = page.locator(".jp-CodeCell").last
    cell.locator(".cm-content").click()
    page.keyboard.type("\nprint('answer is', answer)")
    page.keyboard.press("Shift+Enter")
    page.get_by_text("answer is 42", exact=True).wait_for()
    assert page.locator(".em-running").count() == 1
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("The call was stopped.").wait_for()
    assert page.locator(".em-running").count() == 0
    page.get_by_label("N", exact=True).fill("1")
    run(page)
    shown(page).get_by_text("1", exact=True).wait_for()


def test_files_are_chosen_seen_and_sent(open_: Any, tmp_path: Path) -> None:
    page = open_(
        """
def look(
    image: Annotated[np.ndarray, Image()],
    load: Annotated[pd.DataFrame, TimeSeries()] | None = None,
) -> Any:
    rows = 0 if load is None else len(load)
    return {"width": image.shape[1], "rows": rows}
form(look)
""",
        height=1600,
    )
    (tmp_path / "cells.png").write_bytes(png(np.eye(40, 64, dtype=np.uint8) * 200))
    (tmp_path / "load.csv").write_text(
        "time,load\n" + "".join(f"2026-01-{d:02d},{d}\n" for d in range(1, 29))
    )

    def choose(label: str, name: str) -> None:
        with page.expect_file_chooser() as chooser:
            field(page, label).locator(".em-choose").click()
        chooser.value.set_files(tmp_path / name)

    choose("Image", "cells.png")
    field(page, "Image").get_by_text("64 \u00d7 40").wait_for()
    field(page, "Image").get_by_role("button", name="Remove").click()
    field(page, "Image").get_by_text("No image yet").wait_for()
    choose("Image", "cells.png")
    choose("Load", "load.csv")
    page.locator(".em-curve polyline").wait_for()
    run(page)
    page.locator(".em-stat", has_text="64").wait_for()
    page.locator(".em-stat", has_text="28").wait_for()


def test_results_are_drawn_and_nothing_in_them_runs(open_: Any, tmp_path: Path) -> None:
    page = open_(
        """
NASTY = "<img src=x onerror=alert(1)><script>alert(2)</script>"
from easymlnb.forms.caller import Done
import base64
BIG = base64.b64encode(b"0123456789" * 300_000).decode()
FIGURE = {"data": [{"y": [1, 3, 2]}], "layout": {"title": {"text": NASTY}}}
class Ready:
    def start(self, values, on):
        on(Done([
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
    run(page)
    page.locator(".em-plot .js-plotly-plot").wait_for(timeout=60_000)
    page.locator(".em-prose strong", has_text="bold").wait_for()
    page.locator(".em-prose b", has_text="strong").wait_for()
    with page.expect_download() as download:
        page.get_by_text("Download big.bin").click()
    saved = tmp_path / "big.bin"
    download.value.save_as(saved)
    assert saved.read_bytes() == b"0123456789" * 300_000
    assert download.value.suggested_filename == "big.bin"
    assert page.locator(".em-form script, .em-form img[src=x]").count() == 0


def test_items_of_a_stream_appear_as_they_come(open_: Any) -> None:
    page = open_(
        """
def count(n: int = 3) -> Iterator[dict[str, int]]:
    for at in range(n):
        yield {"at": at}
        while not Path("go").exists():
            time.sleep(0.05)
form(count)
"""
    )
    run(page)
    page.locator(".em-stat").first.wait_for()
    assert page.locator(".em-stat").count() == 1
    cell = page.locator(".jp-CodeCell").last
    cell.locator(".cm-content").click()
    page.evaluate("window.jupyterapp.commands.execute('notebook:insert-cell-below')")
    page.keyboard.type("Path('go').touch()")
    page.keyboard.press("Shift+Enter")
    page.locator(".em-stat").nth(2).wait_for()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_one_column_when_narrow_two_when_wide_in_both_themes(open_: Any, theme: str) -> None:
    page = open_("def small(n: int = 2) -> int:\n    return n\nform(small)")
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light", arg=str("Light" in theme).lower()
    )

    def left(name: str) -> float:
        return float(page.locator(f".em-form {name}").bounding_box()["x"])

    assert left(".em-inputs") < left(".em-outcome")
    scheme = page.locator(".em-form").evaluate("e => getComputedStyle(e).colorScheme")
    assert scheme == ("light" if "Light" in theme else "dark")
    page.set_viewport_size({"width": 560, "height": 900})
    page.wait_for_function(
        "() => Math.abs(document.querySelector('.em-inputs').getBoundingClientRect().x -"
        " document.querySelector('.em-outcome').getBoundingClientRect().x) < 1"
    )
