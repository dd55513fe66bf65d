"""Figures of plotly in a narrow column."""

import copy

import pytest

from easymlnb.forms.figures import MARGIN, NOTES_MARGIN, TITLE_MARGIN, fitted, title
from easymlnb.forms.renderers import plotly


def figure(**layout):
    return {"data": [{"type": "scatter", "y": [1, 2]}], "layout": layout}


def test_margins_are_small_and_axes_take_what_they_need():
    made = fitted(figure(width=900, margin={"l": 120, "t": 100}, yaxis={"title": "MW"}))["layout"]
    assert made["margin"] == {**MARGIN, "autoexpand": True}
    assert made["xaxis"]["automargin"] and made["yaxis"] == {"automargin": True, "title": "MW"}
    assert "width" not in made and made["autosize"] is True


def test_an_author_may_have_no_margins():
    assert fitted(figure(margin={"l": 0, "r": 0, "t": 0, "b": 0}))["layout"]["margin"]["t"] == 0


@pytest.mark.parametrize(
    ("note", "side"),
    [
        ({"yref": "paper", "y": 1.0, "yanchor": "bottom"}, "t"),
        ({"yref": "paper", "y": -0.2}, "b"),
        ({"xref": "paper", "x": 0.98 + 0.03}, "r"),
        ({"xref": "paper", "x": 0, "xanchor": "right"}, "l"),
    ],
)
def test_notes_beside_the_plot_keep_their_room(note, side):
    margin = fitted(figure(annotations=[note]))["layout"]["margin"]
    assert margin[side] == NOTES_MARGIN[side]
    assert all(margin[one] == MARGIN[one] for one in MARGIN if one != side)


@pytest.mark.parametrize("given", [None, {"tracegroupgap": 0, "title": {"text": "Kind"}}])
def test_the_legend_lies_below(given):
    legend = fitted(figure(legend=given) if given else figure())["layout"]["legend"]
    assert (legend["orientation"], legend["y"], legend["yref"]) == ("h", 0, "container")
    assert legend.get("title") == (given or {}).get("title")


def test_an_author_may_place_the_legend():
    placed = {"x": 0.1, "y": 0.9}
    assert fitted(figure(legend=placed))["layout"]["legend"] == placed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("Load", "Load"),
        ({"text": "<b>Load</b> &amp; more<br>by hour", "x": 0.5}, "Load & more \u00b7 by hour"),
        (None, ""),
        ({}, ""),
    ],
)
def test_the_title_is_a_heading_of_the_page(given, said):
    made = figure(title=given)
    assert title(made) == said
    assert "title" not in fitted(made)["layout"]


def test_a_title_of_formulas_stays_in_the_figure():
    made = figure(title="$x^2$")
    assert title(made) == ""
    assert fitted(made)["layout"]["title"] == "$x^2$"
    assert fitted(made)["layout"]["margin"]["t"] == TITLE_MARGIN


def test_one_title_is_shown_and_the_figure_itself_is_left_alone():
    part = {"kind": "plotly", "title": "the_plot", "data": figure(title={"text": "Load"})}
    before = copy.deepcopy(part)
    box = plotly(part)
    assert "Load" in box.children[0].value and "plot" not in box.children[0].value.split(">", 1)[1]
    assert part == before
