"""App pages when things end: the server, the place, the room for more; and many at once."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import SERVICES, form_kernels, run, until, visit
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

# Servers and form kernels are started again and again.
pytestmark = pytest.mark.timeout(300)

OPTIONS = (
    "--EasyMLNB.app_pages_per_visitor=2",
    "--EasyMLNB.app_pages_per_service=3",
    "--EasyMLNB.app_reconnect_timeout=5",
    "--EasyMLNB.app_open_timeout=30",
)

CONNECTION = "window.easymlnb.connection"

NO_NOTICE = "document.getElementById('notice').hidden"
"""The page reports nothing; one notice alone may be replaced by another."""

SLOW = """
from collections.abc import Iterator

@ml.service(public=True, timeout=120)
def slow(seconds: float = 100) -> Iterator[str]:
    time.sleep(seconds)
    yield "done"
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Under a base URL, with room for few."""
    folder, notebook = tmp_path_factory.mktemp("life"), make_notebook(SERVICES, SLOW)
    with running_server(
        folder, notebook, base="/user/ann/", app_kernels=1, options=OPTIONS
    ) as server:
        yield server


def test_waits_for_room_and_goes_on_by_itself(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as ann, visit(chromium, apps) as bob:
        first = ann.open("public/shout")
        ann.open("public/shout")
        # Two are enough for one visitor.
        third = ann.open("public/shout", wait=False)
        third.get_by_text("You have too many pages open").wait_for()
        bob.open("public/shout")
        waiting = bob.open("public/shout", wait=False)
        waiting.get_by_text("All slots are in use").wait_for()
        first.goto("about:blank")
        waiting.locator(".em-form .em-primary").wait_for(timeout=90_000)


def test_place_is_given_back_when_the_page_is_closed(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as ann:
        for _ in range(5):
            ann.open("public/shout").close(run_before_unload=True)
        assert ann.open("public/shout").locator(".em-form").count() == 1


def test_short_loss_of_the_line_keeps_the_place(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as ann:
        page = ann.open("public/shout")
        run(page, Text="one").get_by_text("ONEONEONE").wait_for()
        place = page.evaluate("document.documentElement.dataset.session")
        # As a network that changes does: the socket is gone, the page not.
        page.evaluate(f"(window.lost = {CONNECTION}.socket).close(3000)")
        # That it was away in between may be too short to see.
        until(page, f"{CONNECTION}.socket !== window.lost && {CONNECTION}.connected")
        run(page, Text="two").get_by_text("TWOTWOTWO").wait_for()
        assert page.evaluate("document.documentElement.dataset.session") == place


def test_server_restarted_under_an_open_page(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as ann:
        page = ann.open("public/shout")
        field = page.get_by_label("Text", exact=True).first
        field.fill("kept")
        field.press("Tab")
        # The form keeps a draft some moments after the last key.
        until(page, "Object.values(sessionStorage).some((text) => text.includes('kept'))")
        place = page.evaluate("document.documentElement.dataset.session")
        apps.stop(signal.SIGKILL)
        page.get_by_text("Connection lost").wait_for()
        apps.start()
        apart = f"document.documentElement.dataset.session !== {place!r}"
        until(page, f"{apart} && 'ready' in document.documentElement.dataset", 90)
        apps.wait_for(lambda: apps.state("shout") == "ready", "it did not come back", 90)
        until(page, "document.querySelector('.em-form input[type=text]')?.value === 'kept'")
        run(page).get_by_text("KEPTKEPTKEPT").wait_for(timeout=60_000)


def test_server_stopped_in_order_and_started_again_under_an_open_page(
    apps: RunningServer, chromium: Any
) -> None:
    with visit(chromium, apps) as ann:
        page = ann.open("public/shout")
        field = page.get_by_label("Text", exact=True).first
        field.fill("kept")
        field.press("Tab")
        until(page, "Object.values(sessionStorage).some((text) => text.includes('kept'))")
        place = page.evaluate("document.documentElement.dataset.session")
        apps.stop()
        # The page stays, with what is on it, and says what is the matter.
        page.get_by_text("Connection lost").wait_for()
        assert page.evaluate("document.documentElement.dataset.session") == place
        assert field.input_value() == "kept"
        apps.start()
        apart = f"document.documentElement.dataset.session !== {place!r}"
        until(page, f"{apart} && 'ready' in document.documentElement.dataset", 90)
        until(page, "document.querySelector('.em-form input[type=text]')?.value === 'kept'")
        apps.wait_for(lambda: apps.state("shout") == "ready", "it did not come back", 90)


def test_something_else_that_answers_for_the_server_does_not_end_the_page(
    apps: RunningServer, chromium: Any
) -> None:
    """A proxy without its routes answers 404 or with a page of its own."""
    with visit(chromium, apps) as ann:
        page = ann.open("public/shout")
        place = page.evaluate("document.documentElement.dataset.session")
        answers = [404, 424, 200]
        page.route(
            "**/api/kernels/*",
            lambda route: route.fulfill(status=answers[0], body="<html>Not here.</html>"),
        )
        page.evaluate("dispatchEvent(new Event('online'))")
        page.get_by_text("Connection lost").wait_for()
        while len(answers) > 1:
            with page.expect_response("**/api/kernels/*"):
                answers.pop(0)
        assert page.get_by_text("Connection lost").is_visible()
        page.unroute("**/api/kernels/*")
        until(page, NO_NOTICE)
        assert page.evaluate("document.documentElement.dataset.session") == place
        assert page.evaluate(f"{CONNECTION}.connected")


def test_connection_is_called_lost_until_there_is_one(apps: RunningServer, chromium: Any) -> None:
    """The server answers again before the page's own line is up."""
    with visit(chromium, apps) as ann:
        page = ann.open("public/shout")
        page.evaluate(
            # It opens, and nothing comes of it.
            f"() => {{ {CONNECTION}.WebSocket = class extends WebSocket"
            " { constructor(url, kinds) { super(url.replace('channels', 'nowhere'), kinds); } };"
            f" {CONNECTION}.socket.close(); }}"
        )
        page.get_by_text("Reconnecting").wait_for()
        page.evaluate(f"() => {{ {CONNECTION}.WebSocket = WebSocket; }}")
        until(page, NO_NOTICE)
        assert page.evaluate(f"{CONNECTION}.connected")
        run(page, Text="on").get_by_text("ONONON").wait_for()


def test_a_page_that_is_loaded_again_takes_up_its_run(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as ann:
        page = ann.open("public/slow")
        page.get_by_label("Seconds", exact=True).first.fill("5")
        page.locator(".em-form .em-primary").click()
        page.locator(".em-running").wait_for()
        page.reload()
        page.locator(".em-form .em-parts").get_by_text("done", exact=True).wait_for()
        assert page.get_by_label("Seconds", exact=True).first.input_value() == "5"


def test_nothing_is_left_of_a_killed_server(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as ann:
        ann.open("public/shout")
        kernels = form_kernels(apps)
        assert kernels
        apps.stop(signal.SIGKILL)
        apps.wait_for(lambda: not any(one.is_running() for one in kernels), "they stayed")
        apps.start()


def test_many_tabs_opened_and_left(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, notebook = tmp_path_factory.mktemp("tabs"), make_notebook(SERVICES)
    with running_server(folder, notebook, app_kernels=2) as server:
        with visit(chromium, server) as ann:
            # As many as one visitor may have open, and again as soon as those are closed.
            for _ in range(2):
                tabs = [ann.open("public/shout", wait=False) for _ in range(10)]
                for tab in tabs:
                    tab.locator(".em-form .em-primary").wait_for(timeout=90_000)
                for tab in tabs:
                    tab.close(run_before_unload=True)
        assert len(form_kernels(server)) <= 3
