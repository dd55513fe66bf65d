import json
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import easymlnb.types as ml
from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.services import codec, presentation
from easymlnb.services.schema import Schema
from easymlnb.types.markup import clean, to_html


def _html() -> ml.HTML: ...
def _markdown() -> ml.Markdown: ...
def _untyped(): ...


HTML, MARKDOWN, UNTYPED = map(Schema.of, (_html, _markdown, _untyped))


@pytest.mark.parametrize(
    ("dirty", "gone", "kept"),
    [
        ("<b onclick='x()'>a</b>", "onclick", "<b>a</b>"),
        ("<script>alert(1)</script>ok", "alert", "ok"),
        ("<a href='javascript:x()'>a</a>", "javascript", ">a</a>"),
        ("<a href='data:text/html,x'>a</a>", "data:", ">a</a>"),
        ("<img src='data:text/html;base64,xx'>", "data:", "<img>"),
        ("<img src='data:image/svg+xml;base64,xx'>", "data:", "<img>"),
        ("<img src='data:image/png;base64,xx' onerror=x>", "onerror", "data:image/png;base64,xx"),
        ("<iframe src=x></iframe><style>*{}</style><form><input></form>a", "<", "a"),
        ("<p style='position:fixed'>a</p>", "style", "<p>a</p>"),
    ],
)
def test_html_is_cleaned(dirty, gone, kept):
    found = clean(dirty)
    assert gone not in found and kept in found
    value = ml.HTML(dirty)
    assert json.loads(HTML.dump(value)) == json.loads(UNTYPED.dump(value)) == found
    assert codec.encode_response(HTML, value, "text/html").body.decode() == found
    assert presentation.to_parts(value) == [{"kind": "html", "title": "", "data": found}]


ELSEWHERE = [
    "<img src='http://evil.example/x.png' alt=a>",
    "<img src='HTTPS://evil.example/x.png'>",
    "<img src='//evil.example/x.png'>",
    "<img src=' \n//evil.example/x.png'>",
    "<img src='/evil.example/relative.png'>",
    "<img src='data:image/png;base64,xx' srcset='http://evil.example/x.png 2x'>",
    "<picture><source srcset='http://evil.example/x.png'><img></picture>",
    "<p style='background:url(http://evil.example/x.png)'>a</p>",
    "<style>@import url(http://evil.example/x.css); p {background: url(//evil.example)}</style>",
    "<link rel=stylesheet href='http://evil.example/x.css'>",
    "<link rel=preload as=image href='http://evil.example/x.png'>",
    "<svg><image href='http://evil.example/x.png'/><use xlink:href='//evil.example/#x'/></svg>",
    "<svg><style>@import '//evil.example/x.css'</style></svg>",
    "<object data='http://evil.example/x.svg'></object>",
    "<embed src='http://evil.example/x.svg'>",
    "<iframe src='http://evil.example/'></iframe>",
    "<video src='http://evil.example/x.mp4' poster='http://evil.example/x.png'></video>",
    "<audio><source src='http://evil.example/x.wav'></audio>",
    "<table background='http://evil.example/x.png'><tr><td background='//evil.example'>a</table>",
    "<body background='http://evil.example/x.png'>a</body>",
    "<input type=image src='http://evil.example/x.png'>",
    "<base href='http://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "<math><mtext><img src='http://evil.example/x.png'></mtext></math>",
]


@pytest.mark.parametrize("dirty", ELSEWHERE)
def test_nothing_is_loaded_from_elsewhere(dirty):
    from easymlnb.forms import sanitize

    assert "evil" not in clean(dirty) + to_html(dirty) + sanitize.clean(dirty)


@pytest.mark.parametrize(
    "text",
    ["![a](http://evil.example/x.png)", "![a][1]\n\n[1]: //evil.example/x.png", ELSEWHERE[0]],
)
def test_markdown_is_shown_without_pictures_from_elsewhere(text):
    from easymlnb.forms.renderers import draw
    from easymlnb.forms.sanitize import markdown

    assert "evil.example" not in to_html(text)
    assert "<img" not in markdown(text) or "evil.example" not in markdown(text)
    (part,) = presentation.to_parts(ml.Markdown(text))
    assert "evil.example" not in part["more"]["html"]
    assert "evil.example" not in draw([part])[0].value


def test_links_are_kept_and_lead_away_only_by_a_click():
    assert 'href="https://example.org/"' in clean("<a href='https://example.org/'>a</a>")


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_cleaning_twice_changes_nothing_and_leaves_no_script(text):
    found = clean(f"<div>{text}<script>{text}</script>")
    assert clean(found) == found and "<script" not in found


def test_markdown_keeps_its_text_and_is_shown_clean():
    text = "# Title\n\n| a |\n|---|\n| 1 |\n\n<script>x()</script> [l](javascript:x)"
    value = ml.Markdown(text)
    assert json.loads(MARKDOWN.dump(value)) == text
    (part,) = presentation.to_parts(value)
    assert part["kind"] == "markdown" and part["data"] == text
    html = part["more"]["html"]
    assert "<h1>Title</h1>" in html and "<td>1</td>" in html
    assert "script" not in html.replace("javascript", "") and 'href="javascript' not in html
    assert codec.encode_response(MARKDOWN, value, "text/html").body.decode() == to_html(text)
    assert codec.encode_response(MARKDOWN, value, "text/markdown").body.decode() == text


def test_plain_text_may_be_annotated():
    def f(x: Annotated[str, ml.Markdown] = "") -> Annotated[str, ml.HTML]: ...

    schema = Schema.of(f)
    assert schema.input["properties"]["x"]["x-easymlnb"]["widget"] == "markdown"
    assert schema.dump("<b onclick=x>a</b>") == b'"<b>a</b>"'
    assert presentation.to_parts("<b>a</b>", schema)[0]["kind"] == "html"


def test_ipythons_display_objects_are_markup():
    display = pytest.importorskip("IPython.display")
    assert presentation.to_parts(display.HTML("<b onclick=x>a</b>"))[0]["data"] == "<b>a</b>"
    assert presentation.to_parts(display.Markdown("*a*"))[0]["kind"] == "markdown"


def test_what_is_no_text_is_refused():
    with pytest.raises(ResultNotEncodable):
        HTML.dump(3)


def test_html_inputs_are_text():
    def f(x: ml.HTML): ...

    found = Schema.of(f).load_json(b'{"x": "<b>"}')["x"]
    assert found == "<b>" and isinstance(found, ml.HTML)
