"""Pages of a server that many share: whose services one sees, and the form that shares them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from easymlnb.contract.names import url_path
from easymlnb.publishing.bundle import build_bundle
from support.browser import keep, serious
from support.notebooks import make_notebook
from support.server import free_port
from support.shared_server import BOB, OPTIONS, PEOPLE, SharedServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CELLS = '''
@ml.service(title="Segment cells", tags=["biology"], author="A. Author")
def segment(size: int = 1) -> int:
    """Outlines cells."""
    return size
'''
COUNT = '''
@ml.service(title="Count <b>things</b>", tags=["demo"])
def count(to: int = 3) -> int:
    """Counts."""
    return to
'''


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    made = SharedServer(
        tmp_path_factory.mktemp("shared"), free_port(), base="/services/", options=OPTIONS
    )
    made.start()
    try:
        made.bring("alice", CELLS)
        made.bring(BOB, COUNT)
        yield made
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def private(shared: SharedServer) -> None:
    """Every test begins with services that are their owners' alone."""
    shared.share("alice/segment")
    shared.share(f"{BOB}/count")


class Window:
    """Somebody's window; what goes wrong in it is kept."""

    def __init__(self, browser: Any, shared: SharedServer, who: str, **options: Any) -> None:
        self.wrong: list[str] = []
        self.url = f"{shared.url}easymlnb/"
        self.context = browser.new_context(**options)
        self.context.add_cookies([{"name": "who", "value": who, "url": shared.url}])
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.set_default_timeout(60_000)

    def open(self, where: str = "") -> Any:
        self.page.goto(f"{self.url}{where}")
        self.page.wait_for_load_state("networkidle")
        return self.page

    def titles(self) -> list[str]:
        found: list[str] = self.page.locator("#cards li.service h2").all_inner_texts()
        return sorted(found)


@pytest.fixture
def window(chromium: Any, shared: SharedServer) -> Iterator[Any]:
    made: list[Window] = []

    def opened(who: str, **options: Any) -> Window:
        made.append(Window(chromium, shared, who, **options))
        return made[-1]

    yield opened
    for one in made:
        one.context.close()
        assert one.wrong == []


PAGE = "services/alice/segment/page"


def save(page: Any, choice: str, **names: str) -> None:
    page.get_by_label(choice, exact=True).check()
    for label, text in names.items():
        page.get_by_label(label, exact=True).fill(text)
    with page.expect_response("**/access") as answer:
        page.get_by_role("button", name="Save").click()
    assert answer.value.ok, answer.value.text()


def test_the_owner_shares_and_takes_back_on_the_page(window: Any, shared: SharedServer) -> None:
    alice, dave, carol = window("alice"), window("dave"), window("carol")
    page = alice.open(PAGE)
    assert page.get_by_label("Only you").is_checked()
    assert not page.get_by_label("Groups", exact=True).is_visible()
    save(page, "People and groups", Groups="ml", People=f"{BOB},  dave")
    page.get_by_role("status").get_by_text("by group ml").wait_for()
    told = shared.people["alice"].get("services/alice/segment/access").json()
    assert told == {"users": sorted([BOB, "dave"]), "groups": ["ml"]} | dict.fromkeys(
        ("everyone", "public"), False
    )
    link = page.locator("#share-link code").inner_text()
    assert link == f"{shared.url}easymlnb/apps/alice/segment"
    dave.open()
    assert dave.titles() == ["Segment cells"]
    assert "alice/segment" in dave.page.locator("li.service .by").inner_text()
    dave.open(PAGE)
    assert dave.page.locator("#sharing").count() == 0
    carol.open()
    assert carol.titles() == []
    carol.open(PAGE)
    carol.page.get_by_text("There is no service named 'alice/segment'").wait_for()
    save(page, "Public")
    page.get_by_text("without a login").first.wait_for()
    public = f"{shared.url}easymlnb/public/alice/segment"
    page.locator("#share-link code").get_by_text(public, exact=True).wait_for()
    save(page, "Only you")
    page.get_by_text("Only you and").wait_for()
    assert not page.locator("#share-link").is_visible()
    dave.open()
    assert dave.titles() == []


def test_the_keyboard_is_enough(window: Any, shared: SharedServer) -> None:
    page = window("alice").open(PAGE)
    page.get_by_label("Only you").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("ml")
    with page.expect_response("**/access"):
        page.keyboard.press("Enter")
    page.get_by_text("by group ml").wait_for()
    assert shared.people["dave"].get("services/alice/segment").status_code == 200


def test_naming_nobody_is_said_and_changes_nothing(window: Any, shared: SharedServer) -> None:
    shared.share("alice/segment", groups=["ml"])
    page = window("alice").open(PAGE)
    page.get_by_label("Groups", exact=True).fill(" , ")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").get_by_text("Enter at least one person or group").wait_for()
    told = shared.people["alice"].get("services/alice/segment/access").json()
    assert told["groups"] == ["ml"]


def test_what_the_server_refuses_is_shown_in_its_words(window: Any) -> None:
    page = window("alice").open(PAGE)
    page.get_by_label("People and groups").check()
    page.get_by_label("People", exact=True).fill("x" * 300)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").get_by_text("255").wait_for()


def test_the_catalog_tells_mine_from_what_is_shared_with_me(
    window: Any, shared: SharedServer
) -> None:
    from playwright.sync_api import expect

    shared.share(f"{BOB}/count", groups=["ml"])
    alice = window("alice")
    page = alice.open()
    assert alice.titles() == ["Count <b>things</b>", "Segment cells"]
    for choice, titles in (
        ("My services", ["Segment cells"]),
        ("Shared with me", ["Count <b>things</b>"]),
    ):
        with page.expect_response("**whose=**"):
            page.locator("#whose").select_option(label=choice)
        expect(page.locator("#cards li.service h2")).to_have_text(titles)
    page.get_by_role("link", name=BOB, exact=True).click()
    page.wait_for_url("**owner=b%2Bob%40x.org**")
    assert alice.titles() == ["Count <b>things</b>"]
    # Who is not its owner does not see with whom else it is shared.
    assert page.locator("li.service .foot").get_by_text("ml").count() == 0
    page.get_by_role("link", name="Count <b>things</b>", exact=True).click()
    page.get_by_role("heading", name="Count <b>things</b>", level=1).wait_for()
    assert page.url.endswith(f"services/{url_path(f'{BOB}/count')}/page")
    assert page.locator("#sharing").count() == 0


def test_an_administrator_sees_all_and_may_share_and_remove(
    window: Any, shared: SharedServer
) -> None:
    shared.bring("carol", COUNT.replace("count", "spare").replace("Count", "Spare"))
    root = window("root")
    page = root.open()
    assert len(root.titles()) == 3
    page.get_by_text("administrator").wait_for()
    root.open("services/carol/spare/page")
    page.get_by_text("Owner: carol").wait_for()
    save(page, "Everyone on the Hub")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove service").click()
    page.wait_for_url(root.url)
    assert shared.people["carol"].get("services").json()["total"] == 0


def test_maintainers_and_owners_change_on_pages(window: Any, shared: SharedServer) -> None:
    page = window("alice").open(PAGE)
    page.get_by_label("Maintainers", exact=True).fill("dave")
    with page.expect_navigation():
        page.get_by_role("button", name="Change maintainers").click()
    page.get_by_text("Maintainers: dave.").wait_for()
    shared.people["alice"].put("services/alice/segment/maintainers", json={})
    shared.bring("carol", COUNT.replace("count", "left").replace("Count", "Left"))
    shared.know({name: one for name, one in PEOPLE.items() if name != "carol"})
    root = window("root")
    page = root.open("hub/ownerless/page")
    assert serious(page) == []
    page.get_by_label("New owner of carol/left").fill("alice")
    with page.expect_navigation():
        page.get_by_role("button", name="Transfer", exact=True).click()
    assert shared.people["alice"].delete("services/alice/left").status_code == 204
    shared.know(PEOPLE)


def test_what_is_being_published_is_shown_to_its_owner(
    window: Any, shared: SharedServer, tmp_path: Path
) -> None:
    flag, book = tmp_path / "go", tmp_path / "slow.ipynb"
    wait = f"import time, pathlib\nwhile not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.1)"
    slow = COUNT.replace("count", "slow").replace("Count", "Slow")
    nbformat.write(make_notebook("import easymlnb as ml", wait, slow), book)
    alice, carol, root = window("alice"), window("carol"), window("root")
    http = shared.people["alice"]
    sent = http.post(
        "services", content=build_bundle(book).data, headers={"Content-Type": "application/zip"}
    )
    assert sent.status_code == 202, sent.text
    starts = alice.open().get_by_role("region", name="Publishing")
    starts.get_by_text("slow.ipynb").wait_for()
    root.open().get_by_text("slow.ipynb by alice").wait_for()
    assert carol.open().get_by_text("Publishing").count() == 0
    flag.touch()
    # The page follows by itself.
    alice.page.get_by_role("link", name="Slow <b>things</b>", exact=True).wait_for(timeout=90_000)
    starts.wait_for(state="detached")
    assert http.delete("services/alice/slow").status_code == 204


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_shared_page_shuts_anybody_out(
    window: Any, shared: SharedServer, scheme: str, width: int
) -> None:
    shared.share("alice/segment", groups=["ml"], users=[BOB, "dave", "carol"])
    shared.share(f"{BOB}/count", everyone=True)
    alice = window("alice", color_scheme=scheme, viewport={"width": width, "height": 900})
    for name, where in (("catalog", ""), ("service", PAGE), ("gone", "services/x/y/page")):
        page = alice.open(where)
        keep(page, f"shared-{name}-{scheme}-{width}")
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
