"""Filling in forms under cells of a real JupyterLab by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

EVERYTHING = """
TAGS = [f"tag{at}" for at in range(12)]
@ml.service
def everything(
    name: str,
    notes: ml.LongText,
    key: ml.Secret,
    count: Annotated[int, Field(ge=0)] = 3,
    level: Annotated[float, ml.Slider(0, 1, 0.1)] = 0.5,
    window: Annotated[tuple[int, int], ml.Interval(0, 100)] = (20, 60),
    color: ml.Color = "#2450c8",
    active: bool = False,
    size: Literal["S", "M", "L"] = "M",
    method: Literal["Random forest regression", "Support vector machine", "Linear"] = "Linear",
    country: Literal["Austria", "Belgium", "Croatia", "Denmark", "Estonia"] = "Austria",
    models: Annotated[list[str], ml.MultipleChoice(["Linear", "Forest", "SVR"])] = ["Linear"],
    tags: Annotated[list[str], ml.MultipleChoice(TAGS)] = [],
    day: date = date(2026, 1, 1),
    moment: datetime | None = None,
    at: clock = clock(12, 30),
    maybe: Annotated[int, ml.Slider(0, 10)] | None = None,
    start: Point = Point(1.0),
    points: list[Point] = [],
    weights: dict[str, float] = {},
    either: int | str = 5,
    anything: Any = None,
) -> Any:
    print("called by", name)
    Path("got.txt").write_text(repr(locals()))
    return {"count": count, "said": notes}
"""


def test_every_kind_of_field_is_filled_in_by_hand(open_form: Any, lab: Any) -> None:
    from playwright.sync_api import expect

    it = open_form(EVERYTHING, height=3600)
    it.input("Name").fill("Ada")
    it.input("Notes").fill("one\ntwo")
    it.input("Key").fill("pass")
    it.input("Count").fill("7")
    handle = it.field("Level").locator(".noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    lower = it.field("Window").locator(".noUi-handle").first
    lower.focus()
    lower.press("ArrowLeft")
    it.input("Color").fill("#ff8800")
    it.input("Active").check()
    it.field("Size").get_by_role("button", name="L", exact=True).click()
    it.input("Support vector machine").check()
    it.input("Country").select_option("Estonia")
    it.input("SVR").check()
    tag = it.field("Tags").locator("input")
    tag.fill("tag7")
    tag.press("Enter")
    it.input("Day").fill("2026-11-20")
    it.input("Moment").fill("2026-11-20T13:37")
    it.input("At").fill("08:15:00")
    it.input("Maybe").check()
    it.field("Start").get_by_label("X", exact=True).fill("2.5")
    add = it.field("Points").get_by_role("button", name="Add")
    rows = it.field("Points").locator(".em-row")
    add.click()
    rows.nth(0).wait_for()  # it moves the button
    add.click()
    rows.nth(1).get_by_label("X", exact=True).fill("4")
    rows.nth(0).locator(".em-remove").click()
    it.field("Weights").get_by_role("button", name="Add").click()
    it.field("Weights").get_by_placeholder("Name").fill("w")
    it.field("Weights").locator(".em-row .em-field input").fill("1.5")
    it.field("Either").get_by_role("button", name="Text").click()
    expect(it.field("Either").locator("input")).to_have_value("")
    it.field("Either").locator("input").fill("six")
    it.input("Anything").fill('{"a": [1, null]}')
    it.run()
    it.result.get_by_text("one", exact=False).wait_for()
    got = (lab.root / "got.txt").read_text()
    for expected in (
        "'name': 'Ada'",
        "'notes': 'one\\ntwo'",
        "'key': 'pass'",
        "'count': 7",
        "'level': 0.6",
        "'window': (19, 60)",
        "'color': '#ff8800'",
        "'active': True",
        "'size': 'L'",
        "'method': 'Support vector machine'",
        "'country': 'Estonia'",
        "'models': ['Linear', 'SVR']",
        "'tags': ['tag7']",
        "'day': datetime.date(2026, 11, 20)",
        "'moment': datetime.datetime(2026, 11, 20, 13, 37)",
        "'at': datetime.time(8, 15)",
        "'maybe': 0",
        "'start': Point(x=2.5, y=0.5)",
        "'points': [Point(x=4.0, y=0.5)]",
        "'weights': {'w': 1.5}",
        "'either': 'six'",
        "'anything': {'a': [1, None]}",
    ):
        assert expected in got
    it.page.locator(".em-tabs").get_by_role("tab", name="Log").click()
    it.page.get_by_text("called by Ada").wait_for()
    it.page.locator(".em-tabs").get_by_role("tab", name="Code").click()
    assert "c.everything(" in it.page.locator(".em-copied pre").first.inner_text()
    it.page.locator(".em-copied pre", has_text="curl -X POST").wait_for()


def test_wrong_input_is_told_at_its_field_and_stays_typed(open_form: Any) -> None:
    it = open_form(
        """
@ml.service
def wrong(name: str, count: Annotated[int, Field(ge=0)] = 3, points: list[Point] = []) -> int:
    return count
"""
    )
    it.input("Count").fill("-3")
    it.run()
    it.field("Name").get_by_text("Please fill in this field.").wait_for()
    it.input("Name").fill("Ada")
    it.field("Points").get_by_role("button", name="Add").click()
    it.page.locator(".em-row").get_by_label("X", exact=True).fill("-1")
    it.run()
    it.field("Count").locator(".em-error").first.wait_for()
    it.field("X").locator(".em-error").wait_for()
    assert it.input("Count").input_value() == "-3"
    look = it.form.locator(".em-wrong")
    it.input("Count").fill("5")
    it.input("Name").fill("Bob")  # who leaves a field has filled it in
    it.field("Count").locator(".em-error").first.wait_for(state="hidden")
    assert it.field("X").locator(".em-error").is_visible() and look.is_visible()
    it.page.locator(".em-row").get_by_label("X", exact=True).fill("1")
    it.input("Name").fill("Ada")
    it.field("X").locator(".em-error").wait_for(state="hidden")
    look.wait_for(state="detached")
    it.run()
    it.result.get_by_text("5", exact=True).wait_for()
    it.page.locator(".em-error").first.wait_for(state="detached")


def test_what_is_shown_is_what_is_sent(open_form: Any, lab: Any) -> None:
    from playwright.sync_api import expect

    it = open_form(
        """
from datetime import timedelta, timezone
from decimal import Decimal
BERLIN = timezone(timedelta(hours=2))
TAGS = [f"tag{at}" for at in range(12)]
@ml.service
def shown(
    tint: ml.Color = "#ff8800",
    day: date = date(2026, 1, 1),
    tags: Annotated[list[str], ml.MultipleChoice(TAGS)] = ["tag3"],
    moment: datetime = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=BERLIN),
    amount: Decimal = Decimal("12345678901234567890.12"),
    large: int = 2**53 + 1,
) -> str:
    Path("shown.txt").write_text(f"{locals()!r} {moment.isoformat()}")
    return f"called with {tint}"
""",
        height=1600,
    )
    expect(it.input("Amount")).to_have_value("12345678901234567890.12")
    expect(it.input("Large")).to_have_value("9007199254740993")
    it.run()
    it.result.get_by_text("called with #ff8800").wait_for()
    untouched = (lab.root / "shown.txt").read_text()
    for expected in (
        "'tint': '#ff8800'",
        "'day': datetime.date(2026, 1, 1)",
        "2026-01-01T12:30:15.123456+02:00",
        "'amount': Decimal('12345678901234567890.12')",
        "'large': 9007199254740993",
    ):
        assert expected in untouched
    (lab.root / "shown.txt").unlink()

    it.input("Tint").fill("notacolor")
    it.run()
    it.field("Tint").get_by_text("The value must be a color such as #1a2b3c.").wait_for()
    assert it.input("Tint").input_value() == "notacolor"
    it.input("Tint").fill("#00ff00")
    it.input("Tint").blur()
    expect(it.field("Tint").locator("input[type=color]")).to_have_value("#00ff00")

    it.input("Day").focus()
    it.page.keyboard.press("Backspace")  # half a date
    it.run()
    it.field("Day").get_by_text("Please fill in this field.").wait_for()
    it.input("Day").fill("2026-11-20")
    # What is no tag is only known to the browser, which says so itself.
    tag = it.field("Tags").locator("input")
    tag.fill("nosuch")
    it.run()
    it.page.wait_for_function("document.activeElement.validationMessage?.startsWith('Choose one')")
    tag.fill("tag7")
    tag.press("Enter")
    it.input("Time zone").fill("nowhere")
    it.run()
    it.field("Moment").get_by_text("The time zone must be an offset").wait_for()
    assert not (lab.root / "shown.txt").exists()
    it.input("Time zone").fill("America/New_York")
    it.input("Tint").focus()
    it.run()
    # The result of the first run is shown until this one has ended.
    it.result.get_by_text("called with #00ff00").wait_for()
    expect(it.page.locator(".em-error")).to_have_count(0)
    edited = (lab.root / "shown.txt").read_text()
    for expected in ("'#00ff00'", "2026, 11, 20", "['tag3', 'tag7']", "-05:00"):
        assert expected in edited


def test_files_are_chosen_seen_and_sent(open_form: Any, tmp_path: Path) -> None:
    it = open_form(
        """
@ml.service
def look(
    image: Annotated[np.ndarray, ml.Image()],
    load: Annotated[pd.DataFrame, ml.TimeSeries()] | None = None,
) -> Any:
    rows = 0 if load is None else len(load)
    return {"width": image.shape[1], "rows": rows}
""",
        height=1600,
    )
    Image.fromarray(np.eye(40, 64, dtype=np.uint8) * 200).save(tmp_path / "cells.png")
    (tmp_path / "load.csv").write_text(
        "time,load\n" + "".join(f"2026-01-{d:02d},{d}\n" for d in range(1, 29))
    )

    def choose(label: str, name: str) -> None:
        with it.page.expect_file_chooser() as chooser:
            it.field(label).locator(".em-choose").click()
        chooser.value.set_files(tmp_path / name)

    choose("Image", "cells.png")
    it.field("Image").get_by_text("64 \u00d7 40").wait_for()
    it.field("Image").get_by_role("button", name="Remove").click()
    it.field("Image").get_by_text("No image selected").wait_for()
    choose("Image", "cells.png")
    choose("Load", "load.csv")
    it.page.locator(".em-curve polyline").wait_for()
    it.run()
    it.page.locator(".em-stat", has_text="64").wait_for()
    it.page.locator(".em-stat", has_text="28").wait_for()
