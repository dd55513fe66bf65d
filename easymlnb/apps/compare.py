"""Compare two runs: what differed in the input, and both results side by side."""

from html import escape
from typing import Any

from easymlnb.apps.history import Run, clock
from easymlnb.apps.words import inputs
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import shared_style as W
from easymlnb.forms.renderers import draw

CUT = 120
"""Characters of a value that differs."""


def side_by_side(spec: ServiceSpec, one: Run, other: Run) -> Any:
    """Return a card with the earlier run on the left."""
    left, right = sorted((one, other), key=lambda run: run.number)
    away = '<button type="button" class="em-link" data-em-do="uncompare">Close</button>'
    head = W.HTML(
        '<div class="em-result-head"><h2 class="em-part-title">Comparison of two runs</h2><span '
        f'class="em-push">{away}</span></div>{differences(spec, left, right)}'
    )
    columns = W.Box([_column(left), _column(right)])
    columns.add_class("em-compare")
    card = W.VBox([head, columns])
    card.add_class("em-card")
    card.add_class("em-compare-card")
    return card


def _column(run: Run) -> Any:
    title = f'<h3 class="em-part-title">{clock(run.at)}</h3>'
    column = W.VBox([W.HTML(title), *draw(run.parts or [])])
    column.add_class("em-parts")
    return column


def differences(spec: ServiceSpec, left: Run, right: Run) -> str:
    """Return the inputs that differ, as a table."""
    # By the values themselves: long ones may differ only where their words are cut off.
    same = [name for name, value in left.values.items() if (name, value) in right.values.items()]
    one, other = (
        dict(inputs(spec, {k: v for k, v in run.values.items() if k not in same}, CUT))
        for run in (left, right)
    )
    names = list({**one, **other})
    if not names:
        return '<p class="em-help">Both runs had the same input.</p>'
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(one.get(name, ""))}</td>'
        f"<td>{escape(other.get(name, ''))}</td></tr>"
        for name in names
    )
    return f'<table class="em-facts">{rows}</table>'
