"""The pages in a real browser: searching, themes, trying a call."""

import json
import re

import httpx
import pytest

from easymlnb.client import connect
from easymlnb.model_store.saving import Description, archive_of
from support.browser import keep, serious
from support.notebooks import make_notebook
from support.server import running_server

NOTEBOOK = '''
import easymlnb as ml

@ml.service(title="Roll a die", tags=["demo"], examples=[{"sides": 4}], public=True)
def seen_roll(sides: int = 6) -> int:
    """Answer the **sides**."""
    print("rolled", sides)
    return sides

@ml.service(tags=["other"])
def seen_tell(doc: ml.File) -> str:
    return doc.data.decode()
'''

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory, chromium):
    folder, notebook = tmp_path_factory.mktemp("pages"), make_notebook(NOTEBOOK)
    with running_server(folder, notebook, app_kernels=1) as server:
        yield server, chromium


@pytest.fixture
def page(pages):
    server, browser = pages
    context = browser.new_context(color_scheme="light")
    context.set_default_timeout(60_000)
    made = context.new_page()
    errors = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda said: errors.append(said.text))
    made.goto(f"{server.url}easymlnb/?token={server.token}")
    yield made
    context.close()
    assert not errors


def test_search_and_tags_narrow_the_catalog(page):
    from playwright.sync_api import expect

    cards = page.locator("#cards li")
    expect(cards).to_have_count(2)
    page.get_by_label("Search services").fill("DIE roll")
    expect(cards).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?q=DIE\+roll$"))
    page.get_by_label("Search services").fill("nothing like it")
    expect(cards).to_have_count(0)
    page.get_by_role("link", name="Show all").click()
    expect(cards).to_have_count(2)
    page.wait_for_load_state()  # its script listens from then on
    page.get_by_label("other", exact=True).check(force=True)
    expect(cards).to_have_count(1)
    page.reload()
    expect(cards).to_have_count(1)
    page.get_by_label("other", exact=True).uncheck(force=True)
    expect(cards).to_have_count(2)
    page.get_by_role("combobox", name="Input").select_option("file")
    expect(cards).to_have_count(1)


def test_the_theme_can_be_switched_and_stays(page):
    def background():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    before = background()
    page.get_by_label("Switch between light and dark").click()
    assert background() != before
    page.reload()
    assert background() != before
    page.get_by_label("Switch between light and dark").click()
    assert background() == before
    assert page.evaluate("localStorage.length") == 0


def test_a_service_can_be_read_and_its_code_chosen_by_keyboard(page):
    page.get_by_role("link", name="Roll a die", exact=True).click()
    page.wait_for_url("**/services/seen_roll/page")  # and for its scripts
    page.get_by_role("heading", name="Roll a die").wait_for()
    page.get_by_role("tab", name="Python").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="curl").get_attribute("aria-selected") == "true"
    assert "curl" in page.get_by_role("tabpanel").inner_text()


def test_a_call_can_be_tried(page, pages):
    page.get_by_role("link", name="Roll a die", exact=True).click()
    page.get_by_role("link", name="API", exact=True).click()
    form = page.locator("#call_seen_roll form")
    form.get_by_role("button", name="Send").click()
    form.locator(".answer pre").wait_for()
    assert form.locator(".answer pre").inner_text() == "4"
    assert "version 1" in form.locator(".answer p").inner_text()
    form.get_by_label("JSON").fill("{")
    form.get_by_role("button", name="Send").click()
    form.locator(".answer .error").wait_for()
    assert "not valid JSON" in form.locator(".answer .error").inner_text()

    def logged():
        return pages[0].http.get("services/seen_roll/log").json()["entries"][-1]["log"]

    # An answer does not wait for the log.
    pages[0].wait_for(lambda: logged() == "rolled 4\n", "it is not in the log")


def test_a_file_can_be_tried(page, pages):
    page.goto(f"{pages[0].url}easymlnb/docs#call_seen_tell")
    form = page.locator("#call_seen_tell form")
    form.get_by_label("doc").set_input_files(
        {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"}
    )
    form.get_by_role("button", name="Send").click()
    form.locator(".answer pre").wait_for()
    assert form.locator(".answer pre").inner_text() == '"hello"'


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(page, pages, width):
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("", "services/seen_roll/page", "docs#call_seen_roll"):
        page.goto(f"{pages[0].url}easymlnb/{path}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_public_service_has_a_badge_and_its_link_to_copy(page, pages):
    from playwright.sync_api import expect

    server, browser = pages
    link = f"{server.url}easymlnb/public/seen_roll"
    cards = page.locator("#cards li")
    expect(cards.filter(has_text="Roll a die").get_by_text("public", exact=True)).to_be_visible()
    assert cards.filter(has_text="seen_tell").get_by_text("public", exact=True).count() == 0
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="Roll a die", exact=True).click()
    expect(page.locator("header").get_by_text("public", exact=True)).to_be_visible()
    page.get_by_role("button", name="Copy public link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == link

    context = browser.new_context()
    visitor = context.new_page()
    visitor.goto(link)
    visitor.locator(".em-form .em-primary").wait_for(timeout=120_000)
    assert server.token not in visitor.content()
    visitor.get_by_role("tab", name="API").click()
    expect(visitor.get_by_text("Calls from code require a token.")).to_be_visible()
    context.close()

    page.goto(f"{server.url}easymlnb/services/seen_tell/page")
    assert page.get_by_role("button", name="Copy public link").count() == 0
    assert page.locator("header").get_by_text("public", exact=True).count() == 0


def test_a_key_is_shown_once_and_revoked(page, pages, tmp_path):
    """Create a key on its page, call with it, and revoke it; both pages fit small windows."""
    from playwright.sync_api import expect

    server, _ = pages
    page.goto(f"{server.url}easymlnb/keys/page")
    page.get_by_label("Services", exact=True).fill("seen_roll")
    page.get_by_label("Note").fill("shop")
    page.get_by_label("Calls per day").fill("5")
    page.get_by_role("button", name="Create key").click()
    shown = page.locator("#new-key-text")
    expect(shown).to_have_text(re.compile(r"^emnb_\w{49}$"))
    key = shown.text_content()
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{server.url}easymlnb/services/seen_roll/call"
    assert httpx.post(url, json={"sides": 3}, headers=headers, timeout=60).json() == 3
    server.wait_for(lambda: server.http.get("usage").json()["usage"], "nothing is counted")
    for path in ("keys/page", "usage/page"):
        page.goto(f"{server.url}easymlnb/{path}")
        assert key not in page.content()
        assert serious(page) == []
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=tmp_path / f"{path.replace('/', '-')}-{width}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{server.url}easymlnb/keys/page")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("revoked")).to_be_visible()
    assert httpx.post(url, json={}, headers=headers, timeout=60).status_code == 401


def test_versions_are_promoted_and_rolled_back_after_a_question(page, pages):
    from playwright.sync_api import expect

    server, _ = pages
    traffic, asked = "services/seen_roll/traffic", []

    def press(name, *, agree=True):
        page.once(
            "dialog",
            lambda dialog: (
                asked.append(dialog.message),
                dialog.accept() if agree else dialog.dismiss(),
            ),
        )
        card.get_by_role("button", name=name, exact=True).click()

    server.publish(make_notebook(NOTEBOOK + "\n# changed"), "work.ipynb", stage="true")
    for version in (1, 2):
        server.http.post(f"services/seen_roll/versions/{version}/call", json={})
    page.goto(f"{server.url}easymlnb/services/seen_roll/page")
    card = page.locator("#version-card")
    press("Promote", agree=False)
    assert server.http.get("services/seen_roll/promotions").json()["promotions"] == []
    press("Promote")
    expect(card.get_by_role("status")).to_contain_text("Promotion of version 2: running at 5 %")
    card.get_by_role("button", name="Pause", exact=True).click()
    expect(card.get_by_role("status")).to_contain_text("paused")
    press("Cancel promotion")
    expect(card.get_by_role("status")).to_contain_text("It was canceled.")
    server.http.put(traffic, json={"weights": {"1": 95, "2": 5}, "aliases": {"candidate": 2}})
    server.wait_for(lambda: "Failed calls" in page_text(server), "no numbers are shown", 60)
    for width in (1440, 390):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.reload()
            shown = card.get_by_role("img", name="Traffic: version 1 95 %, version 2 5 %")
            expect(shown).to_be_visible()
            assert shown.evaluate(IS_INSIDE)
            expect(card.locator(".legend").get_by_text("version 2: 5 %")).to_be_visible()
            assert serious(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            keep(page, f"versions-{scheme}-{width}")
    press("Roll back to version 1")
    expect(card.get_by_role("img", name="Traffic: version 1 100 %")).to_be_visible()
    assert server.http.get(traffic).json()["weights"] == {"1": 100}
    assert len(asked) == 4 and "Give all calls to version 1?" in asked[-1]


IS_INSIDE = """bar => {
  const right = (element) => element.getBoundingClientRect().right;
  return right(bar.querySelector("g:last-child rect")) <= right(bar.closest("section"));
}"""


def page_text(server):
    return server.http.get("services/seen_roll/page").text


def save_model(server, folder, mae):
    """Save a version with a learning curve and a plot of plotly."""
    plot = {"data": [{"type": "scatter", "x": [0, 1], "y": [1, mae]}], "layout": {}}
    (folder / "plots").mkdir(exist_ok=True)
    (folder / "plots/residuals.json").write_text(json.dumps(plot))
    curves = [("loss", step, mae / (step + 1)) for step in range(4)]
    about = Description(metrics={"mae": mae}, params={"trees": 9}, curves=curves)
    with connect(server.url, server.token) as client, archive_of(folder, about) as archive:
        client.models.add_version("forest", archive)


def test_versions_of_a_model_are_compared_and_one_is_chosen(page, pages, tmp_path):
    from playwright.sync_api import expect

    server, _ = pages
    for mae in (2.5, 1.5):
        save_model(server, tmp_path, mae)
    page.get_by_role("link", name="Models", exact=True).click()
    page.get_by_role("link", name="forest", exact=True).click()
    assert not serious(page)
    for version in (1, 2):
        page.get_by_label(f"Compare version {version}").check()
    page.get_by_role("button", name="Compare").click()
    row = page.get_by_role("row", name="mae")
    expect(row.get_by_role("cell")).to_have_text(["2.5", "1.5"])
    expect(page.locator("svg.plot")).to_have_count(1)
    assert not serious(page)
    page.get_by_role("link", name="2", exact=True).click()
    page.locator("[data-plot] .main-svg").first.wait_for()
    assert not serious(page)
    questions = []
    page.on("dialog", lambda dialog: (questions.append(dialog.message), dialog.accept()))
    page.get_by_role("button", name="Use this one").click()
    page.get_by_text("production", exact=True).first.wait_for()
    assert questions == [
        "Use version 2 as production? Running services load it at once.",
    ]
    expect(page.get_by_role("button", name="Use this one")).to_have_count(0)


def test_pages_without_a_network_say_so_and_keep_what_was_typed(pages):
    """One context without the network: forms, buttons and the search; and double clicks."""
    from playwright.sync_api import expect

    server, browser = pages
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(f"{server.url}easymlnb/?token={server.token}")
    page.wait_for_load_state("networkidle")
    unreachable = page.get_by_text("The server cannot be reached. Check your connection")

    context.set_offline(True)
    page.get_by_label("Search services").fill("roll")
    expect(unreachable).to_be_visible()
    assert page.locator("#cards li").count() > 0
    context.set_offline(False)
    page.get_by_label("Search services").fill("roll ")
    expect(unreachable).to_be_hidden()

    page.goto(f"{server.url}easymlnb/keys/page")
    assert page.title() == "API keys · easymlnb"
    page.get_by_label("Services", exact=True).fill("seen_roll")
    page.get_by_label("Note").fill("<b>twice</b> 💥")
    create = page.get_by_role("button", name="Create key")
    context.set_offline(True)
    create.click()
    expect(unreachable).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("<b>twice</b> 💥")
    context.set_offline(False)
    create.dblclick()
    expect(page.locator("#new-key-text")).to_have_text(re.compile("^emnb_"))
    expect(page.locator("#keys td", has_text="<b>twice</b> 💥")).to_have_count(1)

    page.goto(f"{server.url}easymlnb/services/seen_roll/batches/page?job=nonsense")
    expect(page.locator("#error")).to_contain_text("You have no job with this id")
    page.goto(f"{server.url}easymlnb/services/nothing/page")
    assert page.title() == "Page not found · easymlnb"
    context.close()
