"""The page of a tagged notebook: prose, figures and the form in order, and nothing that runs."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

from easymlnb_server.store.store import DATABASE
from support.browser import run, until, visit
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)

CANARY = "http://127.0.0.1:9/canary"
NASTY = (
    f"<img src={CANARY} onerror=alert(1)><script>alert(2)</script><iframe src={CANARY}></iframe>"
)
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)

SERVICE = """
SOURCE_OF_A_CELL = 1
import easymlnb as ml

@ml.service(public=True)
def loud(text: str) -> str:
    return text.upper()
"""
FIGURES = f"""
SOURCE_OF_A_CELL = 2
from IPython.display import HTML, display
plot = {{"data": [{{"y": [1, 3, 2]}}], "layout": {{}}}}
drawing = "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(3)'/>"
display({{"application/vnd.plotly.v1+json": plot}}, raw=True)
display({{"image/png": "{PIXEL}"}}, raw=True)
display({{"image/svg+xml": drawing}}, raw=True)
HTML({NASTY!r} + "<table><tr><td>cell of a table</td></tr></table>")
"""


def prose(text: str, *tags: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(text, metadata={"tags": list(tags)})


def tagged(name: str) -> nbformat.NotebookNode:
    notebook = make_notebook(SERVICE.replace("loud", name), FIGURES, "print('not on the page')")
    service, figures, other = notebook.cells
    figures.metadata["tags"] = ["app"]
    notebook.cells = [
        service,
        prose(f"# What it is\n\n{NASTY} [x](javascript:alert(4))", "app"),
        figures,
        prose("## Try it", "app-form"),
        other,
        prose("How it *ends*", "app"),
        prose("Only for the author"),
    ]
    return notebook


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("tagged")
    with running_server(folder, tagged("loud"), app_kernels=1) as server:
        yield server


def test_the_page_shows_what_the_cells_showed_around_the_form(
    apps: RunningServer, chromium: Any
) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/loud")
        page.get_by_role("heading", name="What it is").wait_for()
        page.locator(".em-custom .js-plotly-plot").wait_for()
        page.get_by_text("cell of a table").wait_for()
        # What is still drawn moves what is below it.
        page.locator(".em-custom .js-plotly-plot .main-svg").first.wait_for()
        until(page, "[...document.images].every((one) => one.complete)")
        order = (
            "h1:has-text('What it is')",
            ".js-plotly-plot",
            "img[src^='data:image/png']",
            "img[src^='data:image/svg']",
            "td:has-text('cell of a table')",
            "h2:has-text('Try it')",
            ".em-inputs",
            ".em-outcome",
            "em:has-text('ends')",
        )
        places = [page.locator(f".em-custom {one}").first.bounding_box() for one in order]
        tops = [place["y"] for place in places if place is not None]
        assert len(tops) == len(order)
        tops[order.index(".em-outcome")] = tops[order.index(".em-inputs")]  # side by side
        assert tops == sorted(tops)
        run(page, Text="hello").get_by_text("HELLO").wait_for()
        said = page.content()
        for hidden in ("SOURCE_OF_A_CELL", "not on the page", "Only for the author"):
            assert hidden not in said
        assert page.locator(f"[src^='{CANARY}'], [onerror], [onload]").count() == 0
        assert page.evaluate("document.querySelectorAll('iframe, object, embed').length") == 0


def test_a_plot_is_still_there_when_the_window_has_changed(
    apps: RunningServer, chromium: Any
) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/loud")
        page.locator(".em-custom .js-plotly-plot .main-svg").first.wait_for()
        for width in (390, 900, 600):
            page.set_viewport_size({"width": width, "height": 800})
            drawn = "document.querySelector('.js-plotly-plot .main-svg')?.getBoundingClientRect()"
            until(page, f"{drawn}.width < {width}")
            until(page, f"{drawn}.width > {width} - 100")
            until(page, "document.querySelector('.em-custom .em-plot')?.offsetHeight > 300")


def test_the_page_is_kept_with_the_version_and_not_in_the_answer_of_the_api(
    apps: RunningServer,
) -> None:
    assert "app" not in apps.http.get("services/loud").json()
    (file,) = apps.folder.rglob(DATABASE)
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        ((spec,),) = database.execute("select spec from versions where service = 'loud'")
    shown = json.loads(spec)["app"]["column"]
    kinds = [one["static"]["kind"] if "static" in one else one["part"] for one in shown]
    assert kinds == [
        "markdown", "plotly", "image", "image", "html", "markdown", "form", "markdown",
    ]  # fmt: skip
    database.close()


def test_a_page_that_shows_too_much_fails_on_publishing(apps: RunningServer) -> None:
    notebook = tagged("too_loud")
    notebook.cells[2].source = "from IPython.display import Markdown\nMarkdown('x' * 2_100_000)"
    found = apps.publish(notebook, "large.ipynb")
    assert found["state"] == "failed"
    assert "Cell 3 of the notebook exceeds the page's limits" in str(found["error"])
    assert apps.state("too_loud") is None
