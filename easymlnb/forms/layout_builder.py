"""Build a page from the layout that ``@f.app`` or a tagged notebook captured.

The tree comes from an author, in a bundle, and is not trusted: unknown nodes are left out, texts
are cleaned, styles are checked again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from easymlnb.forms import shared_style as W
from easymlnb.forms.fields import Field
from easymlnb.forms.layout_capture import MAX_DEPTH, MAX_WIDGETS, SAFE_STYLE, STYLES
from easymlnb.forms.markup import element
from easymlnb.forms.renderers import render
from easymlnb.forms.result_panel import Tabs
from easymlnb.forms.sanitize import clean
from easymlnb.forms.widget_frame import WidgetFrame

WITHIN = {"form": ("inputs", "result", "history")}
"""Parts that contain others."""


class LayoutBuilder:
    """Builds one page from a form's parts."""

    def __init__(self, fields: Mapping[str, Field], parts: Mapping[str, Callable[[], Any]]) -> None:
        self._fields = fields
        self._parts = parts
        self._remaining = MAX_WIDGETS
        self.placed: set[str] = set()

    def build(self, tree: Any) -> Any:
        """Return the page. Fields that are not on it become invisible: they cannot show errors."""
        page = self._widget(tree, 0) or W.VBox()
        page.add_class("em-custom")
        if "inputs" not in self.placed:
            for name, field in self._fields.items():
                field.visible = field.visible and f"field {name}" in self.placed
        return page

    def _widget(self, node: Any, depth: int) -> Any:
        self._remaining -= 1
        if not isinstance(node, dict) or depth > MAX_DEPTH or self._remaining < 0:
            return None
        kind = next((kind for kind in BUILDERS if kind in node), None)
        return None if kind is None else BUILDERS[kind](self, node, depth)

    def children(self, node: Any, kind: str, depth: int) -> list[Any]:
        given = node[kind] if isinstance(node[kind], list) else []
        widgets = [self._widget(child, depth + 1) for child in given]
        return [widget for widget in widgets if widget is not None]

    def field(self, node: Any, depth: int) -> Any:
        name = str(node["field"])
        field = self._fields.get(name)
        if field is None or f"field {name}" in self.placed:
            return None
        self.placed.add(f"field {name}")
        return field.widget

    def part(self, node: Any, depth: int) -> Any:
        name = str(node["part"])
        contained = {name, *WITHIN.get(name, ())}
        if name not in self._parts or contained & self.placed:
            return None
        self.placed |= contained
        return self._parts[name]()

    def titled(self, node: Any, kind: str, depth: int) -> dict[str, Any]:
        """Return pages by their titles, which are made unique."""
        given = node.get("titles")
        titles = [str(title)[:80] for title in given] if isinstance(given, list) else []
        pages: dict[str, Any] = {}
        for at, page in enumerate(self.children(node, kind, depth)):
            title = titles[at] if at < len(titles) else f"Page {at + 1}"
            pages[title if title not in pages else f"{title} ({at + 1})"] = page
        return pages


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
    def make(builder: LayoutBuilder, node: Any, depth: int) -> Any:
        box = W.Box(builder.children(node, kind, depth), **_style(node))
        box.add_class(f"em-box-{kind}")
        return box

    return make


def _tabs(builder: LayoutBuilder, node: Any, depth: int) -> Any:
    pages = builder.titled(node, "tabs", depth)
    return Tabs(pages).widget if pages else None


def _accordion(builder: LayoutBuilder, node: Any, depth: int) -> Any:
    pages = builder.titled(node, "accordion", depth)
    return W.Accordion(list(pages.values()), titles=list(pages))


def _html(builder: LayoutBuilder, node: Any, depth: int) -> Any:
    return W.HTML(element("div.em-prose", clean(str(node["html"]))))


def _text(builder: LayoutBuilder, node: Any, depth: int) -> Any:
    return W.HTML(element("div.em-text", node["text"]))


def _static(builder: LayoutBuilder, node: Any, depth: int) -> Any:
    part = node["static"]
    if not isinstance(part, dict):
        return None
    if part.get("kind") == "html" and "<table" in str(part.get("data")):
        # Looks like a table of results; a wide one can be scrolled, with keys, too.
        return W.HTML(element("div.em-table", clean(str(part["data"])), tabindex=0))
    return render(part)


def _frame(builder: LayoutBuilder, node: Any, depth: int) -> Any:
    content = node["widget"]
    if not isinstance(content, dict):
        return None
    return WidgetFrame.of(content)


BUILDERS: dict[str, Callable[[LayoutBuilder, Any, int], Any]] = {
    "field": LayoutBuilder.field,
    "part": LayoutBuilder.part,
    "html": _html,
    "text": _text,
    "static": _static,
    "widget": _frame,
    "column": _box("column"),
    "row": _box("row"),
    "grid": _box("grid"),
    "tabs": _tabs,
    "accordion": _accordion,
}
"""By the key of a node of the tree."""
