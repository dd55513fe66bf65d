"""``@f.app``: an author's layout of ipywidgets, taken down as data.

The author's function runs where the notebook runs, with stand-ins for the parts of the form. What
it returns is kept in the spec as a tree of boxes, texts and names of parts, and the page is built
from that tree by a kernel that never sees a line of the author's code.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ipywidgets as W
from traitlets import Unicode

from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.shared_style import close

PARTS = ("inputs", "run", "result", "examples", "history", "code")
"""Parts of a page beside the single fields."""

DEEPEST = 20
MOST = 500
"""Bounds of a layout: boxes in boxes, and widgets in all."""

STYLES = (
    "width", "min_width", "max_width", "height", "min_height", "max_height", "flex", "flex_flow",
    "justify_content", "align_items", "align_self", "grid_template_columns", "grid_gap", "margin",
    "padding", "overflow",
)  # fmt: skip
"""What of a widget's ``layout`` is kept."""

SAFE_STYLE = re.compile(r"[\w\s.,%()/+*-]{1,120}\Z")

KINDS: tuple[tuple[type, str], ...] = (
    (W.Tab, "tabs"),
    (W.Accordion, "accordion"),
    (W.GridBox, "grid"),
    (W.VBox, "column"),
    (W.HBox, "row"),
    (W.Box, "row"),
)


class Part(W.Box):  # type: ignore[misc]
    """Stands for a part of the form while the author's function lays out the page."""

    of = Unicode()
    name = Unicode()


class Fields(Mapping[str, Any]):
    """The fields of a form by the names of the parameters."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._service = spec.name
        self._parts = {
            name: Part(of="field", name=name) for name in spec.input.get("properties", {})
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
    """What an author places on a page: ``fields["x"]`` and the parts of the form.

    ``inputs`` is all fields with Run and the examples, as on the usual page; ``run`` the buttons
    with progress, ``result`` what came of the last call, ``examples``, ``history`` the calls of
    this visit, ``code`` the call as code.
    """

    def __init__(self, spec: ServiceSpec) -> None:
        self.fields = Fields(spec)
        for name in PARTS:
            setattr(self, name, Part(of="part", name=name))


def capture_layout(spec: ServiceSpec, function: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the tree of what an author's function makes; raises ``DefinitionError``."""
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
        _complete(spec, seen)
    finally:
        # What stood in for the page has done its part.
        close(root)
    return tree


def _node(widget: Any, depth: int, seen: list[tuple[str, str]]) -> dict[str, Any]:
    if depth > DEEPEST or len(seen) > MOST:
        raise DefinitionError(
            f"The page has too many widgets. The limits are {MOST} widgets and {DEEPEST} nested "
            "boxes."
        )
    if isinstance(widget, Part):
        key = (widget.of, widget.name)
        if key in seen:
            raise DefinitionError(
                f"The part {widget.name!r} occurs twice on the page. Remove one of them."
            )
        seen.append(key)
        return {widget.of: widget.name}
    seen.append(("", ""))
    if isinstance(widget, W.HTML | W.HTMLMath):
        return {"html": str(widget.value)}
    if isinstance(widget, W.Label):
        return {"text": str(widget.value)}
    kind = next((name for kind, name in KINDS if isinstance(widget, kind)), None)
    if kind is None:
        raise DefinitionError(
            f"{type(widget).__name__} is not supported on a page because it needs the notebook's "
            "code. Use VBox, HBox, Box, GridBox, Tab, Accordion, HTML, Label and the form's "
            "parts."
        )
    found: dict[str, Any] = {kind: [_node(one, depth + 1, seen) for one in widget.children]}
    if titles := tuple(getattr(widget, "titles", ()) or ()):
        found["titles"] = [str(title) for title in titles]
    if style := _style(widget.layout):
        found["style"] = style
    return found


def _style(layout: Any) -> dict[str, str]:
    given = {name: getattr(layout, name) for name in STYLES}
    return {name: value for name, value in given.items() if value and SAFE_STYLE.match(value)}


def _complete(spec: ServiceSpec, seen: list[tuple[str, str]]) -> None:
    """Refuse a page that nobody could use."""
    if ("part", "inputs") in seen:
        if fields := [name for of, name in seen if of == "field"] + [
            name for of, name in seen if of == "part" and name in ("run", "examples")
        ]:
            raise DefinitionError(
                f"form.inputs already contains {', '.join(fields)}. Place either form.inputs or "
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
