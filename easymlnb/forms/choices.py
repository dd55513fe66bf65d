"""Controls for choosing: one of a few, one of many, several of them."""

import json
from collections.abc import Sequence
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import lean as W
from easymlnb.forms.fields import MISSING, Make, Simple

FEW = 4
"""So many choices are shown at once; more of them fold into a menu."""

SHORT = 34
"""Characters of all labels together that fit beside each other."""

CHECKBOXES = 8
"""So many choices of which several may hold get a checkbox each."""

WORDS = {True: "Yes", False: "No", None: "None"}


def options(node: SchemaNode, titles: Sequence[Any] = ()) -> tuple[list[Any], list[str]]:
    """Return the values to choose from and their labels, no two labels alike."""
    values = node.get("enum")
    titles = titles or node.hint("labels") or ()
    if values is None:
        values = [one.get("const") for one in node.alternatives]
        titles = titles or [one.get("title") for one in node.alternatives]
    labels: list[str] = []
    for at, value in enumerate(values):
        label = str((titles[at] if at < len(titles) else None) or _word(value))
        labels.append(label if label not in labels else f"{label} ({at + 1})")
    return list(values), labels


def _word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return WORDS[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _same(one: Any, other: Any) -> bool:
    """Equality that keeps True from 1."""
    return type(one) is type(other) and bool(one == other)


def choice(node: SchemaNode, make: Make) -> Simple:
    """One of several: buttons for few and short ones, a list for few, a menu for many."""
    values, labels = options(node)
    widget, labelled = _one_of(labels, node.title)

    def get() -> Any:
        return MISSING if widget.index is None else values[widget.index]

    def put(value: Any) -> None:
        found = [at for at, one in enumerate(values) if _same(one, value)]
        widget.index = found[0] if found else None
        if not found and value is not MISSING:
            raise ValueError("Please choose one of the options.")

    return Simple(widget, get, put, labelled=labelled)


def _one_of(labels: list[str], title: str) -> tuple[Any, bool]:
    if len(labels) > FEW:
        menu = W.Dropdown(
            options=labels,
            value=None,
            description=title,
            description_allow_html=False,
            tooltip="",
        )
        return menu, True
    if sum(map(len, labels)) <= SHORT:
        return segments(labels, None), False
    return W.RadioButtons(options=labels, value=None), False


def segments(labels: Sequence[str], index: int | None) -> Any:
    """Return a row of buttons of which one is pressed."""
    buttons = W.ToggleButtons(options=list(labels), index=index)
    buttons.add_class("em-segments")
    return buttons


def choices(node: SchemaNode, make: Make) -> Simple:
    """Any of several: a column of checkboxes, or tags when there are many."""
    values, labels = options(node.child(node.get("items")), node.hint("labels") or ())
    if len(values) > CHECKBOXES:
        return _tags(values, labels)
    boxes = [
        W.Checkbox(
            value=False, description=label, indent=False, description_allow_html=False, tooltip=""
        )
        for label in labels
    ]
    column = W.VBox(boxes)
    column.add_class("em-checks")

    def get() -> Any:
        return [value for value, box in zip(values, boxes, strict=True) if box.value]

    def put(value: Any) -> None:
        wanted = value if isinstance(value, list) else []
        for one, box in zip(values, boxes, strict=True):
            box.value = any(_same(one, other) for other in wanted)
        _refuse_others(value, values)

    return Simple(column, get, put, labelled=False)


def _refuse_others(value: Any, values: list[Any]) -> None:
    """Raise ``ValueError`` for a list with anything but choices in it."""
    if value is MISSING:
        return
    if not isinstance(value, list) or not all(any(_same(a, b) for b in values) for a in value):
        raise ValueError("Please choose one of the options.")


def _tags(values: list[Any], labels: list[str]) -> Simple:
    widget = W.TagsInput(
        allowed_tags=labels, allow_duplicates=False, placeholder="Type to find a choice"
    )
    widget.add_class("em-tags")
    known = dict(zip(labels, values, strict=True))

    def get() -> Any:
        return [known[label] for label in dict.fromkeys(widget.value)]

    def put(value: Any) -> None:
        wanted = value if isinstance(value, list) else []
        widget.value = [
            labels[at] for other in wanted for at, one in enumerate(values) if _same(one, other)
        ]
        _refuse_others(value, values)

    return Simple(widget, get, put, labelled=False)
