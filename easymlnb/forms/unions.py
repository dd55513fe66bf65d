"""The control for a value of one of several kinds."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import Any

from easymlnb.contract.jsonschema import HINTS, SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.choices import segments
from easymlnb.forms.fields import MISSING, Field, Make


class Union:
    """One of several kinds of value: buttons select the kind and show its field."""

    labeled = False
    visible = True

    def __init__(self, node: SchemaNode, make: Make) -> None:
        self._kinds = node.alternatives
        self._make = make
        self._fields: dict[int, Field] = {}
        names = [kind.short_label for kind in self._kinds]
        labels = [
            name if names.count(name) == 1 else f"{name} {at + 1}" for at, name in enumerate(names)
        ]
        short = len(labels) <= 4 and sum(map(len, labels)) <= 40
        self._selector = segments(labels, 0) if short else W.Dropdown(options=labels, index=0)
        self._selector.observe(lambda _: self._show_field(), names="index")
        self.widget = W.box(classes="em-union")
        self._show_field()

    @property
    def field(self) -> Field:
        """The field of the selected kind."""
        at = self._selector.index or 0
        if at not in self._fields:
            # The buttons already name the kind.
            self._fields[at] = self._make(self._kinds[at].with_keywords(title=""), True)
        return self._fields[at]

    def _show_field(self) -> None:
        self.widget.children = (self._selector, self.field.widget)

    def get(self) -> Any:
        return self.field.get()

    def set(self, value: Any) -> None:
        fitting = [at for at, kind in enumerate(self._kinds) if fits(kind, value)]
        if fitting:
            self._selector.index = fitting[0]
            self.field.set(value)
        elif value is MISSING:
            self.field.reset()

    def check(self) -> str | None:
        return None if self.field.check() else ""

    def show_error(self, path: Sequence[str], message: str) -> bool:
        # Pydantic adds the name of the alternative to the path.
        show = self.field.control.show_error
        return show(path, message) or (len(path) > 1 and show(path[1:], message))

    def clear_errors(self) -> None:
        for field in self._fields.values():
            field.clear_errors()


NUMBERS = ("array", "number", "boolean")
"""The JSON types of an array: a single number is an array without axes."""


def array(node: SchemaNode, make: Make) -> Union:
    """Numbers typed as JSON, or a file that holds them."""
    hints = {key: node.hint(key) for key in ("accept", "max_bytes")}
    typed = {"title": "Values", "type": list(NUMBERS), HINTS: {"widget": "json"}}
    file = {
        "title": "File",
        "type": "object",
        "required": ["b64"],
        HINTS: {**hints, "widget": "file"},
    }
    return Union(node.with_keywords(anyOf=[typed, file]), make)


SHAPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


FORMATS: dict[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "time": time.fromisoformat,
}


def _parses(node: SchemaNode, value: Any) -> bool:
    """Whether a text is in the format of an alternative."""
    parse = FORMATS.get(str(node.get("format")))
    if parse is None:
        return True
    try:
        parse(value)
    except ValueError:
        return False
    return True


def fits(node: SchemaNode, value: Any) -> bool:
    """Whether a JSON value is probably meant for this alternative."""
    return any(_fits(branch, value) for branch in node.branches())


def _fits(node: SchemaNode, value: Any) -> bool:
    if "const" in node.schema:
        return bool(value == node.get("const"))
    if "enum" in node.schema:
        return value in node.get("enum")
    shape = SHAPES.get(str(node.get("type")))
    if shape is None:
        return True
    if not shape(value) or not _parses(node, value):
        return False
    if not isinstance(value, dict):
        return True
    known = node.properties
    if any(name not in value for name in node.required):
        return False
    return all(
        fits(node.child(known[name]), inner) for name, inner in value.items() if name in known
    )
