"""Controls for lists and maps: rows that are added and removed."""

from collections.abc import Callable, Sequence
from typing import Any

from easymlnb.forms import lean as W
from easymlnb.forms.fields import MISSING, Field, Make, html
from easymlnb.forms.node import Node
from easymlnb.forms.order import in_order


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

    def __init__(self, node: Node, make: Make) -> None:
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
        self.widget = W.VBox([self._box, self._add, self._full])
        self._fill(())

    def add(self, value: Any = MISSING, key: str = "") -> None:
        """Append a row."""
        self.rows.append(self._row(value, key))
        self._draw()

    def _row(self, value: Any, key: str) -> _Row:
        at = len(self.rows) + 1
        field = self._make(self._item.plus(title=f"{self._title}, {at}"), True)
        if value is not MISSING:
            field.set(value)
        name = (
            W.Text(value=key, placeholder="Name", continuous_update=False) if self.keyed else None
        )
        row = _Row(field, name, self._remove)
        in_order(row.widget)
        return row

    def _remove(self, row: _Row) -> None:
        self.rows.remove(row)
        row.field.clear()
        self._draw()
        W.close(row.widget)

    def _draw(self) -> None:
        self._box.children = tuple(row.widget for row in self.rows)
        full = self._most is not None and len(self.rows) >= self._most
        self._add.disabled = full
        self._full.value = html(f"No more than {self._most}.", "em-help") if full else ""

    def _fill(self, items: Sequence[tuple[str, Any]]) -> None:
        old, self.rows = self.rows, []
        for key, value in items:
            self.rows.append(self._row(value, key))
        while len(self.rows) < self._least:
            self.rows.append(self._row(MISSING, ""))
        self._draw()
        for row in old:
            W.close(row.widget)

    def get(self) -> Any:
        return [None if (value := row.field.get()) is MISSING else value for row in self.rows]

    def set(self, value: Any) -> None:
        self._fill([("", one) for one in value] if isinstance(value, list | tuple) else ())

    def check(self) -> str | None:
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

    def __init__(self, node: Node, make: Make) -> None:
        super().__init__(node.plus(items=node.get("additionalProperties")), make)

    def get(self) -> Any:
        values = super().get()
        return {row.key.value: value for row, value in zip(self.rows, values, strict=True)}

    def set(self, value: Any) -> None:
        self._fill(list(value.items()) if isinstance(value, dict) else ())

    def check(self) -> str | None:
        names = [row.key.value for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            return f"Two rows are named {twice[0]!r}; each needs a name of its own."
        return super().check()

    def _find(self, step: str) -> _Row | None:
        return next((row for row in self.rows if row.key.value == step), None)
