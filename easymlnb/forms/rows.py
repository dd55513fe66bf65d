"""Controls for lists and maps: rows that are added and removed."""

from collections.abc import Callable, Sequence
from typing import Any

from easymlnb.contract.json_values import count_nodes
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import MISSING, Field, Make, Simple, html
from easymlnb.forms.message_order import keep_message_order
from easymlnb.forms.scalars import json_value

ROWS = 200
"""Rows of one list. Longer ones are shown, and edited, as JSON: a row is five widgets."""

NODES = 500
"""Values inside of a list, at any depth, that are shown as rows."""


def _full() -> bool:
    sheet = W.current()
    return sheet is not None and sheet.full


class _Row:
    """One line of a list or map: its field, a name before it in a map, and a way out of it."""

    def __init__(self, field: Field, key: Any, remove: Callable[["_Row"], None]) -> None:
        self.field = field
        self.key = key
        button = W.Button(description="\u00d7", tooltip="Remove")
        button.add_class("em-remove")
        button.on_click(lambda _: remove(self))
        self.widget = W.HBox([part for part in (key, field.widget, button) if part is not None])
        self.widget.add_class("em-row")


class Rows:
    """A list: rows that are added and removed."""

    labelled = False
    visible = True
    keyed = False

    def __init__(self, node: SchemaNode, make: Make) -> None:
        self._item = node.child(node.get("items"))
        self._make = make
        self._title = node.title or "Item"
        self._least = int(node.get("minItems") or 0)
        self._most = node.get("maxItems")
        self.rows: list[_Row] = []
        self._box = W.VBox()
        self._box.add_class("em-rows")
        self._add = W.Button(description="Add")
        self._add.add_class("em-quiet")
        self._add.on_click(lambda _: self.add())
        self._full = W.HTML()
        self._written: Simple | None = None
        self._node = node
        self.widget = W.VBox([self._box, self._add, self._full])
        self._fill(())

    def add(self, value: Any = MISSING, key: str = "") -> None:
        """Append a row."""
        self.rows.append(self._row(value, key))
        self._draw()

    def _row(self, value: Any, key: str) -> _Row:
        at = len(self.rows) + 1
        field = self._make(self._item.with_keywords(title=f"{self._title}, {at}"), True)
        if value is not MISSING:
            field.set(value)
        name = (
            W.Text(value=key, placeholder="Name", continuous_update=False) if self.keyed else None
        )
        row = _Row(field, name, self._remove)
        keep_message_order(row.widget)
        return row

    def _remove(self, row: _Row) -> None:
        self.rows.remove(row)
        row.field.clear()
        self._draw()
        W.close(row.widget)

    def _draw(self) -> None:
        self._box.children = tuple(row.widget for row in self.rows)
        most = ROWS if self._most is None else min(self._most, ROWS)
        reached = len(self.rows) >= most
        self._add.disabled = reached or _full()
        self._full.value = (
            html(f"At most {most} entries are allowed.", "em-help") if reached else ""
        )

    def _fill(self, items: Sequence[tuple[str, Any]]) -> bool:
        """Show values as rows; False if there are more than a form shows."""
        old, self.rows = self.rows, []
        for key, value in items:
            if len(self.rows) == ROWS or _full():
                break
            self.rows.append(self._row(value, key))
        whole = len(self.rows) == len(items)
        while len(self.rows) < min(self._least, ROWS):
            self.rows.append(self._row(MISSING, ""))
        self._draw()
        for row in old:
            W.close(row.widget)
        return whole

    def _put(self, items: Sequence[tuple[str, Any]], value: Any) -> None:
        """Show values as rows, or as the JSON that they are where these would be too many."""
        if self._written is not None:
            W.close(self._written.widget)
            self._written = None
        if len(items) <= ROWS and count_nodes(value, NODES) <= NODES and self._fill(items):
            self.widget.children = (self._box, self._add, self._full)
            return
        self._fill(())
        self._written = json_value(self._node.without_keywords("description"), self._make)
        self._written.set(value)
        keep_message_order(self._written.widget)
        self.widget.children = (self._written.widget,)

    def get(self) -> Any:
        if self._written is not None:
            found = self._written.get()
            return self._empty if found is MISSING else found
        return [None if (value := row.field.get()) is MISSING else value for row in self.rows]

    @property
    def _empty(self) -> Any:
        return {} if self.keyed else []

    def set(self, value: Any) -> None:
        items = [("", one) for one in value] if isinstance(value, list | tuple) else []
        self._put(items, value)

    def check(self) -> str | None:
        if self._written is not None:
            return self._written.check()
        wrong = [row for row in self.rows if not row.field.check()]
        return "" if wrong else None

    def _find(self, step: str) -> _Row | None:
        at = int(step) if step.isdecimal() else -1
        return self.rows[at] if 0 <= at < len(self.rows) else None

    def show(self, path: Sequence[str], message: str) -> bool:
        row = self._find(path[0])
        if row is not None:
            row.field.show(path[1:], message)
        return row is not None

    def clear(self) -> None:
        for row in self.rows:
            row.field.clear()


class Map(Rows):
    """A dict with free keys: rows of a name and a value."""

    keyed = True

    def __init__(self, node: SchemaNode, make: Make) -> None:
        super().__init__(node.with_keywords(items=node.get("additionalProperties")), make)

    def get(self) -> Any:
        values = super().get()
        if self._written is not None:
            return values
        return {row.key.value: value for row, value in zip(self.rows, values, strict=True)}

    def set(self, value: Any) -> None:
        self._put(list(value.items()) if isinstance(value, dict) else [], value)

    def check(self) -> str | None:
        names = [row.key.value for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            return f"Two rows have the name {twice[0]!r}. Give each row a unique name."
        return super().check()

    def _find(self, step: str) -> _Row | None:
        return next((row for row in self.rows if row.key.value == step), None)
