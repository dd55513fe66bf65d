"""Pages laid out by their authors: taken down as data, built from nothing else."""

import json
from base64 import b64encode
from typing import Any

import ipywidgets as W
import pytest
from traitlets import Unicode

from easymlnb.apps.app_page import AppPage
from easymlnb.contract.errors import DefinitionError
from easymlnb.forms.layout_capture import capture_layout
from easymlnb.forms.local_caller import LocalCaller
from easymlnb.forms.widget_frame import WidgetFrame
from easymlnb.services.definition import define

NASTY = "<img src=x onerror=alert(1)><b>bold</b>"


def greet(name: str, times: int = 1) -> str:
    return f"Hello {name}! " * times


SERVICE = define(greet, examples=[{"name": "Ada"}])


def app_of(tree: Any) -> AppPage:
    service = define(greet, examples=[{"name": "Ada"}])
    service.set_app(tree)
    return AppPage(service.spec, LocalCaller(service), base="/easymlnb/")


def held(widget: Any) -> list[Any]:
    """Return a widget and all it holds."""
    return [widget, *(one for child in getattr(widget, "children", ()) for one in held(child))]


def test_a_layout_becomes_a_tree_of_boxes_texts_and_names():
    def page(form: Any) -> Any:
        left = W.VBox([form.fields["name"], form.run], layout=W.Layout(width="40%"))
        return W.HBox([left, W.Tab([form.result, W.Label("more")], titles=("Out", "More"))])

    assert capture_layout(SERVICE.spec, page) == {
        "row": [
            {"column": [{"field": "name"}, {"part": "run"}], "style": {"width": "40%"}},
            {"tabs": [{"part": "result"}, {"text": "more"}], "titles": ["Out", "More"]},
        ]
    }


def test_the_page_is_built_of_it_and_works():
    tree = capture_layout(
        SERVICE.spec,
        lambda form: W.VBox([W.HTML(NASTY), form.fields["name"], form.run, form.result]),
    )
    app = app_of(tree)
    shown = held(app.widget)
    assert app.form.run_bar.widget in shown
    assert app.form.fields.fields["name"].widget in shown
    assert app.form.fields.fields["times"].widget not in shown
    said = "".join(one.value for one in shown if isinstance(one, W.HTML))
    assert "<b>bold</b>" in said
    assert "onerror" not in said
    app.form.fill({"name": "Bo"})
    app.form.run()
    app.form.wait(20)
    assert "Hello Bo!" in app.form.result_panel._parts.children[0].value
    app.close()


def test_an_error_at_a_field_that_is_not_on_the_page_is_shown_as_a_card():
    tree = capture_layout(SERVICE.spec, lambda form: W.VBox([form.fields["name"], form.run]))
    app = app_of(tree)
    app.form.fields.fields["times"].control.widget.value = 3
    app.form.fields.fields["times"].control.get = lambda: "many"  # type: ignore[method-assign]
    app.form.fill({"name": "Bo"})
    app.form.run()
    app.form.wait(20)
    assert "times" in app.form.result_panel._failure.value
    # The result has a place of its own although the author gave it none.
    assert app.form.result_panel.widget in held(app.widget)
    app.close()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (lambda form: W.VBox([form.fields["name"]]), "Place form.run"),
        (lambda form: W.VBox([form.run]), r"form.fields\['name'\]"),
        (lambda form: W.VBox([form.inputs, form.run]), "already"),
        (lambda form: W.VBox([form.run, form.run, form.fields["name"]]), "twice"),
        (lambda form: form.fields["nobody"], "no parameter 'nobody'. Its parameters: name, times"),
        (lambda form: W.VBox([form.inputs, W.Button()]), "Button is not supported on a page"),
        (lambda form: "a text", "must return ipywidgets"),
        (lambda form: W.VBox([form.inputs] + [W.Label("x")] * 600), "500 widgets"),
    ],
)
def test_a_page_that_nobody_could_use_is_refused_with_what_to_do(page, words):
    with pytest.raises(DefinitionError, match=words):
        capture_layout(SERVICE.spec, page)


def pressed(change: Any) -> None:
    """Stand in for a function of the notebook."""


pressed.__module__ = "__main__"


def watched(widget: Any) -> Any:
    widget.observe(pressed, "value")
    return widget


class Loaded(W.DOMWidget):  # type: ignore[misc]
    _model_module = Unicode("elsewhere").tag(sync=True)
    _esm = Unicode("https://example.org/x.js").tag(sync=True)


@pytest.mark.parametrize(
    ("widget", "words"),
    [
        (lambda: watched(W.IntProgress()), "calls 'pressed' of the notebook"),
        (
            lambda: W.HBox([W.Image(value=b"x"), watched(W.IntSlider())]),
            "IntSlider calls 'pressed'",
        ),
        (Loaded, "loads its script from https://example.org/x.js"),
        (lambda: W.Image(value=b"x" * 2_000_000), "2,000,000"),
        (W.IntSlider, "IntSlider is not supported on a page"),
    ],
)
def test_widgets_that_need_more_than_the_page_has_are_refused(widget, words):
    with pytest.raises(DefinitionError, match=words):
        capture_layout(SERVICE.spec, lambda form: W.VBox([form.inputs, widget()]))


def test_other_widgets_are_captured_with_what_they_are_linked_to():
    def page(form: Any) -> Any:
        bar, slider = W.IntProgress(value=3), W.IntSlider()
        W.jslink((slider, "value"), (bar, "value"))
        picture = W.Image(value=b"\x89PNG", layout=W.Layout(height="90px"))
        return W.VBox([form.inputs, W.HBox([slider, bar]), picture])

    tree = capture_layout(SERVICE.spec, page)
    linked, picture = (one["widget"] for one in tree["column"][1:])
    names = sorted(one["model_name"] for one in linked["states"].values())
    assert {"IntProgressModel", "IntSliderModel", "LinkModel", "HBoxModel"} <= {*names}
    assert picture["buffer_paths"] == [[picture["root"], "value"]]
    assert picture["buffers"] == [b64encode(b"\x89PNG").decode()]
    app = app_of(tree)
    frames = [one for one in held(app.widget) if isinstance(one, WidgetFrame)]
    assert [(one.height, one.layout.height) for one in frames] == [("", "240px"), ("90px",) * 2]
    assert json.loads(frames[0].content)["states"] == linked["states"]
    app.close()


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"widget": 5},
        {"column": [{"widget": {"root": [], "height": "1px; color: red"}}]},
        {"column": "no list"},
        {"column": [None, 7, {"field": "nobody"}, {"part": "__init__"}, {"html": None}]},
        {"row": [], "style": {"background": "url(http://x)", "width": "1px; color: red"}},
        {"tabs": [{"text": "a"}], "titles": 5},
    ],
)
def test_a_tree_that_no_author_made_breaks_nothing(tree):
    app = app_of(tree)
    boxes = [one for one in held(app.widget) if getattr(one, "layout", None) is not None]
    assert not [one for one in boxes if one.layout.width == "1px; color: red"]
    app.close()


def test_a_page_of_tagged_cells_has_texts_pictures_and_the_whole_form():
    app = app_of(
        {
            "column": [
                {"static": {"kind": "markdown", "data": f"# Hi\n{NASTY}"}},
                {"static": {"kind": "html", "data": NASTY}},
                {"static": {"kind": "image", "data": "aGk=", "name": "figure"}},
                {"static": {"kind": "plotly", "data": {"data": []}}},
                {"part": "form"},
                {"part": "inputs"},
                {"part": "form"},
                {"static": "no part"},
                {"static": {"kind": "table", "data": 5}},
            ]
        }
    )
    shown = held(app.widget)
    said = [one.value for one in shown if isinstance(one, W.HTML)]
    assert [one for one in said if "<h1>Hi</h1>" in one]
    assert "<img src=x" not in "".join(said)
    assert 'alt="figure"' in "".join(said)
    assert [one for one in shown if isinstance(one, W.Output)]
    for placed in (app.form.run_bar.widget, app.form.result_panel.widget):
        assert shown.count(placed) == 1
    app.form.fill({"name": "Bo"})
    app.form.run()
    app.form.wait(20)
    assert "Hello Bo!" in app.form.result_panel._parts.children[0].value
    app.close()
