"""Pages of a user's server on the Hub, in a real browser, behind its proxy and its login."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.hub.hub import Hub
from support.notebooks import make_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

SERVICE = """
import easymlnb as ml

@ml.service(public=True)
def louder(text: str = "hey") -> str:
    return text.upper()
"""


def _log_in(page: Any, hub: Hub, name: str) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(hub.password)
    page.locator("#login_submit").click()


def _shout(page: Any) -> None:
    page.locator(".em-form .em-primary").wait_for(timeout=90_000)
    page.get_by_label("Text", exact=True).fill("hello")
    page.locator(".em-form .em-primary").click()
    page.locator(".em-parts").get_by_text("HELLO").wait_for(timeout=60_000)


def test_apps_open_through_the_proxy_for_their_user_and_for_visitors(
    hub: Hub, chromium: Any, tmp_path: Path
) -> None:
    alice = hub.serve("alice")
    found = alice.publish(make_notebook(SERVICE), tmp_path / "louder.ipynb")
    assert found["state"] == "ready", found.get("error")
    elsewhere: list[str] = []
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    here = urlsplit(hub.url).netloc
    context.on(
        "request",
        lambda asked: elsewhere.append(asked.url) if urlsplit(asked.url).netloc != here else None,
    )
    page = context.new_page()
    # Users who are not logged in are redirected to the Hub's login, and back.
    page.goto(f"{alice.url}easymlnb/apps/louder")
    _log_in(page, hub, "alice")
    _shout(page)
    page.goto(f"{alice.url}easymlnb/")
    page.get_by_role("link", name="Louder").first.wait_for()
    context.close()
    visitor = chromium.new_context()
    visitor.set_default_timeout(60_000)
    page = visitor.new_page()
    page.goto(f"{alice.url}easymlnb/public/louder")
    _shout(page)
    page.goto(f"{alice.url}easymlnb/apps/louder")
    page.get_by_label("Username").wait_for()
    visitor.close()
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
