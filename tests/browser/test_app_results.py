"""Where a page leads people after Run, and what it shows of results and earlier runs."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import keep, serious, until, visit
from support.notebooks import make_notebook
from support.server import RunningServer

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

SERVICES = """
import time
from dataclasses import dataclass
from typing import Annotated, Any, Iterator
from pydantic import Field
import easymlnb as ml

@dataclass
class Spot:
    x_pos: float = 1.5
    label: str = "here"

@ml.service
def long_form(
    first: str,
    a: int = 1, b: int = 2, c: int = 3, d: int = 4, e: int = 5, f: int = 6, g: int = 7,
    wait: float = 0.0,
    last: Annotated[int, Field(ge=1)] = 1,
    tail: str = "x",
) -> str:
    if wait < 0:
        raise ValueError("It cannot wait for less than nothing")
    time.sleep(wait)
    return f"Hello {first}! " * last

@ml.service
def lists(numbers: list[int] = [1, 2, 3], spot: Spot = Spot()) -> dict[str, Any]:
    return {"twice": [2 * one for one in numbers], "total": sum(numbers)}

@ml.service
def streamed(count: int = 3, pause: float = 0.0) -> Iterator[str]:
    for at in range(count):
        yield f"piece{at} "
        time.sleep(pause)

@ml.service
def plotted(peaks: int = 3) -> ml.Plot:
    import plotly.graph_objects as go
    names = [f"Series with a name number {at}" for at in range(peaks)]
    traces = [go.Scatter(x=list(range(50)), y=[(at + 1) * one**2 for one in range(50)], name=name)
              for at, name in enumerate(names)]
    layout = dict(title="Load of the network by hour", xaxis_title="Hour", yaxis_title="Load in MW",
                  width=900, margin=dict(l=120, r=160, t=120, b=120))
    return go.Figure(traces, layout)

@ml.service
def plotted_as(kind: str = "scatter") -> ml.Plot:
    import plotly.graph_objects as go
    values = {"surface": dict(z=[[1, 2], [3, 4]]), "scattergl": dict(y=list(range(6000)))}
    return go.Figure([dict(type=kind, **values.get(kind, dict(y=[1, 3, 2])))])
"""

NAMES = ("long_form", "lists", "streamed", "plotted", "plotted_as")


@pytest.fixture(scope="module")
def server(session_server: RunningServer) -> Iterator[RunningServer]:
    found = session_server.publish(make_notebook(SERVICES), "results.ipynb")
    assert found["state"] == "ready", found
    yield session_server
    for name in NAMES:
        session_server.http.delete(f"services/{name}")


@pytest.fixture
def user(chromium: Any, server: RunningServer) -> Iterator[Any]:
    with visit(chromium, server, user=True) as made:
        yield made


def on_phone(user: Any, name: str) -> Any:
    page = user.open(f"apps/{name}")
    page.set_viewport_size({"width": 390, "height": 844})
    return page


def run(page: Any) -> None:
    # A click of Playwright's would scroll the page by itself.
    page.keyboard.press("Control+Enter")


def in_window(selector: str) -> str:
    return (
        f"(() => {{ const box = document.querySelector({selector!r})?.getBoundingClientRect();"
        " return box && box.height > 0 && box.top >= -1 && box.top < innerHeight - 60; })()"
    )


def test_on_a_phone_the_page_goes_to_the_result(user: Any) -> None:
    page = on_phone(user, "long_form")
    page.get_by_label("First", exact=True).fill("Ada")
    assert not page.evaluate(in_window(".em-outcome"))
    run(page)
    page.locator(".em-parts").get_by_text("Hello Ada!").wait_for()
    until(page, in_window(".em-outcome .em-parts"))
    keep(page, "phone-result")
    # So it does for what went wrong, which is said above the last result.
    page.get_by_label("Wait", exact=True).fill("-1")
    page.evaluate("scrollTo(0, 0)")
    run(page)
    page.locator(".em-failure").wait_for()
    until(page, in_window(".em-failure"))
    assert page.locator(".em-arrived").count() == 0


def test_without_motion_it_goes_there_at_once(user: Any) -> None:
    page = on_phone(user, "long_form")
    page.emulate_media(reduced_motion="reduce")
    page.evaluate(
        "() => { const old = Element.prototype.scrollIntoView; window.page_links = [];"
        " Element.prototype.scrollIntoView = function (how) {"
        " window.page_links.push(how.behavior); return old.call(this, how); }; }"
    )
    page.get_by_label("First", exact=True).fill("Ada")
    assert not page.evaluate(in_window(".em-outcome"))
    run(page)
    until(page, in_window(".em-outcome .em-parts"))
    assert page.evaluate("window.page_links") == ["instant"]


def test_who_did_something_else_meanwhile_gets_a_button(user: Any) -> None:
    page = on_phone(user, "long_form")
    page.get_by_label("First", exact=True).fill("Ada")
    page.get_by_label("Wait", exact=True).fill("1.5")
    run(page)
    page.locator(".em-running").wait_for()
    page.get_by_label("A", exact=True).fill("17")
    ready = page.get_by_role("button", name="Result ready")
    ready.wait_for()
    assert not page.evaluate(in_window(".em-outcome .em-parts"))
    assert serious(page) == []
    keep(page, "phone-ready")
    ready.click()
    until(page, in_window(".em-outcome .em-parts"))
    ready.wait_for(state="detached")
    page.get_by_label("Wait", exact=True).fill("0")
    page.evaluate("scrollTo(0, 0)")
    run(page)
    until(page, in_window(".em-outcome .em-parts"))


@pytest.mark.parametrize("width", [390, 1440])
def test_what_is_wrong_is_marked_at_once_and_the_first_is_gone_to(user: Any, width: int) -> None:
    page = user.open("apps/long_form")
    page.set_viewport_size({"width": width, "height": 600})
    page.get_by_label("Last", exact=True).fill("0")
    page.get_by_label("Last", exact=True).blur()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    run(page)
    page.get_by_text("Please check the highlighted fields.").wait_for()
    errors = page.locator(".em-error")
    until(page, "document.activeElement?.closest('.em-field')?.innerText.startsWith('First')")
    until(page, in_window(".em-invalid"))
    assert [one for one in errors.all_inner_texts() if one] == [
        "Please fill in this field.",
        "The value must be at least 1.",
    ]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        red = "getComputedStyle(document.querySelector('.em-error')).color"
        line = "getComputedStyle(document.querySelector('.em-line .em-wrong')).color"
        strong = f"(([r, g, b]) => r > 1.4 * g && r > 1.4 * b)({red}.match(/\\d+/g).map(Number))"
        until(page, strong)
        assert page.evaluate(f"{red} === {line}")
        assert serious(page) == []
        keep(page, f"wrong-{scheme}-{width}")
    # What only the service finds wrong is gone to as well.
    page.get_by_label("First", exact=True).fill("Ada")
    run(page)
    until(page, "document.activeElement?.closest('.em-field')?.innerText.startsWith('Last')")


SIZES = """() => [...document.querySelectorAll(".em-plot")].map((plot) => {
    const all = plot.getBoundingClientRect();
    const box = (one) => plot.querySelector(one)?.getBoundingClientRect();
    const [area, legend, axis] = [box(".nsewdrag"), box(".legend"), box(".xtitle")];
    return { wide: area.width / all.width, high: area.height / all.height,
             below: legend.top >= axis.bottom - 2, inside: legend.bottom <= all.bottom + 1,
             titles: plot.querySelectorAll(".gtitle").length, fits: all.right <= innerWidth };
})"""


PLOT_SCRIPTS = """performance.getEntriesByType("resource")
    .map((one) => one.name.split("/").pop()).filter((name) => name.startsWith("plotly"))"""
DRAWN = {
    "scatter": ".scatterlayer .trace",
    "box": ".boxlayer .trace",
    "surface": ".gl-container #scene",
}


def test_the_smallest_plot_library_is_fetched_after_the_form_is_usable(user: Any) -> None:
    page = user.open("apps/plotted_as")
    until(page, f"({PLOT_SCRIPTS}).length")
    early = page.evaluate(
        "performance.getEntriesByType('resource').some((one) => one.name.includes('plotly')"
        " && one.startTime < performance.getEntriesByName('easymlnb-usable')[0].startTime)"
    )
    assert not early
    wanted = {"plotly-basic.js"}
    for kind, script in (("scatter", ""), ("box", "plotly-cartesian.js"), ("surface", "plotly.js")):
        wanted |= {script} - {""}
        page.get_by_label("Kind", exact=True).fill(kind)
        run(page)
        page.locator(f".em-plot {DRAWN[kind]}").first.wait_for(state="attached")
        assert set(page.evaluate(PLOT_SCRIPTS)) == wanted
    # The next visit fetches at once what the last one needed.
    page.reload()
    until(page, f"({PLOT_SCRIPTS}).length")
    assert page.evaluate(PLOT_SCRIPTS) == ["plotly.js"]
    # A page whose result is no plot fetches none.
    assert user.open("apps/long_form").evaluate(PLOT_SCRIPTS) == []


def test_plots_fill_their_column_with_the_legend_below(user: Any) -> None:
    page = user.open("apps/plotted")
    # Its library is there before the first plot is.
    until(
        page,
        "performance.getEntriesByType('resource')"
        ".some((one) => one.name.includes('plotly-basic') && one.decodedBodySize > 1e6)",
    )
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            run(page)
            page.locator(".em-running").wait_for(state="detached")
            page.locator(".em-parts .nsewdrag").wait_for(state="attached")
            until(page, f"({SIZES})().every((one) => one.wide > 0.75 && one.below)")
            (seen,) = page.evaluate(SIZES)
            keep(page, f"plot-{scheme}-{width}")
            assert seen["wide"] > 0.78 and seen["high"] > 0.5, seen
            assert seen["below"] and seen["inside"] and seen["fits"] and not seen["titles"], seen
    assert page.get_by_text("Load of the network by hour").count() == 1
    page.get_by_role("button", name="Compare").first.click()
    page.locator(".em-compare .nsewdrag").nth(1).wait_for(state="attached")
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        until(page, f"({SIZES})().every((one) => one.below && one.fits && one.wide > 0.7)")
        assert all(one["inside"] for one in page.evaluate(SIZES))
        keep(page, f"plot-compared-{width}")


def test_history_is_one_card_per_run_in_words(user: Any) -> None:
    page = on_phone(user, "lists")
    run(page)
    card = page.locator(".em-history li")
    card.first.wait_for()
    said = card.first.inner_text()
    assert "1, 2, 3" in said and "x pos 1.5, label here" in said and "6" in said
    assert not set(said) & set('[]{}"'), said
    box = card.first.bounding_box()
    assert box["width"] > 280
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("heading", name="History").wait_for()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert serious(page) == []


def test_history_says_how_runs_ended_and_survives_a_reload(user: Any) -> None:
    page = on_phone(user, "streamed")
    run(page)
    card = page.locator(".em-history li")
    card.filter(has_text="3 items streamed").filter(has_text="Succeeded").wait_for()
    page.get_by_label("Count", exact=True).fill("500")
    page.get_by_label("Pause", exact=True).fill("0.2")
    run(page)
    page.locator(".em-parts").get_by_text("piece2 piece3").wait_for()
    page.keyboard.press("Escape")
    stopped = card.filter(has_text="Stopped")
    stopped.filter(has_text="streamed before it stopped").wait_for()
    # Three pauses lie between four pieces.
    assert float(re.search(r"after ([\d.]+) s", stopped.inner_text())[1]) > 0.5
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            keep(page, f"history-{scheme}-{width}")
    before = card.all_inner_texts()
    until(page, "Object.values(sessionStorage).some((kept) => kept.includes('stopped'))")
    page.reload()
    page.locator(".em-primary").wait_for()
    card.nth(1).wait_for()
    after = card.all_inner_texts()
    assert [one.split("Run again")[0].split("Open")[0] for one in after] == [
        one.split("Run again")[0].split("Open")[0] for one in before
    ]
    page.locator(".em-history li").nth(1).get_by_role("button", name="Open").click()
    page.locator(".em-parts").get_by_text("piece0 piece1 piece2").wait_for()
    until(page, in_window(".em-outcome"))


def test_what_failed_says_why_and_how_long_it_took(user: Any) -> None:
    page = on_phone(user, "long_form")
    page.get_by_label("First", exact=True).fill("Ada")
    page.get_by_label("Wait", exact=True).fill("-1")
    run(page)
    card = page.locator(".em-history li", has_text="Failed")
    card.wait_for()
    assert re.search(r"after (less than )?[\d.]+ s", card.inner_text())
    assert card.get_by_role("button", name="Run again").is_visible()
