"""Results as widgets."""

import base64
import json
from datetime import timedelta

import ipywidgets as W
import numpy as np
import pytest

from easymlnb.apps.summaries import results
from easymlnb.forms.renderers import PLOTLY, RENDERERS, draw, figure, written_json
from easymlnb.forms.sanitize import clean, markdown
from easymlnb.services.presentation import to_parts

NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>"
CODE = base64.b64encode(b"bytes").decode()


def said(parts) -> str:
    return "".join(widget.value for widget in draw(parts))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (125, "125"),
        (1234567, "1\u2009234\u2009567"),
        (0.94, "0.94"),
        (182.4321, "182.4"),
        (123456.7, "123\u2009457"),
        (1200.0, "1\u2009200"),
        (0.0, "0"),
        (1.5e-7, "1.5e-07"),
        (3.2e12, "3.2e+12"),
        (-2.5, "-2.5"),
        (True, "True"),
        (None, "None"),
    ],
)
def test_numbers_are_written_as_people_read_them(value, words):
    assert figure(value) == words


def test_numbers_come_first_and_downloads_last():
    parts = [
        {"kind": "file", "title": "report", "name": "report.json", "data": CODE},
        {"kind": "text", "title": "note", "data": "fine"},
        {"kind": "number", "title": "mean_size", "data": 3, "more": {"unit": "px"}},
        {"kind": "number", "title": "cells", "data": 4},
    ]
    first, second, third = draw(parts)
    assert first.value.count('em-stat"') == 2
    assert "mean size, px" in first.value
    assert "Note" in second.value
    assert 'download="report.json"' in third.value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (timedelta(hours=1, minutes=15), "1 h 15 min"),
        (timedelta(days=-2, seconds=1.5), "-1 d 23 h 59 min 58.5 s"),
        (timedelta(0), "0 s"),
        (np.timedelta64(90, "m"), "1 h 30 min"),
        ("PT1H15M", "PT1H15M"),
    ],
)
def test_durations_are_shown_with_units(value, shown):
    assert f">{shown}<" in said(to_parts(value))
    assert f">{shown}<" in said(to_parts({"took": value, "n": 1}))
    assert dict(results(to_parts({"took": value}), 5)) == {"took": shown}


@pytest.mark.parametrize("kind", sorted(set(RENDERERS) - {"plotly", "table", "json"}))
def test_nothing_that_a_service_says_runs_in_the_page(kind):
    part = {"kind": kind, "title": NASTY, "name": NASTY + '"', "data": NASTY, "media_type": NASTY}
    written = said([part])
    assert "<script" not in written
    assert "<img src=x" not in written
    assert "onerror=alert(1)>" not in written.replace("&gt;", "")


def test_a_table_says_how_much_of_it_is_shown():
    rows = [[1, 2.5, NASTY, None, {"a": 1}]] * 3
    data = {"columns": ["id", "size", NASTY, "none", "more"], "rows": rows, "total": 5000}
    written = said([{"kind": "table", "title": "cells", "data": data}])
    assert "The first 3 of 5\u2009000 rows." in written
    assert '<td class="em-num">2.5</td>' in written
    assert "<script" not in written


def test_long_json_is_folded():
    assert "<details>" not in said([{"kind": "json", "data": [1, 2]}])
    assert "<details>" in said([{"kind": "json", "data": list(range(100))}])


def test_a_plotly_figure_goes_to_the_front_ends_own_plotly():
    shown = {"data": [{"y": [1, 2]}], "layout": {}}
    for data in (shown, json.dumps(shown)):
        (widget,) = draw([{"kind": "plotly", "data": data}])
        assert isinstance(widget, W.Output)
        assert widget.outputs[0]["data"][PLOTLY]["data"] == shown["data"]


def test_a_picture_is_never_of_a_kind_that_could_run():
    part = {"kind": "image", "data": CODE, "media_type": "text/html"}
    assert f"data:image/png;base64,{CODE}" in said([part])


def test_a_download_has_no_type_that_a_browser_would_open():
    part = {"kind": "file", "name": "a.html", "data": CODE, "media_type": "text/html"}
    assert f'href="data:application/octet-stream;base64,{CODE}"' in said([part])


def test_unknown_kinds_are_shown_as_json_and_broken_ones_say_so():
    assert "42" in said([{"kind": "hologram", "data": 42}])
    broken = draw([{"kind": "table", "title": "t", "data": 3}, {"kind": "text", "data": "still"}])
    assert "cannot be displayed" in broken[0].value
    assert "still" in broken[1].value


def test_markdown_is_rendered_and_cannot_fetch_or_run():
    text = "# Title\n\n**bold** ![x](http://canary.example/x.png) [a](javascript:alert(1))\n\n"
    written = markdown(text + "| a |\n|---|\n| 1 |\n\n<script>alert(1)</script>")
    assert "<strong>bold</strong>" in written
    assert "<table>" in written
    assert "canary" not in written.replace("&lt;", "")
    assert "<script" not in written
    assert 'href="javascript' not in written


def test_html_keeps_pictures_inside_and_links_to_pages():
    inside = '<img src="data:image/png;base64,AA==">'
    link = '<a href="https://example.org/">x</a>'
    written = clean(inside + link + '<a href="data:text/html,x">y</a><p style="top:0">z</p>')
    assert "data:image/png" in written
    assert "https://example.org/" in written
    assert "data:text" not in written
    assert "style" not in written


def test_short_json_stays_on_one_line_and_all_of_it_is_kept():
    value = {"a": [1.0, 2.0], "b": {"c": ["x" * 40] * 3, "[ d ]": "[ e ]"}, "f": [], "g": {}}
    written = written_json(value)
    assert '"a": [1.0, 2.0],' in written
    assert json.loads(written) == value


def test_a_figure_loads_no_pictures_from_elsewhere():
    own, far = {"source": "data:image/png;base64,xx"}, {"source": "http://evil.example/x.png"}
    data = {
        "data": [{"type": "image", **far}, {"type": "sankey", "link": {"source": [0, 1]}}],
        "layout": {"images": [own, far], "template": {"layout": {"images": [far]}}},
        "frames": [{"layout": {"images": [far]}}],
    }
    (out,) = draw([{"kind": "plotly", "data": data}])
    figure = out.outputs[0]["data"][PLOTLY]
    assert "evil" not in json.dumps(figure)
    assert figure["layout"]["images"] == [own, {}]
    assert figure["data"][1]["link"]["source"] == [0, 1]


def test_long_json_is_cut():
    written = said([{"kind": "json", "data": [1] * 100_000}])
    assert len(written) < 110_000
    assert "characters of JSON" in written


def test_markdown_is_shown_as_the_worker_rendered_it():
    part = {"kind": "markdown", "data": "a", "more": {"html": f"<b>rendered</b>{NASTY}"}}
    assert "<b>rendered</b>" in said([part])
    assert "onerror" not in said([part])


def test_html_of_an_old_result_is_reused() -> None:
    number = {"kind": "number", "data": 1}
    old = draw([{"kind": "text", "data": "x"}, number])
    new = draw([number], old)
    assert new == old[:1]
    assert "em-stat" in new[0].value
    plot = draw([{"kind": "plotly", "data": {"data": [], "layout": {}}}], new)
    assert plot[0] is not new[0]
    assert draw([number], plot)[0] is not plot[0]
