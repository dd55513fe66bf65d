"""Build a page from the layout that ``@f.app`` or a tagged notebook captured.

The tree comes from an author, by way of a bundle, so nothing in it is taken for granted: what is
not known is left out, texts are cleaned, styles are checked again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import Field, html
from easymlnb.forms.layout_capture import DEEPEST, MOST, SAFE_STYLE, STYLES
from easymlnb.forms.renderers import one
from easymlnb.forms.result_panel import Tabs
from easymlnb.forms.sanitize import clean

WITHIN = {"form": ("inputs", "result", "history")}
"""Parts that have others in them."""


class LayoutBuilder:
    """Builds one page of a form's parts."""

    def __init__(self, fields: Mapping[str, Field], parts: Mapping[str, Callable[[], Any]]) -> None:
        self._fields = fields
        self._parts = parts
        self._room = MOST
        self.placed: set[str] = set()

    def build(self, tree: Any) -> Any:
        """Return the page; a field that has no place there tells of its errors elsewhere."""
        page = self._widget(tree, 0) or W.VBox()
        page.add_class("em-custom")
        if "inputs" not in self.placed:
            for name, field in self._fields.items():
                field.visible = field.visible and f"field {name}" in self.placed
        return page

    def _widget(self, node: Any, depth: int) -> Any:
        self._room -= 1
        if not isinstance(node, dict) or depth > DEEPEST or self._room < 0:
            return None
        made = next((BUILDERS[kind](self, node, depth) for kind in BUILDERS if kind in node), None)
        return made

    def children(self, node: Any, kind: str, depth: int) -> list[Any]:
        given = node[kind] if isinstance(node[kind], list) else []
        found = [self._widget(one, depth + 1) for one in given]
        return [one for one in found if one is not None]

    def field(self, node: Any, depth: int) -> Any:
        name = str(node["field"])
        field = self._fields.get(name)
        if field is None or f"field {name}" in self.placed:
            return None
        self.placed.add(f"field {name}")
        return field.widget

    def part(self, node: Any, depth: int) -> Any:
        name = str(node["part"])
        taken = {name, *WITHIN.get(name, ())}
        if name not in self._parts or taken & self.placed:
            return None
        self.placed |= taken
        return self._parts[name]()

    def titled(self, node: Any, kind: str, depth: int) -> tuple[list[str], list[Any]]:
        pages = self.children(node, kind, depth)
        given = node.get("titles")
        titles = [str(title)[:80] for title in given] if isinstance(given, list) else []
        return [*titles, *(f"Page {at + 1}" for at in range(len(titles), len(pages)))], pages


def _style(node: Any) -> dict[str, Any]:
    given = node.get("style")
    if not isinstance(given, dict):
        return {}
    kept = {
        name: value
        for name, value in given.items()
        if name in STYLES and isinstance(value, str) and SAFE_STYLE.match(value)
    }
    return {"layout": W.Layout(**kept)} if kept else {}


def _box(kind: str) -> Callable[[LayoutBuilder, Any, int], Any]:
    def make(on: LayoutBuilder, node: Any, depth: int) -> Any:
        box = W.Box(on.children(node, kind, depth), **_style(node))
        box.add_class(f"em-box-{kind}")
        return box

    return make


def _tabs(on: LayoutBuilder, node: Any, depth: int) -> Any:
    titles, pages = on.titled(node, "tabs", depth)
    return Tabs(tuple(titles[: len(pages)]), pages).widget if pages else None


def _accordion(on: LayoutBuilder, node: Any, depth: int) -> Any:
    titles, pages = on.titled(node, "accordion", depth)
    return W.Accordion(pages, titles=titles[: len(pages)])


def _html(on: LayoutBuilder, node: Any, depth: int) -> Any:
    return W.HTML(f'<div class="em-prose">{clean(str(node["html"]))}</div>')


def _text(on: LayoutBuilder, node: Any, depth: int) -> Any:
    return W.HTML(html(str(node["text"]), "em-text"))


def _static(on: LayoutBuilder, node: Any, depth: int) -> Any:
    part = node["static"]
    if not isinstance(part, dict):
        return None
    if part.get("kind") == "html" and "<table" in str(part.get("data")):
        # As a table of results looks; one that is too wide is scrolled, by keys, too.
        return W.HTML(f'<div class="em-table" tabindex="0">{clean(str(part["data"]))}</div>')
    return one(part)


BUILDERS: dict[str, Callable[[LayoutBuilder, Any, int], Any]] = {
    "field": LayoutBuilder.field,
    "part": LayoutBuilder.part,
    "html": _html,
    "text": _text,
    "static": _static,
    "column": _box("column"),
    "row": _box("row"),
    "grid": _box("grid"),
    "tabs": _tabs,
    "accordion": _accordion,
}
"""By the key that a node of the tree has."""
