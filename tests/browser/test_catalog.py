"""The pages as people meet them: usable by all, harmless whatever is written, behind a base_url."""

import json
import re
from urllib.parse import urlsplit

import pytest

from support.browser import keep, serious
from support.notebooks import make_notebook
from support.server import running_server

EVIL = (
    "</script></title></textarea><script>alert(1)</script><img src=//canary.example/a.png "
    "onerror=alert(2)><svg onload=alert(3)>\"'><iframe src=javascript:alert(4)>{{7*7}}"
)
NOTEBOOK = f'''
from typing import Annotated, Iterator, Literal
import easymlnb as ml
from PIL import Image
from pydantic import Field

EVIL = {EVIL!r}
LINK = "[click](javascript:alert(5)) ![pic](http://canary.example/b.png) <b>" + EVIL

@ml.service(title="Cell counter", tags=["biology", "demo"], author="A. Author, Institute of Cells",
            license="CC-BY-4.0", examples=[{{"image": Image.effect_noise((700, 500), 60)}}],
            metadata={{"doi": "10.5281/zenodo.1234567", "resources": {{"memory": "4 GB", "gpu": 1}},
                      "dataset": "https://example.org/data", "date": "2026-03-31"}})
def looks_cells(image: ml.Image, threshold: Annotated[float, ml.Slider(0, 1)] = 0.5) -> int:
    """Counts and outlines cells in a *microscope* image.

    | stain | works |
    |---|---|
    | DAPI | yes |
    """
    if threshold > 0.9:
        raise ml.CallerError("Nothing is that clear. " + EVIL)
    print("width", image.width)
    return image.width

@ml.service(title="Load forecast", tags=["energy"])
def looks_load(load: ml.TimeSeries, model: Literal["naive", "forest"] = "naive") -> ml.Table:
    """One day ahead, from a CSV of hourly load."""
    return load

@ml.service(tags=["demo"])
def looks_count(to: Annotated[int, Field(ge=1, le=50)] = 3) -> Iterator[int]:
    """Counts."""
    for number in range(to):
        ml.progress((number + 1) / to, "counting")
        yield number

@ml.service(title=EVIL, author=EVIL, license=EVIL, tags=[EVIL, "it's"], description=LINK,
            examples=[{{"text": EVIL, "kind": EVIL}}],
            metadata={{"summary": EVIL, "citation": EVIL, "tasks": ["<b>"]}})
def looks_evil(text: Annotated[str, Field(title=EVIL, description=LINK)] = EVIL,
               kind: Literal["a", {EVIL!r}] = "a") -> str:
    print(text)
    if kind == "a":
        raise ValueError(text)
    return text
'''
CHECKED = '''
import pickle
import easymlnb as ml

@ml.service(title="Checked counter", license="CC-BY-4.0", tags=["demo"],
            metadata={"tasks": ["Computer Vision", "<b>"], "libraries": ["PyTorch"]})
def looks_checked(number: int = 3) -> int:
    """Counts what was pickled."""
    return len(pickle.loads(pickle.dumps([0] * number)))
'''
BASE = "/user/ann/"
PAGES = {
    "catalog": "",
    "service": "services/looks_cells/page",
    "quality": "services/looks_checked/page",
    "docs": "docs#call_looks_cells",
    "nothing": "?q=nothing+like+it",
    "error": "services/nosuch/page",
}

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder, notebook = tmp_path_factory.mktemp("looks"), make_notebook(NOTEBOOK)
    with running_server(folder, notebook, base=BASE, app_kernels=1) as made:
        example = made.http.get("services/looks_cells").json()["examples"][0]
        found = made.publish(make_notebook(CHECKED), "checked.ipynb", gate="true")
        assert found["state"] == "ready", found
        for threshold in (0.5, 0.2, 0.95, 0.5):
            made.call("looks_cells", **example, threshold=threshold)
        for kind in ("a", EVIL):
            made.call("looks_evil", text=EVIL, kind=kind)
        yield made


class Visit:
    """A browser's window on the server; what it should not do is kept in ``wrong``."""

    def __init__(self, browser, server, **options):
        self.wrong = []
        self.server = server
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(60_000)
        self.context.route(re.compile(""), self._route)
        self.page = self.context.new_page()
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._console)
        self.page.goto(f"{server.url}easymlnb/?token={server.token}")

    def open(self, path):
        self.page.goto("about:blank")
        self.page.goto(f"{self.server.url}easymlnb/{path}")
        self.page.wait_for_load_state("networkidle")
        return self.page

    def _route(self, route):
        if urlsplit(route.request.url).port == self.server.port:
            route.continue_()
        else:
            self.wrong.append(route.request.url)
            route.abort()

    def _dialog(self, dialog):
        self.wrong.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _console(self, message):
        # A page that is not there, and an error that a test asks for, are no surprise.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.wrong.append(message.text)


@pytest.fixture
def visit(server, chromium):
    made = Visit(chromium, server, color_scheme="light")
    yield made
    made.context.close()
    assert made.wrong == []


@pytest.fixture(scope="module", params=[1280, 390], ids=["wide", "narrow"])
def width(request):
    return request.param


@pytest.fixture(scope="module", params=["light", "dark"])
def look(request, server, chromium, width):
    size = {"width": width, "height": 900}
    made = Visit(chromium, server, color_scheme=request.param, viewport=size)
    made.name = f"{request.param}-{width}"
    yield made
    made.context.close()
    assert made.wrong == []


@pytest.mark.parametrize("name", PAGES)
def test_no_page_shuts_anybody_out(look, name):
    page = look.open(PAGES[name])
    keep(page, f"{name}-{look.name}")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_all_that_authors_and_callers_write_stays_text(visit):
    assert "{{7*7}}" in visit.open("").locator("#cards").inner_text()
    page = visit.open("services/looks_evil/page")
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    assert page.locator(".log pre").first.inner_text().count("alert(1)") >= 1
    assert page.evaluate("document.querySelectorAll('main img, iframe, main script').length") == 0
    assert page.locator("a[href^='javascript']").count() == 0
    (block,) = page.locator("script[type='application/ld+json']").all_text_contents()
    assert json.loads(block)["name"] == EVIL
    assert page.title() == f"{EVIL} · easymlnb"


def test_the_page_of_the_api_shows_hostile_texts_as_texts(visit):
    page = visit.open("docs#call_looks_evil")
    form = page.locator("#call_looks_evil form")
    form.get_by_role("button", name="Send").click()
    form.locator(".answer pre").wait_for()
    assert "alert(1)" in form.locator(".answer pre").inner_text()
    form.get_by_label("JSON").fill('{"kind": "a"}')
    form.get_by_role("button", name="Send").click()
    form.locator(".answer p.error").wait_for()
    assert page.evaluate("document.querySelectorAll('main img, iframe, main script').length") == 0


def test_a_stream_is_tried_item_by_item_and_as_events(visit):
    form = visit.open("docs#call_looks_count").locator("#call_looks_count form")
    form.get_by_label("JSON").fill('{"to": 4}')
    form.get_by_label("Response type").select_option("application/jsonl")
    form.get_by_role("button", name="Send").click()
    form.locator(".answer pre").filter(has_text="3").wait_for()
    assert form.locator(".answer pre").inner_text().split() == ["0", "1", "2", "3"]
    form.get_by_label("Response type").select_option("text/event-stream")
    form.get_by_role("button", name="Send").click()
    form.locator(".answer pre").filter(has_text="event: result").wait_for()
    assert "counting" in form.locator(".answer pre").inner_text()


def test_a_wrong_value_is_answered_with_its_field(visit):
    form = visit.open("docs#call_looks_count").locator("#call_looks_count form")
    form.get_by_label("JSON").fill('{"to": 99}')
    form.get_by_role("button", name="Send").click()
    form.locator(".answer p.error").wait_for()
    assert "422" in form.locator(".answer p.error").inner_text()
    assert '"field": "to"' in form.locator(".answer pre").inner_text()


def test_an_image_is_sent_with_a_cookie_and_its_token_against_forgery(visit):
    import io

    from PIL import Image

    target = io.BytesIO()
    Image.new("L", (33, 20)).save(target, "PNG")
    form = visit.open("docs#call_looks_cells").locator("#call_looks_cells form")
    form.get_by_label("image").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": target.getvalue()}
    )
    with visit.page.expect_request("**/call") as sent:
        form.get_by_role("button", name="Send").click()
    assert "authorization" not in sent.value.headers
    assert sent.value.headers["x-xsrftoken"]
    form.locator(".answer pre").wait_for()
    assert form.locator(".answer pre").inner_text() == "33"


def test_a_card_leads_to_its_page_and_a_tag_back(visit):
    page = visit.open("")
    page.get_by_role("link", name="Cell counter", exact=True).click()
    page.get_by_role("heading", name="Cell counter", level=1).wait_for()
    page.get_by_role("link", name="biology").click()
    page.locator("#cards li").wait_for()
    assert page.locator("#cards li").count() == 1
    assert page.get_by_label("biology").is_checked()


def test_a_badge_leads_to_the_findings(visit):
    page = visit.open("?library=pytorch")
    (card,) = page.locator("#cards li").all()
    assert re.search(r"checked \d{4}-\d\d-\d\d, 6 findings", card.inner_text())
    page = visit.open("services/looks_checked/page")
    table = page.locator("section[aria-labelledby=quality]")
    assert table.get_by_role("row").filter(has_text="cell 1, line 9").count() == 1
    assert table.get_by_role("link", name="bandit:B301").count() == 1
    visit.open("services/looks_checked/versions/1/page")
    assert page.locator("section[aria-labelledby=quality]").is_visible()


def test_the_catalog_works_without_scripts(server, chromium):
    visit = Visit(chromium, server, java_script_enabled=False)
    page = visit.page
    page.get_by_label("Search services").fill("forecast")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=forecast**")
    assert page.locator("#cards li").count() == 1
    assert page.get_by_label("Search services").input_value() == "forecast"
    page.get_by_role("link", name="Load forecast", exact=True).click()
    page.get_by_role("heading", name="About").wait_for()
    # All languages are shown, and no button that would do nothing.
    assert page.locator("[role=tabpanel] pre").count() > 1
    for panel in page.locator("[role=tabpanel]").all():
        assert panel.locator("pre").is_visible() and panel.locator("h3").is_visible()
    assert not page.locator("[role=tab], [data-copy], [data-theme-switch]").first.is_visible()
    visit.context.close()
    assert visit.wrong == []
