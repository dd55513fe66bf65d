"""Compare two runs: the input that differs, and both results next to each other."""

from typing import Any

from easymlnb.apps.history import Run, clock
from easymlnb.apps.summaries import inputs
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import shared_style as W
from easymlnb.forms.markup import Markup, button, element, join
from easymlnb.forms.renderers import draw

MAX_CHARACTERS = 120
"""Characters of a value in the comparison."""


def comparison(spec: ServiceSpec, run: Run, other: Run) -> Any:
    """Return a card with the earlier run on the left."""
    left, right = sorted((run, other), key=lambda run: run.number)
    head = element(
        "div.em-result-head",
        element("h2.em-part-title", "Comparison of two runs"),
        element("span.em-push", button("Close", "uncompare")),
    )
    columns = W.box(_column(left), _column(right), kind=W.Box, classes="em-compare")
    head = join((head, differences(spec, left, right)))
    return W.box(W.HTML(head), columns, classes="em-card em-compare-card")


def _column(run: Run) -> Any:
    title = W.HTML(element("h3.em-part-title", clock(run.at)))
    return W.box(title, *draw(run.parts or []), classes="em-parts")


def differences(spec: ServiceSpec, left: Run, right: Run) -> Markup:
    """Return the inputs that differ, as a table."""
    # The values are compared, not their texts: the texts of long values are cut.
    same = [name for name, value in left.values.items() if (name, value) in right.values.items()]
    before, after = (
        dict(inputs(spec, {k: v for k, v in run.values.items() if k not in same}, MAX_CHARACTERS))
        for run in (left, right)
    )
    names = list({**before, **after})
    if not names:
        return element("p.em-help", "Both runs had the same input.")
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            element("td", before.get(name, "")),
            element("td", after.get(name, "")),
        )
        for name in names
    ]
    return element("table.em-facts", *rows)
