"""Widgets of an author, and of other packages, on app pages: drawn in frames without an origin."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import run, serious, visit
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)

CELL = '''
import anywidget, traitlets, ipywidgets as W, easymlnb as ml

class Counter(anywidget.AnyWidget):
    _esm = """
    export default { render({ model, el }) {
      const button = document.createElement("button");
      const show = () => (button.textContent = `Pressed ${model.get("count")}`);
      button.onclick = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
      model.on("change:count", show);
      show();
      const spy = document.createElement("output");
      const tried = [() => parent.document.title, () => document.cookie, () => localStorage.length];
      const open = (look) => { try { look(); return "open"; } catch { return "shut"; } };
      spy.textContent = tried.map(open);
      el.append(button, spy);
      fetch("MINE").then(() => (spy.dataset.sent = "yes"), () => (spy.dataset.sent = "no"));
    } };
    """
    _css = ".counted button { color: rgb(1, 2, 3); }"
    count = traitlets.Int(3).tag(sync=True)

@ml.service(public=True)
def greet(name: str = "Ada") -> str:
    return f"Hello {name}"

@greet.app
def page(form):
    counter = Counter()
    counter.add_class("counted")
    other = W.IntProgress(value=0, max=10)
    W.jslink((counter, "count"), (other, "value"))
    try:
        import bqplot
        scales = {"x": bqplot.LinearScale(), "y": bqplot.LinearScale()}
        line = bqplot.Lines(x=[1.0, 2.0, 3.0], y=[1.0, 4.0, 9.0], scales=scales)
        plots = [bqplot.Figure(marks=[line], layout=W.Layout(height="320px"))]
    except ImportError:
        plots = []
    return W.VBox([form.inputs, W.HBox([counter, other]), *plots, form.result])
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("widgets")
    cell = CELL.replace("MINE", "/easymlnb/me")
    with running_server(folder, make_notebook(cell), app_kernels=1) as made:
        yield made


@pytest.fixture
def visitor(chromium: Any, server: RunningServer) -> Iterator[Any]:
    with visit(chromium, server, user=True) as made:
        yield made


def test_an_anywidget_of_the_notebook_works_and_reaches_nothing(visitor: Any) -> None:
    page = visitor.open("public/greet")
    frame = page.frame_locator(".em-widget-frame iframe").first
    button = frame.get_by_role("button", name="Pressed 3")
    button.click()
    frame.get_by_role("button", name="Pressed 4").wait_for()
    style = frame.locator(".counted button").evaluate("one => getComputedStyle(one).color")
    assert style == "rgb(1, 2, 3)"
    # The linked widget of ipywidgets in the same frame follows.
    assert frame.locator(".progress-bar").evaluate("one => one.style.width") == "40%"
    spy = frame.locator("output")
    assert spy.inner_text() == "shut,shut,shut"
    assert (
        spy.evaluate("one => new Promise((go) => setTimeout(() => go(one.dataset.sent), 500))")
        == "no"
    )
    run(page).get_by_text("Hello Ada").wait_for()
    assert serious(page) == []


def test_a_widget_of_another_package_is_loaded_on_demand(visitor: Any) -> None:
    pytest.importorskip("bqplot")
    page = visitor.open("public/greet")
    plot = page.frame_locator(".em-widget-frame iframe").nth(1)
    plot.locator("svg path.line").first.wait_for()
    assert page.locator(".em-widget-frame").nth(1).bounding_box()["height"] == 320
