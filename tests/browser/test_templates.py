"""A newcomer with a CSV file makes a model without code, in Chromium: at most twelve clicks."""

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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


def test_the_wizard_says_before_a_training_that_nothing_is_left_to_learn_from(
    server: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    one, same, wide = (tmp_path / f"{name}.csv" for name in ("one", "same", "wide"))
    one.write_text("id,y\n" + "".join(f"h{n},{n * 7919 % 97}\n" for n in range(60)))
    same.write_text("a,b\n" + "1,2\n" * 60)
    names = ",".join(f"c{n}" for n in range(30))
    wide.write_text(
        f"{names},y\n" + "".join(f"{'1,' * 29}{n % 7},{n * 7919 % 97}\n" for n in range(60))
    )
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page = context.new_page()
    newcomer, title = Newcomer(page), page.locator("#step-title")
    page.goto(f"{server.url}easymlnb/templates/page?token={server.token}")

    page.locator("#file").set_input_files(one)
    for step in ("Columns", "Target", "Check"):
        expect(title).to_have_text(step)
        newcomer.click("Next")
    expect(page.locator("#problem")).to_contain_text("Every column but the target is left out")
    page.get_by_label("Keep it").check()
    newcomer.click("Next")
    expect(title).to_have_text("Algorithms")

    for _ in range(4):
        newcomer.click("Back")
    page.locator("#file").set_input_files(same)
    expect(title).to_have_text("Columns")
    newcomer.click("Next")
    expect(page.locator("#target option:checked")).to_have_text("Choose a column")
    newcomer.click("Next")
    expect(page.locator("#problem")).to_contain_text("Choose the column to predict")

    for _ in range(2):
        newcomer.click("Back")
    page.locator("#file").set_input_files(wide)
    for step in ("Columns", "Target"):
        expect(title).to_have_text(step)
        newcomer.click("Next")
    expect(page.locator(".findings details, details:has(.findings)").first).to_contain_text(
        "24 more like these"
    )
    assert _fits(page)
    context.close()


HOURS = "time,load\n" + "".join(
    f"2024-01-{1 + n // 24:02d} {n % 24:02d}:00,{100 + 20 * math.sin(n * math.pi / 12):.2f}\n"
    for n in range(24 * 20)
)


def _pictures() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, color in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
            for n in range(8):
                archive.writestr(f"{name}/{n}.png", _picture(color, n))
    return target.getvalue()


def _picture(color: tuple[int, int, int], n: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (40, 30 + n), tuple(min(255, one + 3 * n) for one in color)).save(
        target, "PNG"
    )
    return target.getvalue()


@pytest.mark.parametrize(
    ("template", "name", "content", "steps"),
    [
        ("forecast", "load.csv", HOURS.encode(), ("Columns", "Target", "Check")),
        pytest.param("images", "colors.zip", _pictures(), ("Check",), marks=pytest.mark.nightly),
    ],
)
def test_a_newcomer_makes_a_forecast_and_a_classifier_of_images(
    server: RunningServer,
    chromium: Any,
    tmp_path: Path,
    template: str,
    name: str,
    content: bytes,
    steps: tuple[str, ...],
) -> None:
    from playwright.sync_api import expect

    file, picture = tmp_path / name, tmp_path / "one.png"
    file.write_bytes(content)
    picture.write_bytes(_picture((210, 50, 50), 1))
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    newcomer, title = Newcomer(page), page.locator("#step-title")

    page.goto(f"{server.url}easymlnb/templates/page?token={server.token}")
    page.locator(f"input[name=template][value={template}]").check()
    page.locator("#file").set_input_files(file)
    for step in steps:
        expect(title).to_have_text(step)
        assert _fits(page)
        assert serious(page) == []
        keep(page, f"templates-{template}-{step.lower()}")
        newcomer.click("Next")
    expect(title).to_have_text("Algorithms")
    network = page.get_by_label("Neural network")
    expect(network).to_have_count(1 if template == "images" else 0)
    page.get_by_label("Linear").check()
    newcomer.click("Next")
    newcomer.click("Train")
    expect(page.locator("#scores")).to_contain_text("no candidate has seen")
    assert _fits(page)
    assert serious(page) == []
    if template == "images":
        page.locator("#predict-form input[type=file]").set_input_files(picture)
    newcomer.click("Predict")
    if template == "images":
        expect(page.locator("#predicted")).to_have_text("red")
    else:
        expect(page.locator("#prediction figure")).to_have_count(1)
    keep(page, f"templates-{template}-predicted")
    newcomer.click("Expose")
    newcomer.click("Call it")
    expect(page.locator("#call-answer")).to_contain_text('"predictions"')
    assert server.http.get(f"services/{file.stem}").status_code == 200
    assert errors == []
    context.close()


def _fits(page: Any) -> bool:
    """Return whether nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
