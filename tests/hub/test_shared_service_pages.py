"""Pages of the shared service in a real browser, behind the Hub's proxy and its login."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from support.hub.shared_service import ServiceHub
from support.notebooks import make_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

SERVICE = """
import easymlnb as ml

@ml.service
def louder(text: str = "hey") -> str:
    return text.upper() + {mark!r}
"""


def test_keys_usage_versions_and_app_through_the_proxy(
    service_hub: ServiceHub, chromium: Any, tmp_path: Path
) -> None:
    alice = service_hub.member("alice")
    for mark in ("", "!"):
        found = alice.publish(make_notebook(SERVICE.format(mark=mark)), tmp_path / "louder.ipynb")
        assert found["state"] == "ready", found.get("error")
    root = service_hub.service_url
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    elsewhere: list[str] = []
    here = urlsplit(service_hub.url).netloc
    context.on(
        "request",
        lambda asked: elsewhere.append(asked.url) if urlsplit(asked.url).netloc != here else None,
    )
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{root}keys/page")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(service_hub.password)
    page.locator("#login_submit").click()

    page.get_by_label("Services", exact=True).fill("alice/louder")
    page.get_by_role("button", name="Create key").click()
    page.locator("#new-key").wait_for()
    key = page.locator("#new-key-text").inner_text()
    with_key = {"Authorization": f"Bearer {key}"}
    call = f"{root}services/alice/louder/call"
    answer = httpx.post(call, json={"text": "hi"}, headers=with_key, timeout=60)
    assert (answer.status_code, answer.json()) == (200, "HI!"), answer.text

    page.goto(f"{root}usage/page")
    page.get_by_role("cell", name="alice/louder").first.wait_for()

    page.goto(f"{root}services/alice/louder/page")
    page.locator("#version-card").get_by_role("button", name="Roll back to version 1").click()
    page.locator("#version-card .legend").get_by_text("version 1: 100 %").wait_for()
    assert httpx.post(call, json={}, headers=with_key, timeout=60).json() == "HEY"
    page.locator("#ownership").get_by_role("button", name="Change maintainers").wait_for()

    page.goto(f"{root}apps/alice/louder")
    page.locator("html[data-ready] .em-form .em-primary").click()
    page.locator(".em-parts").get_by_text("HEY", exact=True).wait_for()

    page.goto(f"{root}keys/page")
    page.get_by_role("button", name="Revoke").first.click()
    page.get_by_text("revoked", exact=True).wait_for()
    assert httpx.post(call, json={}, headers=with_key, timeout=60).status_code == 401
    context.close()
    alice.http.delete("services/alice/louder")
    alice.http.close()
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
