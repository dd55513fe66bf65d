"""A newcomer with a CSV file makes a model without code, in Chromium: at most twelve clicks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import keep, serious
from support.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

HOUSES = "id;area;rooms;district;price\n" + "".join(
    f"h{n};{40 + n},5;{n % 5 + 1};{'north' if n % 3 else 'south'};"
    f"{3000 * n + 20_000 * (n % 3 == 0) + n * 7919 % 9000}\n"
    for n in range(60)
)


class Newcomer:
    """A page, and the clicks that were made on it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.clicks = 0

    def click(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()
        self.clicks += 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("wizard")) as made:
        yield made


def test_a_newcomer_with_a_csv_has_a_called_service_in_twelve_clicks(
    server: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    file = tmp_path / "houses.csv"
    file.write_text(HOUSES)
    # A phone in the dark.
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    context.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    newcomer = Newcomer(page)
    title = page.locator("#step-title")

    page.goto(f"{server.url}easymlnb/templates/page?token={server.token}")
    expect(title).to_have_text("Data")
    page.locator("#file").set_input_files(file)
    newcomer.clicks += 2  # on the field, and on the file
    expect(title).to_have_text("Columns")
    expect(page.get_by_label("Decimal sign")).to_have_value(",")
    assert _fits(page)
    assert serious(page) == []
    keep(page, "templates-columns")
    page.reload()  # nothing is lost
    expect(title).to_have_text("Columns")
    newcomer.click("Next")
    expect(page.locator("#target")).to_have_value("price")
    newcomer.click("Next")
    expect(page.locator(".findings")).to_contain_text("'id' is different in each row")
    assert serious(page) == []
    keep(page, "templates-check")
    newcomer.click("Next")
    expect(title).to_have_text("Algorithms")
    newcomer.click("Next")
    expect(page.locator("#name")).to_have_value("houses")
    expect(page.locator("#step-body")).to_contain_text("id")
    newcomer.click("Train")
    expect(page.locator("#scores")).to_contain_text("no candidate has seen")
    expect(page.locator("#scores .plots figure")).to_have_count(3)
    assert _fits(page)
    assert serious(page) == []
    keep(page, "templates-result")
    newcomer.click("Expose")
    newcomer.click("Call it")
    expect(page.locator("#call-answer")).to_contain_text('"predictions"')
    assert newcomer.clicks <= 12
    assert server.http.get("services/houses").status_code == 200
    page.locator("#predict-form").get_by_label("area").fill("70.5")
    newcomer.click("Predict")
    expect(page.locator("#predicted")).not_to_be_empty()
    expect(page.locator("#versions")).to_contain_text("predicts")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")
    assert serious(page) == []
    keep(page, "templates-wide")

    newcomer.click("Train again")  # with the same data
    expect(title).to_have_text("Columns")
    for step in ("Target", "Check", "Algorithms"):
        newcomer.click("Next")
        expect(title).to_have_text(step)
    page.get_by_label("Baseline").check()
    newcomer.click("Next")
    newcomer.click("Train")
    expect(page.locator("#scores")).to_contain_text("Version 2")
    page.get_by_label("Use version 1").click()
    expect(page.locator("#scores")).to_contain_text("Version 1")

    page.once("dialog", lambda dialog: dialog.accept())
    newcomer.click("Delete the model")
    expect(title).to_have_text("Data")
    assert server.http.get("services/houses").status_code == 404
    assert errors == []
    context.close()


def _fits(page: Any) -> bool:
    """Return whether nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
