"""Text of authors, callers and visitors is never parsed as HTML, wherever a page shows it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from html.parser import HTMLParser
from typing import Annotated, Any, Literal

import ipywidgets as W
import pytest
from pydantic import BaseModel, Field

import easymlnb as ml
from easymlnb.apps.app_page import AppPage
from easymlnb.apps.compare import comparison
from easymlnb.apps.history import History, Run
from easymlnb.contract.errors import InvalidInput, from_code
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import shared_style
from easymlnb.forms.call_protocol import Failed, Item, Log, Progress, Succeeded, Waiting
from easymlnb.forms.finished_call import FinishedCall
from easymlnb.forms.form import Form
from easymlnb.forms.layout_builder import LayoutBuilder
from easymlnb.forms.markup import Markup, button, element, escape, join
from easymlnb.forms.renderers import RENDERERS, draw
from easymlnb.services.definition import define

PATIENCE = 20.0
HOSTILE = '"\'><script>alert(1)</script><img src=x onerror=alert(1)><b onclick="x">&lt;'
RUNS = {"script", "iframe", "object", "embed", "form", "link", "meta", "base", "svg", "b"}
"""Elements that no text may create; ``b`` only comes from ``element``, without attributes."""


class Document(HTMLParser):
    """The elements of a piece of HTML; checks that each is harmless and closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        assert not any(name.startswith("on") for name in names), (tag, attrs)
        assert tag not in RUNS or (tag == "b" and names <= {"title"}), (tag, attrs)
        source = dict(attrs).get("src") or "data:image/"
        assert source.startswith(("data:image/", "data:audio/")), attrs
        if tag not in ("br", "img", "input", "style", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "style":
            assert self.open.pop() == tag


def html_in(widget: Any) -> Iterator[str]:
    if isinstance(widget, W.HTML):
        yield widget.value
    for child in getattr(widget, "children", ()):
        yield from html_in(child)


def check(*widgets: Any) -> str:
    """Check all HTML in widgets and return it."""
    found = [text for widget in widgets for text in html_in(widget)]
    for text in found:
        Document(text)
    return "".join(found)


class Kind(Enum):
    HOSTILE = HOSTILE
    OTHER = "other"


class Model(BaseModel):
    """A model with hostile titles."""

    inner: Annotated[str, Field(title=HOSTILE, description=HOSTILE)] = HOSTILE


def service(
    text: Annotated[str, Field(title=HOSTILE, description=HOSTILE)],
    choice: Literal["a", "\"'><script>alert(1)</script>"] = "a",
    kind: Kind = Kind.OTHER,
    model: Annotated[Model, Field(title=HOSTILE)] = Model(),  # noqa: B008
    names: Annotated[list[str], Field(title=HOSTILE, max_length=1)] = [HOSTILE],  # noqa: B006
    either: int | str = HOSTILE,
    secret: ml.Secret = "",
    file: ml.File | None = None,
    maybe: Annotated[str | None, Field(title=HOSTILE)] = None,
) -> str:
    return text


def hostile_spec() -> ServiceSpec:
    return define(
        service, title=HOSTILE, description=f"{HOSTILE}\n\n{HOSTILE * 20}", author=HOSTILE,
        license=HOSTILE, tags=[HOSTILE[:40]], examples=[{"text": HOSTILE[:24]}, {"text": HOSTILE}],
    ).spec  # fmt: skip


PARTS = [
    {"kind": kind, "title": HOSTILE, "name": HOSTILE, "data": data, "media_type": media_type,
     "more": {"unit": HOSTILE, "html": HOSTILE} if kind != "table" else {}}
    for kind in (*RENDERERS, HOSTILE) if kind != "plotly"
    for media_type in (HOSTILE, f"image/{HOSTILE}", f"audio/{HOSTILE}")
    for data in (
        [{"columns": [HOSTILE], "rows": [[HOSTILE], [{HOSTILE: 1}], [None]], "total": 99}]
        if kind == "table" else [HOSTILE, {HOSTILE: [HOSTILE] * 60}]
    )
]  # fmt: skip


class Scripted:
    """Runs calls that consist of given events."""

    def __init__(self, *events: Any) -> None:
        self.events = events

    def start(self, values: Any, on_event: Any) -> "Scripted":
        for event in self.events:
            on_event(event)
        return self

    def stop(self) -> None:
        pass


EVENTS = (
    Waiting(2, 5.0, HOSTILE, HOSTILE), Progress(0.5, HOSTILE), Log(HOSTILE), Item(PARTS[:3]),
)  # fmt: skip
ENDS = {
    "result": Succeeded(PARTS, 1.0, HOSTILE),
    "error": Failed(from_code("failed", HOSTILE, None, HOSTILE), trace=HOSTILE),
    "cancelled": Failed(from_code("cancelled", HOSTILE, None, HOSTILE)),
    "at a field": Failed(InvalidInput([{"field": "text", "message": HOSTILE}])),
    "at a hidden field": Failed(InvalidInput([{"field": "model.inner", "message": HOSTILE}])),
    "elsewhere": Failed(InvalidInput([{"field": HOSTILE, "message": HOSTILE}])),
}


@pytest.mark.parametrize("end", list(ENDS))
def test_form(end: str) -> None:
    form = Form(hostile_spec(), Scripted(*EVENTS, ENDS[end]), url=f"http://x/{HOSTILE}")
    form.run()  # the required field is empty
    check(form.widget)
    form.fill({"text": HOSTILE, "choice": HOSTILE, "names": [HOSTILE, HOSTILE]})
    form.run()
    form.wait(PATIENCE)
    assert "&lt;script&gt;" in check(form.widget)
    form.close()


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("public", [False, True])
def test_app_page(end: str, public: bool) -> None:
    app = AppPage(
        hostile_spec(), Scripted(*EVENTS, ENDS[end]), base=f"/{HOSTILE}/easymlnb/",
        values={"text": HOSTILE}, public=public,
    )  # fmt: skip
    actions = app.form.actions
    actions["origin"](f"http://x/{HOSTILE}")
    for _ in range(2):
        app.form.fill({"text": HOSTILE, "maybe": HOSTILE})
        app.form.run()
        app.form.wait(PATIENCE)
    for action, value in (("show", "1"), ("compare", "2"), ("link", ""), ("draft", "")):
        actions[action](value)
        check(app.widget)
    stored = app._history.to_json()
    actions["restore"](json.dumps({"text": HOSTILE, "": [["file", "file"], ["secret", "secret"]]}))
    assert "&lt;script&gt;" in check(app.widget)
    app.close()
    again = AppPage(hostile_spec(), Scripted(), base="/easymlnb/")
    again.form.actions["history"](stored)
    check(again.widget)
    again.close()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part["kind"])[:9])
def test_results(part: dict[str, Any]) -> None:
    check(*draw([part]))


def test_runs_that_differ() -> None:
    spec, now = hostile_spec(), datetime.now(UTC)
    left = Run(
        number=1,
        at=now,
        values={"text": HOSTILE, HOSTILE: 1},
        parts=PARTS,
        summary=[(HOSTILE, HOSTILE)],
    )
    right = Run(
        number=2, at=now, values={"text": HOSTILE * 2}, state="failed", failure=HOSTILE * 9, items=3
    )
    check(comparison(spec, left, right))
    history = History(spec)
    history.runs = [left, right]
    Document(history.html(1))
    history.add(FinishedCall({"text": HOSTILE}, event=ENDS["error"], items=[PARTS]))  # type: ignore[arg-type]
    Document(history.html(2))


def test_layout_of_an_author() -> None:
    tree = {"column": [
        {"text": HOSTILE}, {"html": HOSTILE}, {"static": PARTS[0]},
        {"static": {"kind": "html", "data": f"<table>{HOSTILE}</table>"}},
        {"tabs": [{"text": "a"}, {"text": "b"}], "titles": [HOSTILE, HOSTILE]},
        {"accordion": [{"text": HOSTILE}], "titles": [HOSTILE]},
    ]}  # fmt: skip
    check(LayoutBuilder({}, {}).build(tree))


def test_a_widget_displays_other_text_escaped() -> None:
    for value in (HOSTILE, f"<p>{element('b', 'x')}</p>", element("b", "x") + HOSTILE):
        widget = shared_style.HTML(value)
        assert widget.value == escape(value)
        widget.value = value
        assert "<" not in widget.value
        widget.close()
    assert shared_style.HTML(element("b", "x")).value == "<b>x</b>"


def test_element() -> None:
    made = element("a.x.y", "<", Markup("<br>"), None, 3, href='"', data_em_value=None, hidden=True)
    assert made == '<a class="x y" href="&quot;" hidden>&lt;<br>3</a>'
    assert element("img.", src="x", alt="") == '<img src="x" alt="">'
    assert join(["<", Markup("<br>")], ">") == "&lt;&gt;<br>"
    assert button("Open", "show", 7) == (
        '<button class="em-link" type="button" data-em-action="show" data-em-value="7">'
        "Open</button>"
    )
