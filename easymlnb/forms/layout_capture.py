"""``@f.app``: capture an author's layout of ipywidgets as data.

The author's function runs in the notebook, with placeholders for the parts of the form. The spec
contains its result as a tree of boxes, texts and names of parts. Form kernels build the page from
that tree and never run code of the author.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ipywidgets as W
from traitlets import Unicode

from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.shared_style import close
from easymlnb.forms.widget_capture import capture, has_foreign

PARTS = ("inputs", "run", "result", "examples", "history", "code")
"""Parts of a page besides the single fields."""

MAX_DEPTH = 20
MAX_WIDGETS = 500
"""Limits of a layout: nested boxes, and the number of widgets."""

STYLES = (
    "width", "min_width", "max_width", "height", "min_height", "max_height", "flex", "flex_flow",
    "justify_content", "align_items", "align_self", "grid_template_columns", "grid_gap", "margin",
    "padding", "overflow",
)  # fmt: skip
"""Traits of a widget's ``layout`` that are captured."""

SAFE_STYLE = re.compile(r"[\w\s.,%()/+*-]{1,120}\Z")

KINDS: tuple[tuple[type, str], ...] = (
    (W.Tab, "tabs"),
    (W.Accordion, "accordion"),
    (W.GridBox, "grid"),
    (W.VBox, "column"),
    (W.HBox, "row"),
    (W.Box, "row"),
)


class LayoutPart(W.Box):  # type: ignore[misc]
    """A placeholder for a part of the form; ``kind`` is ``field`` or ``part``."""

    kind = Unicode()
    name = Unicode()


class Fields(Mapping[str, Any]):
    """The fields of a form by parameter name."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._service = spec.name
        self._parts = {
            name: LayoutPart(kind="field", name=name) for name in spec.input.get("properties", {})
        }

    def __getitem__(self, name: str) -> Any:
        try:
            return self._parts[name]
        except KeyError:
            raise DefinitionError(
                f"{self._service!r} has no parameter {name!r}. Its parameters: "
                f"{', '.join(self._parts)}."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


class Parts:
    """The parts of a form that an author places on a page.

    Attributes
    ----------
    fields : the fields, by parameter name
    inputs : a card with all fields, Run and Stop, and the examples
    run : Run and Stop with the progress
    result : the result of the last call
    examples : the examples
    history : the calls of this visit
    code : the call as code
    """

    def __init__(self, spec: ServiceSpec) -> None:
        self.fields = Fields(spec)
        for name in PARTS:
            setattr(self, name, LayoutPart(kind="part", name=name))


def capture_layout(spec: ServiceSpec, function: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the layout that an author's function makes. Raises ``DefinitionError``."""
    if not callable(function):
        raise DefinitionError(f"@{spec.name}.app must decorate a function.")
    root = function(Parts(spec))
    if not isinstance(root, W.Widget):
        raise DefinitionError(
            f"The app of {spec.name!r} must return ipywidgets, such as "
            f"VBox([form.inputs, form.result]), not {type(root).__name__}."
        )
    seen: list[tuple[str, str]] = []
    try:
        tree = _node(root, 0, seen)
        _require_usable(spec, seen)
    finally:
        close(root)
    return tree


def _node(widget: Any, depth: int, seen: list[tuple[str, str]]) -> dict[str, Any]:
    if depth > MAX_DEPTH or len(seen) > MAX_WIDGETS:
        raise DefinitionError(
            "The page has too many widgets. The limits are "
            f"{MAX_WIDGETS} widgets and {MAX_DEPTH} nested boxes."
        )
    if isinstance(widget, LayoutPart):
        key = (widget.kind, widget.name)
        if key in seen:
            raise DefinitionError(
                f"The part {widget.name!r} occurs twice on the page. Remove one of them."
            )
        seen.append(key)
        return {widget.kind: widget.name}
    seen.append(("", ""))
    if isinstance(widget, W.HTML | W.HTMLMath):
        return {"html": str(widget.value)}
    if isinstance(widget, W.Label):
        return {"text": str(widget.value)}
    kind = next((name for kind, name in KINDS if isinstance(widget, kind)), None)
    if has_foreign(widget) and not _has_part(widget):
        # As one, so that widgets inside can be linked to each other.
        return {"widget": capture(widget)}
    if kind is None:
        raise DefinitionError(
            f"{type(widget).__name__} is not supported on a page because it needs the notebook's "
            "code. Use VBox, HBox, Box, GridBox, Tab, Accordion, HTML, Label, the form's parts, "
            "and widgets of other packages that work without the notebook."
        )
    node: dict[str, Any] = {kind: [_node(child, depth + 1, seen) for child in widget.children]}
    if titles := tuple(getattr(widget, "titles", ()) or ()):
        node["titles"] = [str(title) for title in titles]
    if style := _style(widget.layout):
        node["style"] = style
    return node


def _has_part(widget: Any) -> bool:
    return isinstance(widget, LayoutPart) or any(map(_has_part, getattr(widget, "children", ())))


def _style(layout: Any) -> dict[str, str]:
    given = {name: getattr(layout, name) for name in STYLES}
    return {name: value for name, value in given.items() if value and SAFE_STYLE.match(value)}


def _require_usable(spec: ServiceSpec, seen: list[tuple[str, str]]) -> None:
    """Raise ``DefinitionError`` for a page without Run or a required field."""
    if ("part", "inputs") in seen:
        if contained := [
            name for kind, name in seen if kind == "field" or name in ("run", "examples")
        ]:
            raise DefinitionError(
                f"form.inputs already contains {', '.join(contained)}. Place either form.inputs or "
                "its parts."
            )
        return
    if ("part", "run") not in seen:
        raise DefinitionError(
            "The page has no Run button. Place form.run or form.inputs on the page."
        )
    missing = [name for name in spec.input.get("required", ()) if ("field", name) not in seen]
    if missing:
        raise DefinitionError(
            "The page has no field for required parameters. Place "
            f"{', '.join(f'form.fields[{name!r}]' for name in missing)} on the page."
        )
