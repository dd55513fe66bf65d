"""Controls for lists and maps, with rows to add and remove."""

from collections.abc import Callable, Sequence
from typing import Any

from easymlnb.contract.json_values import count_nodes
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import MISSING, Field, Make, Simple
from easymlnb.forms.markup import element
from easymlnb.forms.scalars import json_value

ROWS = 200
"""Rows of one list. Longer lists are edited as JSON: a row has five widgets."""

NODES = 500
"""Values inside a list, at any depth, above which it is edited as JSON."""


class _Row:
    """One row of a list or map: a name in a map, its field, and a button that removes it."""

    def __init__(self, field: Field, key: Any, remove: Callable[["_Row"], None]) -> None:
        self.field = field
        self.key = key
        button = W.Button(description="\u00d7", tooltip="Remove")
        button.add_class("em-remove")
        button.on_click(lambda _: remove(self))
        parts = [part for part in (key, field.widget, button) if part is not None]
        self.widget = W.box(*parts, kind=W.HBox, classes="em-row")


class Rows:
    """A list."""

    labeled = False
    visible = True
    keyed = False

    def __init__(self, node: SchemaNode, make: Make) -> None:
        self._item = node.child(node.get("items"))
        self._make = make
        self._title = node.title or "Item"
        self._least = int(node.get("minItems") or 0)
        self._most = node.get("maxItems")
        self.rows: list[_Row] = []
        self._box = W.box(classes="em-rows")
        self._add = W.Button(description="Add")
        self._add.add_class("em-quiet")
        self._add.on_click(lambda _: self.add())
        self._limit = W.HTML()
        self._json: Simple | None = None
        self._node = node
        self.widget = W.box(self._box, self._add, self._limit)
        self._fill(())

    def add(self, value: Any = MISSING, key: str = "") -> None:
        """Append a row."""
        self.rows.append(self._row(value, key))
        self._show_rows()

    def _row(self, value: Any, key: str) -> _Row:
        at = len(self.rows) + 1
        field = self._make(self._item.with_keywords(title=f"{self._title}, {at}"), True)
        if value is not MISSING:
            field.set(value)
        name = (
            W.Text(value=key, placeholder="Name", continuous_update=False) if self.keyed else None
        )
        row = _Row(field, name, self._remove)
        W.keep_message_order(row.widget)
        return row

    def _remove(self, row: _Row) -> None:
        self.rows.remove(row)
        row.field.clear_errors()
        self._show_rows()
        W.close(row.widget)

    def _show_rows(self) -> None:
        self._box.children = tuple(row.widget for row in self.rows)
        most = ROWS if self._most is None else min(self._most, ROWS)
        reached = len(self.rows) >= most
        self._add.disabled = reached or W.is_full()
        note = element("div.em-help", f"At most {most} entries are allowed.")
        self._limit.value = note if reached else ""

    def _fill(self, items: Sequence[tuple[str, Any]]) -> bool:
        """Show values as rows; False if there are too many."""
        old, self.rows = self.rows, []
        for key, value in items:
            if len(self.rows) == ROWS or W.is_full():
                break
            self.rows.append(self._row(value, key))
        complete = len(self.rows) == len(items)
        while len(self.rows) < min(self._least, ROWS):
            self.rows.append(self._row(MISSING, ""))
        self._show_rows()
        for row in old:
            W.close(row.widget)
        return complete

    def _write(self, items: Sequence[tuple[str, Any]], value: Any) -> None:
        """Show values as rows, or as JSON if there would be too many rows."""
        if self._json is not None:
            W.close(self._json.widget)
            self._json = None
        if len(items) <= ROWS and count_nodes(value, NODES) <= NODES and self._fill(items):
            self.widget.children = (self._box, self._add, self._limit)
            return
        self._fill(())
        self._json = json_value(self._node.without_keywords("description"), self._make)
        self._json.set(value)
        W.keep_message_order(self._json.widget)
        self.widget.children = (self._json.widget,)

    def get(self) -> Any:
        if self._json is not None:
            value = self._json.get()
            return self._empty if value is MISSING else value
        return [None if (value := row.field.get()) is MISSING else value for row in self.rows]

    @property
    def _empty(self) -> Any:
        return {} if self.keyed else []

    def set(self, value: Any) -> None:
        items = [("", item) for item in value] if isinstance(value, list | tuple) else []
        self._write(items, value)

    def check(self) -> str | None:
        if self._json is not None:
            return self._json.check()
        invalid = [row for row in self.rows if not row.field.check()]
        return "" if invalid else None

    def _find(self, step: str) -> _Row | None:
        at = int(step) if step.isdecimal() else -1
        return self.rows[at] if 0 <= at < len(self.rows) else None

    def show_error(self, path: Sequence[str], message: str) -> bool:
        row = self._find(path[0])
        if row is not None:
            row.field.show_error(path[1:], message)
        return row is not None

    def clear_errors(self) -> None:
        for row in self.rows:
            row.field.clear_errors()


class Map(Rows):
    """A dict with any keys: rows of a name and a value."""

    keyed = True

    def __init__(self, node: SchemaNode, make: Make) -> None:
        super().__init__(node.with_keywords(items=node.get("additionalProperties")), make)

    def get(self) -> Any:
        values = super().get()
        if self._json is not None:
            return values
        return {row.key.value: value for row, value in zip(self.rows, values, strict=True)}

    def set(self, value: Any) -> None:
        self._write(list(value.items()) if isinstance(value, dict) else [], value)

    def check(self) -> str | None:
        names = [row.key.value for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            return f"Two rows have the name {twice[0]!r}. Give each row a unique name."
        return super().check()

    def _find(self, step: str) -> _Row | None:
        return next((row for row in self.rows if row.key.value == step), None)
