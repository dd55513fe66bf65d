"""How an app page starts: painted at once, live without a jump, and usable before that."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import keep, serious, until, visit
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

FORM = '''
from typing import Annotated, Literal
from pydantic import Field
import easymlnb as ml

@ml.service(public=True, examples=[{"text": "example", "times": 2}])
def mixed(
    text: str,
    times: Annotated[int, Field(ge=1, le=10)] = 3,
    kind: Literal["round", "square"] = "round",
    loud: bool = False,
    color: Literal["red", "green", "blue", "black", "white"] = "red",
) -> str:
    """Euler: $e^{i\\\\pi} = -1$."""
    return f"{text} {times} {kind} {loud} {color}"

ROWS = [{"when": f"2026-01-{day:02}", "load": day / 4, "note": "words"} for day in range(1, 9)]

@ml.service(public=True, examples=[{"table": ROWS, "series": ROWS}])
def count(table: ml.Table, series: ml.TimeSeries) -> int:
    return len(table)
'''

OPEN_WIDGET = """async ([id, module, values]) => {
  const { manager } = window.easymlnb;
  const state = {
    _model_name: "AnyModel", _model_module: module, _model_module_version: "*",
    _view_name: "AnyView", _view_module: module, _view_module_version: "*", ...values,
  };
  const content = { comm_id: id, target_name: "jupyter.widget", data: { state, buffer_paths: [] } };
  const metadata = { version: "2.1.0" };
  manager.handle({ kind: "comm_open", parent: {}, metadata, content, buffers: [] });
  const view = await manager.create_view(await manager.get_model(id));
  document.body.append(view.el);
}"""

SCRIPT = """
export default { render({ model, el }) {
  el.append(document.createElement("output"));
  el.firstChild.textContent = `Drawn ${model.get("count")}`;
} };
"""

SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""

MOST_REQUESTS = 15
MOST_BYTES = 450_000


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("start")
    with running_server(folder, make_notebook(FORM), base="/user/ann/", app_kernels=1) as server:
        yield server


@pytest.fixture
def held(apps: RunningServer, chromium: Any) -> Iterator[tuple[Any, Any]]:
    """A page whose main script is held back, and what lets it go."""
    with visit(chromium, apps) as anybody:
        page = anybody.context.new_page()
        page.set_viewport_size({"width": 390, "height": 844})
        page.add_init_script(SHIFTS)
        waiting: list[Any] = []
        page.route("**/app.js", lambda route: waiting.append(route))
        page.goto(f"{apps.url}easymlnb/public/mixed", wait_until="commit")
        page.locator("#painted .em-primary").wait_for()

        def release() -> None:
            until(page, "document.querySelector('script[src*=\"app.js\"]') !== null")
            while not waiting:
                page.wait_for_timeout(20)
            waiting.pop().continue_()
            page.locator("html[data-ready]").wait_for()

        yield page, release


def test_painted_form_is_complete_and_accessible(held: tuple[Any, Any]) -> None:
    page, _ = held
    assert page.get_by_label("Text", exact=True).first.is_visible()
    assert page.get_by_label("Color", exact=True).first.input_value() == "red"
    assert page.locator("#painted .widget-readout").inner_text() == "3"
    assert page.locator("#painted math").count() == 0  # formulas are in the description only
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert serious(page) == [], scheme
        keep(page, f"painted-{scheme}")


def test_what_is_done_before_the_form_is_live_counts(held: tuple[Any, Any]) -> None:
    page, release = held
    text = page.get_by_label("Text", exact=True).first
    text.fill("early")
    page.get_by_text("square", exact=True).click()
    page.get_by_text("Loud", exact=True).click()
    page.get_by_label("Color", exact=True).first.select_option("blue")
    slider = page.locator("#painted .slider-container").bounding_box()
    page.mouse.click(slider["x"] + slider["width"] - 1, slider["y"] + slider["height"] / 2)
    page.get_by_role("button", name="Run").click()
    text.focus()
    release()
    page.locator(".em-form .em-parts").get_by_text("early 10 square True blue").wait_for()
    assert page.evaluate("document.activeElement.value") == "early"
    assert page.locator("#form .widget-readout").inner_text() == "10"


def test_an_example_that_is_chosen_before_the_form_is_live_counts(held: tuple[Any, Any]) -> None:
    page, release = held
    page.get_by_role("button", name="Text: example").click()
    page.get_by_role("button", name="Run").click()
    release()
    page.locator(".em-form .em-parts").get_by_text("example 2 round False red").wait_for()


def test_live_form_takes_the_place_of_the_painted_one(held: tuple[Any, Any]) -> None:
    page, release = held
    place = "e => { const { x, y, width, height } = e.getBoundingClientRect();"
    measure = f"{place} return [x, y, width, height].map(Math.round); }}"
    names = (".em-primary", ".em-example", ".em-outcome", ".em-segments:not(.em-tabs)", "select")
    before = [page.locator(f"#painted {name}").first.evaluate(measure) for name in names]
    release()
    after = [page.locator(f"#form {name}").first.evaluate(measure) for name in names]
    assert before == after
    assert page.evaluate("window.shifted") <= 0.05


def test_a_preview_of_a_table_moves_nothing(apps: RunningServer, chromium: Any) -> None:
    heights = "all => all.map((one) => Math.round(one.getBoundingClientRect().height))"
    with visit(chromium, apps) as anybody:
        for width in (390, 1280):
            page = anybody.context.new_page()
            page.set_viewport_size({"width": width, "height": 844})
            page.add_init_script(SHIFTS)
            page.goto(f"{apps.url}easymlnb/public/count")
            page.locator("html[data-ready] .em-example").wait_for()
            before = page.locator(".em-file").evaluate_all(heights)
            page.locator(".em-example").first.click()
            page.locator(".em-file-table .em-below table").wait_for()
            page.locator(".em-file-timeseries .em-curve").wait_for()
            assert page.locator(".em-file").evaluate_all(heights) == before, width
            assert page.evaluate("window.shifted") <= 0.05, width
            page.close()


def test_widgets_load_on_demand_or_say_what_is_missing(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/mixed")
        page.evaluate(OPEN_WIDGET, ["theirs", "anywidget", {"_esm": SCRIPT, "count": 7}])
        page.get_by_text("Drawn 7", exact=True).wait_for()
        page.evaluate(OPEN_WIDGET, ["unknown", "some-library", {}])
        page.get_by_text("This page has no widget AnyModel of some-library.").first.wait_for()
        assert page.locator(".em-form .em-primary").is_enabled()


def test_first_visit_is_small_and_quiet(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.context.new_page()
        network = anybody.context.new_cdp_session(page)
        network.send("Network.enable")
        sizes: list[int] = []
        said: list[str] = []
        network.on("Network.loadingFinished", lambda end: sizes.append(end["encodedDataLength"]))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{apps.url}easymlnb/public/mixed")
        page.locator("html[data-ready]").wait_for()
        page.get_by_role("button", name="Text: example").click()
        page.get_by_role("button", name="Run").click()
        page.locator(".em-form .em-parts").get_by_text("example 2 round False red").wait_for()
        for tab in page.get_by_role("tab").all():
            tab.click()
        assert len(sizes) <= MOST_REQUESTS and sum(sizes) <= MOST_BYTES
        assert said == []


def test_browser_without_scripts_gets_the_description_and_the_api(apps: RunningServer) -> None:
    for path, words in (
        ("apps/mixed", ("OpenAPI description", "curl")),
        ("public/mixed", ("ask its author for access",)),
    ):
        page = apps.http.get(path).text
        content = page.partition("<noscript>")[2].partition("</noscript>")[0]
        assert "This form requires JavaScript" in content
        assert all(word in content for word in words)
        assert "Euler" in page
