"""Accessibility of app pages: axe-core in every state, wide and light, narrow and dark."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import SERVICES, keep, run, serious, visit
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

ONE = ("--EasyMLNB.app_pages=1", "--EasyMLNB.app_reconnect_timeout=1")
LOOKS = {"light": {"width": 1280, "height": 900}, "dark": {"width": 390, "height": 800}}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("access")
    with running_server(folder, make_notebook(SERVICES), app_kernels=1, options=ONE) as server:
        yield server


def test_an_app_and_the_page_of_who_waits_for_it(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as first, visit(chromium, apps) as second:
        page = first.open("public/shout")
        # The page must not reload while axe-core reads it.
        second.context.route("**/wait.js*", lambda route: route.fulfill(body=""))
        waiting = second.open("public/shout", wait=False)
        waiting.get_by_text("All slots are in use").wait_for()
        for theme, size in LOOKS.items():
            for name, one in (("waiting", waiting), ("app", page)):
                one.set_viewport_size(size)
                one.emulate_media(color_scheme=theme)
                keep(one, f"{name}-{theme}")
                assert serious(one) == [], (name, theme)
        run(page, Text="hey").get_by_text("HEYHEYHEY").wait_for()
        keep(page, "app-result")
        assert serious(page) == []
        second.context.unroute("**/wait.js*")
        waiting.reload()
        page.close()
        # A waiting visitor continues automatically when a session is free.
        waiting.locator(".em-form .em-primary").wait_for(timeout=90_000)


def test_the_page_of_an_app_that_is_not_there(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/nothing", wait=False)
        keep(page, "app-nothing")
        assert serious(page) == []
