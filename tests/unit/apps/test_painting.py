"""The form as HTML, before its controls are live."""

import re
from datetime import date, datetime
from enum import Enum
from html.parser import HTMLParser
from typing import Annotated, Any, Literal

import ipywidgets as W
import pytest
from pydantic import Field

import easymlnb as ml
from easymlnb.apps.app_page import AppPage
from easymlnb.apps.painting import PAINTERS, paint
from easymlnb.forms.local_caller import LocalCaller
from easymlnb.services.definition import define

Shade = Enum("Shade", {name: name for name in ("red", "green", "blue", "black", "white")})


def everything(
    text: str,
    times: Annotated[int, Field(ge=0, le=10)] = 4,
    share: Annotated[float, Field(ge=0, le=1)] = 0.25,
    ends: tuple[Annotated[int, Field(ge=0, le=10)], Annotated[int, Field(ge=0, le=10)]] = (2, 8),
    long: ml.LongText = "two\nlines",  # type: ignore[valid-type]
    kind: Literal["round", "square"] = "round",
    shade: Shade = Shade.red,
    day: date = date(2026, 1, 2),
    at: datetime = datetime(2026, 1, 2, 3, 4),
    color: ml.Color = "#ff0000",  # type: ignore[valid-type]
    yes: bool = True,
    picture: ml.Image | None = None,
    words: list[str] = [],  # noqa: B006
) -> str:
    return text


class Outline(HTMLParser):
    """Checks that elements are closed in order, and lists the attributes of each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in ("input", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in wanted.items())
        ]


def page_of(function: Any, **options: Any) -> AppPage:
    service = define(function, **options)
    return AppPage(service.spec, LocalCaller(service), base="/easymlnb/")


@pytest.fixture(scope="module")
def page() -> AppPage:
    return page_of(everything, examples=[{"text": "<b>x</b>"}])


def test_all_fields_show_their_defaults(page: AppPage) -> None:
    outline = Outline(paint(page.widget))
    labels = {found["for"] for found in outline.of("label") if found.get("for")}
    for found in outline.of("input", type="text") + outline.of("select") + outline.of("textarea"):
        assert found["id"] in labels or "jupyter-widget-taginput" in str(found.get("class"))
    assert [found["value"] for found in outline.of("input", type="date")] == ["2026-01-02"]
    assert outline.of("input", type="datetime-local")[0]["value"] == "2026-01-02T03:04:00"
    assert outline.of("option", value="red")[0].keys() >= {"selected"}


def test_sliders_stand_where_the_front_end_puts_them(page: AppPage) -> None:
    html = paint(page.widget)
    # noUiSlider moves a handle by ten times its distance from the right end.
    assert re.findall(r"translate\((-?\d+)%, 0\)\"><div class=\"noUi-handle", html)[:2] == [
        "-600",
        "-750",
    ]
    assert ">4</div>" in html and ">0.25</div>" in html
    between = paint(W.IntRangeSlider(value=(2, 8), min=0, max=10))
    assert "2 \u2013 8" in between and "translate(20%, 0) scale(0.6, 1)" in between


def test_texts_of_authors_are_escaped(page: AppPage) -> None:
    html = paint(page.widget)
    assert "<b>x</b>" not in html and "&lt;b&gt;x&lt;/b&gt;" in html


def test_each_widget_on_the_page_can_be_found_by_its_id(page: AppPage) -> None:
    html = paint(page.widget)
    for widget in page.form.context.widgets:
        if isinstance(widget, W.Text | W.Dropdown | W.IntSlider | W.Button):
            assert f'data-model="{widget.model_id}"' in html


def test_hidden_pages_are_left_out(page: AppPage) -> None:
    assert "Call this service from code" not in paint(page.widget)


@pytest.mark.parametrize("name", sorted(PAINTERS))
def test_every_painter_is_for_a_view_of_ipywidgets(name: str) -> None:
    views = {
        widget.class_traits()["_view_name"].default_value
        for widget in vars(W).values()
        if isinstance(widget, type) and issubclass(widget, W.Widget)
    }
    assert name in views


def test_numbers_are_written_as_the_front_end_writes_them() -> None:
    slider = W.FloatLogSlider(value=0.01, base=10, min=-4, max=0, readout_format=".4g")
    html = paint(slider)
    assert ">0.01000</div>" in html and "translate(-500%, 0)" in html
    assert ">\u22123</div>" in paint(W.IntSlider(value=-3, min=-9, max=9))
