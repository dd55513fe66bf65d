"""What people do on the page of an app, in a real browser, on a real server."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.browser import keep, note, serious, until, visit
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

SERVICES = '''
import time
from dataclasses import dataclass
from datetime import date, datetime, time as clock
from pathlib import Path
from typing import Annotated, Any, Literal
import numpy as np, pandas as pd
from pydantic import Field
import easymlnb as ml

@dataclass
class Point:
    x: Annotated[float, Field(ge=0)]
    y: float = 0.5

@ml.service
def everything(
    text: str,
    long: ml.LongText = "two\\nlines",
    secret: ml.Secret = "",
    count: Annotated[int, Field(ge=0)] = 3,
    share: Annotated[float, ml.Slider(0, 1, 0.25)] = 0.5,
    window: Annotated[tuple[float, float], ml.Interval(0, 10)] = (2.0, 5.0),
    sure: bool = False,
    size: Literal["small", "large"] = "small",
    month: Literal["Jan", "Feb", "Mar", "Apr", "May"] = "Jan",
    some: Annotated[list[str], ml.MultipleChoice(["a", "b"])] = [],
    color: ml.Color = "#112233",
    day: date = date(2026, 1, 2),
    moment: datetime = datetime(2026, 1, 2, 3, 4),
    at: clock = clock(5, 6),
    numbers: list[int] = [1],
    point: Point = Point(1.0),
    maybe: float | None = None,
) -> dict[str, str]:
    """Takes one of everything."""
    times = (day.isoformat(), moment.isoformat(), at.isoformat())
    found = (count, share, window, sure, size, month, some, str(color), *times, numbers, point.x)
    return {"said": repr((text, long, len(str(secret)), *found, maybe))}

@ml.service
def slow(steps: int = 600) -> int:
    for at in range(steps):
        ml.progress(at / steps, f"step {at}")
        time.sleep(0.05)
    return steps

@ml.service(examples=[{"name": "Ada"}, {"name": "Bo", "times": 2}])
def greet(name: str, times: Annotated[int, Field(ge=1)] = 1) -> dict[str, Any]:
    """Greets people."""
    return {"words": f"Hello {name}! " * times, "letters": len(name) * times}

@ml.service(max_body=2**30)
def measure(file: Annotated[ml.File, ml.File()] ) -> dict[str, int]:
    return {"bytes": len(file.data)}

@ml.service
def look(image: Annotated[np.ndarray, ml.Image(max_bytes=2_000_000)]) -> dict[str, int]:
    return {"width": image.shape[1]}

@ml.service
def series(load: Annotated[pd.DataFrame, ml.TimeSeries()]) -> int:
    return len(load)

@ml.service
def rows(n: int = 100_000) -> ml.Table:
    words = [f"<b>w{i % 97}</b>" for i in range(n)]
    words[:6] = ["=cmd|' /C calc'!A0", "+1-555", "-2.5", " @sum", "a;=1", "a-b = c"]
    return pd.DataFrame({"number": np.arange(n), "word": words})

@ml.service
def laid_out(name: str, times: int = 1) -> str:
    return f"Hello {name}! " * times

NASTY = "<h2>Mine</h2><img src=x onerror=alert(1)>"

@laid_out.app
def page(form):
    import ipywidgets as W
    return W.HBox([
        W.VBox([W.HTML(NASTY), form.fields["name"], form.run]),
        W.Tab([form.result, form.history], titles=("Out", "Before")),
    ])
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("page")
    with running_server(folder, make_notebook(SERVICES), app_kernels=1) as server:
        yield server


@pytest.fixture
def user(chromium: Any, server: RunningServer) -> Iterator[Any]:
    with visit(chromium, server, user=True) as made:
        made.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield made


def run(page: Any) -> None:
    page.locator(".em-primary").click()


def result(page: Any) -> Any:
    return page.locator(".em-parts")


def test_every_kind_of_field_is_filled_in_by_hand(user: Any) -> None:
    page = user.open("apps/everything")

    def field(label: str) -> Any:
        return page.get_by_label(label, exact=True)

    field("Text").fill("written")
    field("Long").fill("a\nb")
    field("Secret").fill("hunter2")
    field("Count").fill("7")
    field("Share").focus()
    page.keyboard.press("ArrowRight")
    field("Window, from").focus()
    page.keyboard.press("ArrowRight")
    field("Sure").check()
    page.get_by_role("button", name="large").click()
    field("Month").select_option("Apr")
    field("b").check()
    field("Color").fill("#445566")
    field("Day").fill("2026-03-04")
    field("Moment").fill("2026-03-04T05:06")
    field("At").fill("07:08:00")
    page.get_by_role("button", name="Add").click()
    page.get_by_label(re.compile("Numbers, 2")).last.fill("9")
    field("X").fill("2.5")
    field("Maybe").first.fill("0.125")
    run(page)
    said = result(page).inner_text
    result(page).get_by_text("written").wait_for()
    for word in (
        "'written', 'a\\nb', 7, 7, 0.75, (", "True, 'large', 'Apr', ['b'], '#445566'",
        "'2026-03-04', '2026-03-04T05:06:00', '07:08:00', [1, 9], 2.5, 0.125",
    ):  # fmt: skip
        assert word in said(), word
    assert serious(page) == []


def test_wrong_input_is_told_at_its_field_and_stays(user: Any) -> None:
    from playwright.sync_api import expect

    page = user.open("apps/greet")
    page.get_by_label("Name", exact=True).fill("Ada")
    page.get_by_label("Times", exact=True).fill("0")
    run(page)
    wrong = page.locator(".em-field", has_text="Times").locator(".em-error")
    wrong.wait_for()
    assert page.get_by_label("Times", exact=True).input_value() == "0"
    # Screen readers get the message one frame later.
    expect(page.get_by_label("Times", exact=True)).to_have_attribute("aria-invalid", "true")
    assert page.get_by_label("Name", exact=True).input_value() == "Ada"
    page.get_by_label("Times", exact=True).fill("2")
    run(page)
    result(page).get_by_text("Hello Ada! Hello Ada!").wait_for()
    wrong.wait_for(state="detached")


def test_keys_run_and_stop(user: Any) -> None:
    page = user.open("apps/slow")
    # What is being typed counts although the field was not left.
    page.get_by_label("Steps", exact=True).fill("500")
    page.keyboard.press("Control+Enter")
    page.locator(".em-line", has_text="step").wait_for()
    page.keyboard.press("Escape")
    page.locator(".em-nothing", has_text="The call was stopped.").wait_for()
    # The button is back a moment after the words, and keys do not wait for it.
    page.locator(".em-running").wait_for(state="detached")
    page.get_by_label("Steps", exact=True).fill("1")
    page.keyboard.press("Control+Enter")
    result(page).get_by_text("1", exact=True).wait_for()


def test_runs_of_a_visit_are_kept_compared_and_linked_to(user: Any) -> None:
    page = user.open("apps/greet")
    page.locator(".em-example").nth(0).click()
    run(page)
    result(page).get_by_text("Hello Ada!").wait_for()
    page.locator(".em-example").nth(1).click()
    run(page)
    result(page).get_by_text("Hello Bo! Hello Bo!").wait_for()
    page.get_by_role("button", name="Compare").click()
    both = page.locator(".em-compare")
    both.get_by_text("Hello Ada!").wait_for()
    both.get_by_text("Hello Bo! Hello Bo!").wait_for()
    keep(page, "app-compared")
    page.get_by_role("button", name="Close").click()
    both.wait_for(state="detached")
    page.get_by_role("button", name="Open", exact=True).click()
    result(page).get_by_text("Hello Ada!").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JSON").click()
    assert download.value.suggested_filename.endswith(".json")
    page.get_by_label("Name", exact=True).fill("Eve")
    # It says so for a moment only.
    copied = "(one) => one.textContent.trim() === 'Link copied'"
    note(page, f"[...document.querySelectorAll('button')].some({copied})")
    page.get_by_role("button", name="Copy link").click()
    until(page, "window.noted")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "#v=" in link
    other = user.context.new_page()
    other.goto(link)
    other.locator(".em-primary").wait_for()
    other.get_by_label("Name", exact=True).and_(other.locator("input")).wait_for()
    until_value(other, "Name", "Eve")


def until_value(page: Any, label: str, value: str) -> None:
    """Wait until a field holds a value."""
    from playwright.sync_api import expect

    expect(page.get_by_label(label, exact=True)).to_have_value(value, timeout=60_000)


def test_what_was_typed_survives_a_reload(user: Any) -> None:
    page = user.open("apps/greet")
    page.get_by_label("Name", exact=True).fill("Ada")
    page.get_by_label("Times", exact=True).fill("4")
    page.get_by_label("Times", exact=True).blur()
    # The first draft that is kept may be one of between the two.
    until(
        page,
        "Object.values(sessionStorage)"
        ".some((kept) => kept.includes('\"Ada\"') && kept.includes('\"times\": 4'))",
    )
    page.reload()
    page.locator(".em-primary").wait_for()
    until_value(page, "Name", "Ada")
    until_value(page, "Times", "4")


def test_a_large_file_is_sent_in_parts_with_its_progress(user: Any, tmp_path: Path) -> None:
    page = user.open("apps/measure")
    sent: list[int] = []

    def count(request: Any) -> None:
        if request.method == "PUT":
            sent.append(int(request.headers.get("content-length", 0)))

    page.on("request", count)
    size = 40 * 2**20 + 7
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(size)
    note(page, "document.querySelector('.em-sending')?.hidden === false")
    held: list[Any] | None = []

    def hold(route: Any) -> None:
        if held is None:
            route.continue_()
        else:
            held.append(route)

    page.route("**/uploads/*", hold)
    page.locator("input[type=file]").set_input_files(tmp_path / "large.bin")
    until(page, "window.noted")
    run(page)
    page.get_by_text("Waiting for the file").wait_for()
    parts, held = held, None
    for route in parts:
        route.continue_()
    page.locator(".em-sending").wait_for(state="hidden", timeout=120_000)
    assert len(sent) > 2
    page.locator(".em-stat b", has_text=f"{size:,}".replace(",", "\u2009")).wait_for()


def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.eye(40, 64, dtype=np.uint8) * 200).save(out, "PNG")
    return out.getvalue()


HAND_OVER = """(el, [kind, name, type, data]) => {
    const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
    const held = new DataTransfer();
    held.items.add(new File([bytes], name, { type }));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: held, bubbles: true, cancelable: true })
        : new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true });
    el.dispatchEvent(event);
}"""


def test_a_picture_is_dropped_and_pasted(user: Any) -> None:
    page = user.open("apps/look")
    data = base64.b64encode(png()).decode()
    for kind, where in (("paste", "body"), ("drop", ".em-drop")):
        page.locator(where).evaluate(HAND_OVER, [kind, f"{kind}.png", "image/png", data])
        page.get_by_text(f"{kind}.png").wait_for()
        page.get_by_text("64 \u00d7 40").wait_for()
        page.locator(".em-sending").wait_for(state="hidden")
    run(page)
    page.locator(".em-stat", has_text="64").wait_for()


def test_a_photo_is_taken(user: Any) -> None:
    user.context.grant_permissions(["camera"])
    page = user.open("apps/look")
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Take photo").click()
    page.locator(".em-filename", has_text="photo.png").wait_for()
    page.locator("dialog").wait_for(state="detached")
    page.locator(".em-sending").wait_for(state="hidden")
    run(page)
    page.locator(".em-stat", has_text="width").wait_for()


def test_what_cannot_be_read_is_refused_before_it_is_sent(user: Any, tmp_path: Path) -> None:
    page = user.open("apps/look")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    (tmp_path / "letter.pdf").write_bytes(b"%PDF")
    page.locator("input[type=file]").set_input_files(tmp_path / "letter.pdf")
    page.get_by_text("letter.pdf has an unsupported file type").wait_for()
    (tmp_path / "large.png").write_bytes(png() + bytes(2_000_000))
    page.locator("input[type=file]").set_input_files(tmp_path / "large.png")
    page.get_by_text("the maximum is 1.9 MB").wait_for()
    assert not [one for one in requests if "/uploads" in one]
    run(page)
    page.get_by_text("Please check the highlighted fields.").wait_for()


SHADE = """canvas => {
    const at = (x, y) => canvas.getContext("2d").getImageData(x, y, 1, 1).data[0];
    return [at(0, 0), at(63, 39), at(32, 20)];
}"""


def test_pages_of_a_deep_tiff_are_seen_however_it_is_packed(user: Any, tmp_path: Path) -> None:
    page = user.open("apps/look")
    ramp = np.linspace(0, 60_000, 40 * 64).reshape(40, 64).astype(np.uint16)
    first, second = (Image.fromarray(one) for one in (ramp, ramp[::-1].copy()))
    for way in (None, "tiff_deflate", "tiff_lzw", "packbits"):
        path = tmp_path / f"{way}.tif"
        first.save(path, save_all=True, append_images=[second], compression=way)
        page.locator("input[type=file]").set_input_files(path)
        page.locator(".em-filename", has_text=path.name).wait_for()
        page.get_by_text("64 \u00d7 40, 16 bit, 2 pages").wait_for()
        page.get_by_label("Enlarge the image").click()
        canvas = page.locator("canvas.em-large")
        dark, bright, middle = canvas.evaluate(SHADE)
        assert dark <= 1 and bright >= 254 and 120 < middle < 140, way
        page.get_by_label("Next page").click()
        page.get_by_text("Page 2 of 2").wait_for()
        # It is drawn after that is said.
        shown = f"({SHADE})(document.querySelector('canvas.em-large'))"
        until(page, f"(([bright, dark]) => bright > 200 && 60 > dark)({shown})")
        assert page.get_by_text("the service reads only the first").is_visible()


def test_a_tiff_is_previewed_upright(user: Any, tmp_path: Path) -> None:
    from PIL import ImageOps

    page = user.open("apps/look")
    image = Image.fromarray(np.array([[0, 60, 120], [150, 200, 255]], np.uint8))
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[274] = turn
        path = tmp_path / f"turn{turn}.tif"
        image.save(path, exif=exif)
        held = image.copy()
        held.getexif()[274] = turn
        wanted = np.asarray(ImageOps.exif_transpose(held))
        page.locator("input[type=file]").set_input_files(path)
        page.locator(".em-filename", has_text=path.name).wait_for()
        width, height = wanted.shape[1], wanted.shape[0]
        page.get_by_text(f"{width} \u00d7 {height}", exact=False).wait_for()
        seen = page.locator("canvas.em-large").evaluate(
            "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width,"
            " canvas.height).data].filter((_, at) => at % 4 === 0)"
        )
        assert seen == wanted.reshape(-1).tolist(), turn


def test_a_series_shows_its_curve(user: Any, tmp_path: Path) -> None:
    page = user.open("apps/series")
    lines = "".join(f"2026-01-{day:02d};{day},{day}\n" for day in range(1, 29))
    (tmp_path / "load.csv").write_text("time;load,<b>x</b>\n" + lines)
    (tmp_path / "good.csv").write_text("time,load\n" + lines.replace(",", ".").replace(";", ","))
    page.locator("input[type=file]").set_input_files(tmp_path / "good.csv")
    page.locator(".em-curve polyline").wait_for()
    page.get_by_text("28 rows, 2 columns; separator ','").wait_for()
    page.locator(".em-sending").wait_for(state="hidden")
    run(page)
    page.locator(".em-stat", has_text="28").wait_for()
    # Here each number of the lines is one with a decimal comma.
    (tmp_path / "commas.csv").write_text("time;load\n" + lines)
    page.locator("input[type=file]").set_input_files(tmp_path / "commas.csv")
    page.get_by_text("28 rows, 2 columns; separator ';', decimal comma").wait_for()
    (tmp_path / "load.xlsx").write_bytes(b"PK\x03\x04")
    page.locator("input[type=file]").set_input_files(tmp_path / "load.xlsx")
    page.get_by_text("load.xlsx is a spreadsheet, which is not supported").wait_for()


def test_a_table_of_100000_rows_scrolls_sorts_and_is_saved(user: Any) -> None:
    page = user.open("apps/rows")
    run(page)
    grid = page.locator(".em-grid")
    body = grid.locator("tbody tr:not([aria-hidden])")
    body.first.wait_for()
    assert body.count() < 100
    grid.evaluate("e => { e.scrollTop = e.scrollHeight; }")
    grid.get_by_text("99999").wait_for()
    assert body.count() < 100
    grid.get_by_role("button", name="number").click()
    grid.get_by_role("button", name="number").click()
    grid.locator('th[aria-sort="descending"]').wait_for()
    assert body.first.inner_text().startswith("99999")
    assert "<b>w" in body.first.inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    saved = Path(download.value.path()).read_text().splitlines()
    assert len(saved) == 100_001
    # What a spreadsheet would run is text there, and as it is for programs.
    assert saved[1:7] == [
        "0,'=cmd|' /C calc'!A0", "1,'+1-555", "2,-2.5", "3, '@sum", "4,\"a;'=1\"", "5,a-b = c"
    ]  # fmt: skip
    answer = user.server.http.post("services/rows/call", json={}, headers={"Accept": "text/csv"})
    assert answer.text.splitlines()[1:3] == ["0,=cmd|' /C calc'!A0", "1,+1-555"]
    assert serious(page) == []


def test_a_page_laid_out_by_its_author_works_and_runs_none_of_their_code(user: Any) -> None:
    page = user.open("apps/laid_out")
    page.get_by_role("heading", name="Mine").wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert page.get_by_label("Times", exact=True).count() == 0
    page.get_by_label("Name", exact=True).fill("Ada")
    run(page)
    result(page).get_by_text("Hello Ada!").wait_for()
    page.get_by_role("tab", name="Before").click()
    page.locator(".em-history").wait_for()
    keep(page, "app-custom")


def test_nothing_on_the_page_shuts_people_out_in_either_theme_at_any_width(user: Any) -> None:
    page = user.open("apps/everything")
    page.get_by_label("Text", exact=True).fill("x")
    run(page)
    result(page).locator(".em-part").first.wait_for()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert serious(page) == [], (scheme, width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            keep(page, f"app-{scheme}-{width}")
    page.get_by_role("tab", name="API").click()
    page.locator(".em-copied").first.wait_for()
    assert serious(page) == []
