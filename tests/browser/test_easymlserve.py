"""The page of an interface with all types of EasyMLServe, wide and narrow, light and dark."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from support.browser import keep, serious, visit
from support.notebooks import make_notebook
from support.server import RunningServer

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[1] / "examples" / "easymlserve"

CELL = """
from easymlnb.compat import easymlserve
easymlserve.run("gallery/ui.py")
"""
CSV = b"time,energy\n2026-01-01,1.5\n2026-01-02,2.5\n2026-01-03,0.5\n"


@pytest.fixture
def page(chromium: Any, session_server: RunningServer) -> Iterator[Any]:
    shutil.copytree(EXAMPLES / "gallery", session_server.root / "gallery")
    found = session_server.publish(make_notebook(CELL), "gallery.ipynb")
    assert found["state"] == "ready", found
    try:
        with visit(chromium, session_server, user=True) as user:
            yield user.open("apps/gallery_ui")
    finally:
        session_server.http.delete("services/gallery_ui")


def file(name: str, data: bytes, kind: str) -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": data}


def png() -> bytes:
    target = io.BytesIO()
    PIL.Image.radial_gradient("L").save(target, "PNG")
    return target.getvalue()


def looks(page: Any, name: str) -> None:
    """Look at the page in each size and scheme: nothing is wider than the window."""
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert serious(page) == []
            keep(page, f"easymlserve-{name}-{width}-{scheme}")


def choose(page: Any, label: str, value: dict[str, Any]) -> None:
    page.locator(f"input[type=file][aria-label^='{label}: choose']").set_input_files(value)


def test_gallery(page: Any) -> None:
    """Fill in nonsense, then values, and look at the page in between."""
    assert page.locator("h1").first.inner_text() == "UI Gallery"
    looks(page, "empty")
    page.get_by_label("ShortText", exact=True).fill("<b>nonsense</b> 💥")
    page.get_by_label("Number", exact=True).fill("three")
    page.get_by_label("Amount", exact=True).fill("1e999")
    page.get_by_text("B", exact=True).first.click()
    for label in ("File", "CSVFile"):
        choose(page, label, file("x.csv", CSV, "text/csv"))
    choose(page, "ImageFile", file("x.png", CSV, "image/png"))
    choose(page, "Webcam", file("x.png", png(), "image/png"))
    choose(page, "TimeSeries", file("x.csv", b"a,b\n1,2\n", "text/csv"))
    page.locator(".em-form .em-primary").click()
    page.locator(".em-error", has_text="number").first.wait_for()
    looks(page, "nonsense")

    page.get_by_label("Number", exact=True).fill("3")
    page.get_by_label("Amount", exact=True).fill("1.26")
    page.locator(".em-form .em-primary").click()
    # What only the service finds out is at the fields, too.
    page.locator(".em-error", has_text="must be an image").wait_for()
    page.locator(".em-error", has_text="time").first.wait_for()
    choose(page, "ImageFile", file("x.png", png(), "image/png"))
    choose(page, "TimeSeries", file("x.csv", CSV, "text/csv"))
    page.locator(".em-form .em-primary").click()
    parts = page.locator(".em-form .em-parts")
    parts.get_by_text("<b>nonsense</b> 💥").wait_for()
    looks(page, "result")
    shown = parts.inner_text()
    for title in ("ShortText", "ImageFile", "TimeSeries", "Webcam", "result.csv"):
        assert title in shown, shown
