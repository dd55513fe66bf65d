"""Controls for choices: one of a few, one of many, or several."""

import json
from collections.abc import Sequence
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import MISSING, Make, Simple

FEW = 4
"""Choices above which a menu is used."""

SHORT = 34
"""Characters of all labels together that fit in one row."""

CHECKBOXES = 8
"""Choices above which tags are used in place of checkboxes."""

WORDS = {True: "Yes", False: "No", None: "None"}


def options(node: SchemaNode, titles: Sequence[Any] = ()) -> tuple[list[Any], list[str]]:
    """Return the values to choose from and their labels, which are unique."""
    values = node.get("enum")
    titles = titles or node.hint("labels") or ()
    if values is None:
        values = [each.get("const") for each in node.alternatives]
        titles = titles or [each.get("title") for each in node.alternatives]
    labels: list[str] = []
    for at, value in enumerate(values):
        label = str((titles[at] if at < len(titles) else None) or _word(value))
        labels.append(label if label not in labels else f"{label} ({at + 1})")
    return list(values), labels


def _word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return WORDS[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _same(value: Any, other: Any) -> bool:
    """Whether two values are equal; True is not 1."""
    return type(value) is type(other) and bool(value == other)


def choice(node: SchemaNode, make: Make) -> Simple:
    """One of several: buttons for a few short ones, a list for a few, a menu for many."""
    values, labels = options(node)
    widget, labeled = _selector(labels, node.title)

    def get() -> Any:
        return MISSING if widget.index is None else values[widget.index]

    def write(value: Any) -> None:
        found = [at for at, known in enumerate(values) if _same(known, value)]
        widget.index = found[0] if found else None
        if not found and value is not MISSING:
            raise ValueError("Please choose one of the options.")

    return Simple(widget, get, write, labeled=labeled)


def _selector(labels: list[str], title: str) -> tuple[Any, bool]:
    if len(labels) > FEW:
        return W.Dropdown(options=labels, value=None, **_labeled(title)), True
    if sum(map(len, labels)) <= SHORT:
        return segments(labels, None), False
    return W.RadioButtons(options=labels, value=None), False


def _labeled(label: str) -> dict[str, Any]:
    return {"description": label, "description_allow_html": False, "tooltip": ""}


def segments(labels: Sequence[str], index: int | None) -> Any:
    """Return a row of buttons of which one is pressed."""
    buttons = W.ToggleButtons(options=list(labels), index=index)
    buttons.add_class("em-segments")
    return buttons


def choices(node: SchemaNode, make: Make) -> Simple:
    """Several of the choices: a column of checkboxes, or tags if there are many."""
    values, labels = options(node.child(node.get("items")), node.hint("labels") or ())
    if len(values) > CHECKBOXES:
        return _tags(values, labels)
    boxes = [W.Checkbox(value=False, indent=False, **_labeled(label)) for label in labels]
    column = W.box(*boxes, classes="em-checks")

    def get() -> Any:
        return [value for value, box in zip(values, boxes, strict=True) if box.value]

    def write(value: Any) -> None:
        wanted = value if isinstance(value, list) else []
        for known, box in zip(values, boxes, strict=True):
            box.value = any(_same(known, other) for other in wanted)
        _reject_others(value, values)

    return Simple(column, get, write, labeled=False)


def _reject_others(value: Any, values: list[Any]) -> None:
    """Raise ``ValueError`` for a list with anything but choices."""
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

    def write(value: Any) -> None:
        wanted = value if isinstance(value, list) else []
        widget.value = [
            labels[at] for other in wanted for at, known in enumerate(values) if _same(known, other)
        ]
        _reject_others(value, values)

    return Simple(widget, get, write, labeled=False)
