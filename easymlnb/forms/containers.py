"""Controls with fields inside: groups, tuples, and optional values."""

from collections.abc import Sequence
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import MISSING, Field, Make, described
from easymlnb.forms.widget_kinds import widget_kind

EMPTIABLE = frozenset(
    ("text", "longtext", "secret", "number", "json", "date", "datetime", "time", "file", "image",
     "webcam", "audio", "table", "timeseries")
)  # fmt: skip
"""Kinds whose empty field means "no value"; the others need a checkbox for it."""


class Group:
    """Several named fields: a parameter that is a model, a dataclass or a TypedDict."""

    labeled = False
    visible = True

    def __init__(self, node: SchemaNode, make: Make) -> None:
        required = set(node.required)
        self.fields: dict[str, Field] = {
            name: make(node.child(schema, name), name in required)
            for name, schema in node.properties.items()
        }
        shown = [field.widget for field in self.fields.values() if field.visible]
        self.widget = W.box(*shown, classes="em-group")

    def get(self) -> Any:
        values = {name: field.get() for name, field in self.fields.items()}
        return {name: value for name, value in values.items() if value is not MISSING}

    def set(self, value: Any) -> None:
        given = value if isinstance(value, dict) else {}
        for name, field in self.fields.items():
            if name in given:
                field.set(given[name])
            else:
                field.reset()

    def check(self) -> str | None:
        invalid = [field for field in self.fields.values() if not field.check()]
        return "" if invalid else None

    def show_error(self, path: Sequence[str], message: str) -> bool:
        field = self.fields.get(path[0])
        if field is None or not field.visible:
            return False
        field.show_error(path[1:], message)
        return True

    def clear_errors(self) -> None:
        for field in self.fields.values():
            field.clear_errors()


class Tuple(Group):
    """A fixed row of fields, each of its own kind."""

    def __init__(self, node: SchemaNode, make: Make) -> None:
        items = node.get("prefixItems") or ()
        named = {str(at): {"title": f"{at + 1}", **item} for at, item in enumerate(items)}
        super().__init__(node.with_keywords(properties=named, required=list(named)), make)
        self.widget.add_class("em-tuple")

    def get(self) -> Any:
        values = [field.get() for field in self.fields.values()]
        return MISSING if all(value is MISSING for value in values) else values

    def set(self, value: Any) -> None:
        given = value if isinstance(value, list | tuple) else ()
        super().set({str(at): item for at, item in enumerate(given)})


class Optional:
    """A value that may be absent: a checkbox that shows the field."""

    visible = True
    labeled = True

    def __init__(self, node: SchemaNode, make: Make) -> None:
        self._absent = None if node.nullable else MISSING
        self._inner, self._make = _without_null(node), make
        self._field: Field | None = None
        self._emptiable = (self._inner.hint("widget") or widget_kind(self._inner)) in EMPTIABLE
        self._switch = W.Checkbox(value=False, indent=False, **described(node) | {"tooltip": ""})
        self._switch.observe(self._on_switch, names="value")
        shown = self.field.widget if self._emptiable else self._switch
        classes = "em-optional" if self._emptiable else "em-optional em-switched"
        self.widget = W.box(shown, classes=classes)

    @property
    def field(self) -> Field:
        """The inner field, made when it is first needed: schemas may contain themselves."""
        if self._field is None:
            # If the checkbox means "absent", a visible field must have a value.
            self._field = self._make(self._inner, not self._emptiable)
        return self._field

    @property
    def _on(self) -> bool:
        return self._emptiable or bool(self._switch.value)

    def _on_switch(self, change: Any) -> None:
        self.widget.children = (self._switch, self.field.widget) if change.new else (self._switch,)

    def get(self) -> Any:
        value = self.field.get() if self._on else MISSING
        return self._absent if value is MISSING else value

    def set(self, value: Any) -> None:
        if not self._emptiable:
            self._switch.value = value is not None and value is not MISSING
        if self._on:
            self.field.set(MISSING if value is None else value)

    def check(self) -> str | None:
        return "" if self._on and not self.field.check() else None

    def show_error(self, path: Sequence[str], message: str) -> bool:
        return self._on and self.field.control.show_error(path, message)

    def clear_errors(self) -> None:
        if self._field is not None:
            self._field.clear_errors()


def _without_null(node: SchemaNode) -> SchemaNode:
    """Return the schema of the value itself; the checkbox shows the description."""
    inner = node.without_keywords("anyOf", "oneOf", "type", "default") if node.nullable else node
    alternatives = node.alternatives
    if len(alternatives) == 1:
        inner = node.narrowed(alternatives[0]).without_keywords("default")
    elif alternatives:
        inner = inner.with_keywords(anyOf=[each.schema for each in alternatives])
    return inner.without_keywords("description")
