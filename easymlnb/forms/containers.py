"""Controls with fields inside: groups, tuples, and optional values."""

from collections.abc import Sequence
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import MISSING, Field, Make
from easymlnb.forms.widget_kinds import widget_kind

EMPTIABLE = frozenset(
    (
        "text",
        "longtext",
        "secret",
        "number",
        "json",
        "date",
        "datetime",
        "time",
        "file",
        "image",
        "webcam",
        "audio",
        "table",
        "timeseries",
    )
)
"""Kinds whose empty field says "nothing" by itself; the others need a checkbox for it."""


class Group:
    """Several named fields: a parameter that is a model, a dataclass or a TypedDict."""

    labelled = False
    visible = True

    def __init__(self, node: SchemaNode, make: Make) -> None:
        required = set(node.required)
        self.fields: dict[str, Field] = {
            name: make(node.child(schema, name), name in required)
            for name, schema in node.properties.items()
        }
        self.widget = W.VBox([field.widget for field in self.fields.values() if field.visible])
        self.widget.add_class("em-group")

    def get(self) -> Any:
        found = {name: field.get() for name, field in self.fields.items()}
        return {name: value for name, value in found.items() if value is not MISSING}

    def set(self, value: Any) -> None:
        given = value if isinstance(value, dict) else {}
        for name, field in self.fields.items():
            if name in given:
                field.set(given[name])
            else:
                field.reset()

    def check(self) -> str | None:
        wrong = [field for field in self.fields.values() if not field.check()]
        return "" if wrong else None

    def show(self, path: Sequence[str], message: str) -> bool:
        field = self.fields.get(path[0])
        if field is None or not field.visible:
            return False
        field.show(path[1:], message)
        return True

    def clear(self) -> None:
        for field in self.fields.values():
            field.clear()


class Tuple(Group):
    """A fixed row of fields, each of its own kind."""

    def __init__(self, node: SchemaNode, make: Make) -> None:
        items = node.get("prefixItems") or ()
        named = {str(at): {"title": f"{at + 1}", **item} for at, item in enumerate(items)}
        super().__init__(node.with_keywords(properties=named, required=list(named)), make)
        self.widget.add_class("em-tuple")

    def get(self) -> Any:
        found = [field.get() for field in self.fields.values()]
        return MISSING if all(value is MISSING for value in found) else found

    def set(self, value: Any) -> None:
        given = value if isinstance(value, list | tuple) else ()
        super().set({str(at): one for at, one in enumerate(given)})


class Optional:
    """A value that may be absent: a checkbox that brings up the field."""

    visible = True

    def __init__(self, node: SchemaNode, make: Make) -> None:
        self._off = None if node.nullable else MISSING
        inner = (
            node.without_keywords("anyOf", "oneOf", "type", "default") if node.nullable else node
        )
        several = node.alternatives
        if len(several) == 1:
            inner = node.narrowed(several[0]).without_keywords("default")
        elif several:
            inner = inner.with_keywords(anyOf=[one.schema for one in several])
        self._inner, self._make = inner.without_keywords("description"), make
        self._field: Field | None = None
        self._emptiable = (inner.hint("widget") or widget_kind(inner)) in EMPTIABLE
        self.labelled = True
        self._switch = W.Checkbox(
            value=False,
            description=node.title,
            indent=False,
            description_allow_html=False,
            tooltip="",
        )
        self._switch.observe(self._switched, names="value")
        self.widget = W.VBox([self._switch])
        self.widget.add_class("em-optional")
        if self._emptiable:
            self.widget.children = (self.field.widget,)
        else:
            self.widget.add_class("em-switched")

    @property
    def field(self) -> Field:
        """The inner field, made when it is first wanted: schemas may contain themselves."""
        if self._field is None:
            # Where the checkbox says "absent", a field that is shown must be filled.
            self._field = self._make(self._inner, not self._emptiable)
        return self._field

    @property
    def _on(self) -> bool:
        return self._emptiable or bool(self._switch.value)

    def _switched(self, change: Any) -> None:
        self.widget.children = (self._switch, self.field.widget) if change.new else (self._switch,)

    def get(self) -> Any:
        value = self.field.get() if self._on else MISSING
        return self._off if value is MISSING else value

    def set(self, value: Any) -> None:
        if not self._emptiable:
            self._switch.value = value is not None and value is not MISSING
        if self._on:
            self.field.set(MISSING if value is None else value)

    def check(self) -> str | None:
        if not self._on:
            return None
        return None if self.field.check() else ""

    def show(self, path: Sequence[str], message: str) -> bool:
        return self._on and self.field.control.show(path, message)

    def clear(self) -> None:
        if self._field is not None:
            self._field.clear()
