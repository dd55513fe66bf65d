"""App pages in a real browser: they open, call, and keep visitors apart."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.browser import SERVICES, form_kernels, run, until, visit
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("apps")
    with running_server(folder, make_notebook(SERVICES), app_kernels=1) as server:
        yield server


def test_opens_and_answers(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps, user=True) as user:
        page = user.open("apps/shout")
        assert page.title() == "Shout"
        assert page.get_by_role("heading", level=1).text_content() == "Shout"
        assert "Ann" in page.locator(".bar").inner_text()
        result = run(page, Text="hey")
        result.get_by_text("HEYHEYHEY").wait_for()
        assert page.locator("#painted").count() == 0


def test_a_link_with_a_token_logs_in_and_does_not_keep_it(
    apps: RunningServer, chromium: Any
) -> None:
    with visit(chromium, apps) as somebody:
        page = somebody.open(f"apps/shout?token={apps.token}&a=b")
        assert page.url == f"{apps.url}easymlnb/apps/shout?a=b"
        run(page, Text="he").get_by_text("HEHEHE").wait_for()


def test_public_page_needs_no_login(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/shout")
        run(page, Text="ho").get_by_text("HOHOHO").wait_for()
        # A visitor is led to no page that asks for a login.
        assert page.locator(f"a[href='{apps.base}easymlnb/']").count() == 0


@pytest.mark.parametrize("name", ["whisper", "nothing_of_that_name"])
def test_private_and_missing_look_alike(apps: RunningServer, chromium: Any, name: str) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.context.new_page()
        answer = page.goto(f"{apps.url}easymlnb/public/{name}")
        assert answer.status == 404
        text = re.sub(r"Request [0-9a-f]+", "", page.locator("body").inner_text())
        assert name not in text
        assert "Page not found" in text


def test_private_page_leads_to_the_login(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.context.new_page()
        page.goto(f"{apps.url}easymlnb/apps/whisper")
        assert "/login" in page.url


def test_two_visitors_see_their_own(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as ann, visit(chromium, apps) as bob:
        hers, his = ann.open("public/shout"), bob.open("public/shout")
        # Both pages live in one process; that is what keeps them apart.
        assert len({one.pid for one in form_kernels(apps)}) <= 2
        run(hers, Text="ann").get_by_text("ANNANNANN").wait_for()
        run(his, Text="bob").get_by_text("BOBBOBBOB").wait_for()
        assert "ANN" not in his.content() and "ann" not in his.locator(".em-form").inner_html()
        assert "BOB" not in hers.content()
        assert hers.get_by_label("Text", exact=True).first.input_value() == "ann"
        assert his.get_by_label("Text", exact=True).first.input_value() == "bob"


def test_pages_hold_nothing_that_opens_more(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps, user=True) as user:
        content = user.open("apps/shout").content()
        assert apps.token not in content


def test_theme_follows_the_system_and_the_switch(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/shout")
        shade = "getComputedStyle(document.querySelector('.em-card')).backgroundColor"
        light = page.evaluate(shade)
        page.emulate_media(color_scheme="dark")
        until(page, f"{shade} !== {light!r}")
        page.locator("[data-theme-switch]").click()
        until(page, f"{shade} === {light!r}")


def test_assets_are_packed_and_kept(apps: RunningServer) -> None:
    with httpx.Client(base_url=apps.url, timeout=60) as client:
        # While no form kernel is warm, there is another page that waits for one.
        script = apps.wait_for(
            lambda: re.search(r'src="([^"]*/app\.js)"', client.get("easymlnb/public/shout").text),
            "there is no script in the page",
        )
        for accepted, packed in (("gzip, br", "br"), ("gzip", "gzip"), ("identity", None)):
            answer = client.get(script[1], headers={"Accept-Encoding": accepted})
            assert answer.headers.get("Content-Encoding") == packed
            assert "immutable" in answer.headers["Cache-Control"]
        folder = script[1].rpartition("/")[0]
        for path in ("../../../../etc/passwd", "none.js"):
            assert client.get(f"{folder}/{path}").status_code in (404, 302)
