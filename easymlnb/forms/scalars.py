"""Controls for single values: text, numbers, colors, and JSON for everything else."""

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.containers import Tuple
from easymlnb.forms.fields import MISSING, Make, Simple, described, is_empty
from easymlnb.forms.ranges import LARGEST, bounds
from easymlnb.forms.ranges import step as step_of
from easymlnb.forms.tables import is_number, spaced

COLOR = re.compile("#[0-9a-fA-F]{6}")
NO_COLOR = "The value must be a color such as #1a2b3c."
BLUE = "#2450c8"
"""The initial color of a field."""

DIGITS = 4
"""Digits of a number on a logarithmic slider, shown and sent."""


def _write_text(widget: Any, empty: str = "") -> Callable[[Any], None]:
    """Return what shows a value as text in a widget."""

    def write(value: Any) -> None:
        widget.value = empty if is_empty(value) else str(value)

    return write


def _write_number(widget: Any, convert: Callable[[Any], Any] = lambda value: value) -> Any:
    """Return what shows a number; it raises ``ValueError`` if the widget cannot display it."""

    def write(value: Any) -> None:
        if value is not MISSING:
            widget.value = wanted = convert(value)
            if widget.value != wanted:
                raise ValueError("The widget cannot display this value.")

    return write


def _text_control(node: SchemaNode, widget: Any) -> Simple:
    """Return a control that holds text. An empty text is a value only if it replaces a default."""

    def get() -> Any:
        return widget.value if widget.value or node.has_default else MISSING

    return Simple(widget, get, _write_text(widget), state=lambda: widget.value)


def _placeholder(node: SchemaNode) -> str:
    return str(node.hint("placeholder") or "")


def text(node: SchemaNode, make: Make) -> Simple:
    """One line; it suggests the schema's ``examples``."""
    if "\n" in str(node.get("default") or ""):
        return longtext(node, make)  # a single line would lose the line breaks
    traits = {"placeholder": _placeholder(node), "continuous_update": False, **described(node)}
    suggested = [example for example in node.get("examples") or () if isinstance(example, str)]
    if suggested:
        return _text_control(node, W.Combobox(options=suggested, **traits))
    return _text_control(node, W.Text(**traits))


def longtext(node: SchemaNode, make: Make) -> Simple:
    """Several lines."""
    rows = int(node.hint("rows") or 5)
    traits = {"placeholder": _placeholder(node), "continuous_update": False, **described(node)}
    return _text_control(node, W.Textarea(rows=rows, **traits))


def secret(node: SchemaNode, make: Make) -> Simple:
    """One line with hidden characters."""
    return _text_control(node, W.Password(continuous_update=False, **described(node)))


def json_value(node: SchemaNode, make: Make) -> Simple:
    """Any value, written as JSON."""
    widget = W.Textarea(
        rows=4, placeholder=_placeholder(node) or "JSON", continuous_update=False, **described(node)
    )
    widget.add_class("em-mono")

    def get() -> Any:
        if not widget.value.strip():
            return MISSING
        try:
            return _parse(widget.value)
        except (ValueError, RecursionError):
            return widget.value

    def write(value: Any) -> None:
        widget.value = "" if is_empty(value) else json.dumps(value, ensure_ascii=False)

    def problem() -> str | None:
        try:
            _parse(widget.value or "null")
        except ValueError as error:
            return f"Invalid JSON: {error}."
        except RecursionError:
            return "The JSON is nested too deeply."
        return None

    return Simple(widget, get, write, problem=problem, state=lambda: widget.value)


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_reject)


def _reject(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


def number(node: SchemaNode, make: Make) -> Simple:
    """A typed number. The service rejects one that is out of bounds, with a message.

    If text such as "NaN" is a number, too, it is typed into the same field.
    """
    whole = node.get("type") == "integer"
    default = node.get("default")
    too_large = isinstance(default, int) and abs(default) > LARGEST
    if node.alternatives or not is_number(default) or too_large:
        return _typed_number(node, whole)
    if whole:
        widget = W.IntText(step=max(1, int(step_of(node))), **described(node))
    else:
        widget = W.FloatText(step=step_of(node), **described(node))
    return Simple(widget, lambda: widget.value, _write_number(widget))


def _typed_number(node: SchemaNode, whole: bool) -> Simple:
    """A number field that can be empty, unlike ipywidgets' number widgets."""
    widget = W.Text(
        placeholder=_placeholder(node) or _range(node), continuous_update=False, **described(node)
    )
    exact = any(each.get("type") == "string" for each in node.alternatives)

    def get() -> Any:
        text = widget.value.strip()
        return read_number(text, whole, exact=exact) if text else MISSING

    return Simple(widget, get, _write_text(widget), state=lambda: widget.value)


def read_number(text: str, whole: bool, *, exact: bool = False) -> int | float | str:
    """Return the number that was typed, or the text itself, which the service rejects.

    ``exact`` keeps a text that a float would change, such as a decimal with many digits.
    """
    text = text.strip()
    for kind in (int, float) if whole else (float,):
        try:
            found = kind(text)
        except ValueError:
            continue
        if math.isfinite(found) and not (exact and Decimal(text) != Decimal(str(found))):
            return found
    return text


def _range(node: SchemaNode) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    if low is not None:
        return f"{low:g} or more"
    return "" if high is None else f"{high:g} or less"


def slider(node: SchemaNode, make: Make) -> Simple:
    """A number between two bounds, with its value next to the label."""
    low, high = bounds(node)
    if low is None or high is None or low >= high:
        return number(node, make)
    traits = {"continuous_update": False, **described(node)}
    places = max(map(_shown_places, (step_of(node), float(low), node.get("default"))))
    if node.hint("log") and low > 0:
        widget = W.FloatLogSlider(
            min=math.log10(low),
            max=math.log10(high),
            value=low,
            step=0.05,
            readout_format=f".{DIGITS}g",
            **traits,
        )
    elif node.get("type") == "integer":
        widget = W.IntSlider(
            min=int(low), max=int(high), value=int(low), step=max(1, int(step_of(node))), **traits
        )
    else:
        widget = W.FloatSlider(
            min=low, max=high, value=low, step=step_of(node), readout_format=f".{places}f", **traits
        )
    widget.add_class("em-slider")

    def get() -> Any:
        value = widget.value
        if isinstance(value, int):
            return value
        # The displayed value is sent: a browser's steps add up to 0.30000000000000004.
        return float(f"{value:.{DIGITS}g}") if node.hint("log") else round(value, places)

    return Simple(
        widget, get, _write_number(widget), state=lambda: widget.value, ends=_ends(low, high)
    )


def _ends(low: float, high: float) -> tuple[str, str]:
    """Return the bounds of a slider as people read them."""
    return _end(low), _end(high)


def _end(bound: float) -> str:
    return spaced(f"{bound:,}") if isinstance(bound, int) else f"{bound:g}"


def _places(step: float) -> int:
    """Return the number of decimals of a step: 0.25 has 2."""
    exponent = Decimal(str(step)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 2


def _shown_places(value: Any) -> int:
    """Return the number of decimals to display, at most 6."""
    return min(6, _places(value)) if isinstance(value, float) and math.isfinite(value) else 0


def interval(node: SchemaNode, make: Make) -> Any:
    """Two ends on one slider, or two numbers without known bounds."""
    edge = node.child((node.get("prefixItems") or [node.get("items")])[0])
    if node.hint("step"):
        edge = edge.with_keywords(multipleOf=node.hint("step"))
    low, high = bounds(edge)
    if low is None or high is None or low >= high:
        return Tuple(
            node.with_keywords(
                prefixItems=[{**edge.schema, "title": "From"}, {**edge.schema, "title": "To"}]
            ),
            make,
        )
    traits: dict[str, Any] = {"continuous_update": False, **described(node)}
    kind, step = W.FloatRangeSlider, step_of(edge)
    if edge.get("type") == "integer":
        kind, step = W.IntRangeSlider, int(step)
    else:
        ends = node.get("default")
        numbers = (step, low, *(ends if isinstance(ends, list) else ()))
        traits["readout_format"] = f".{max(map(_shown_places, map(float, numbers)))}f"
    widget = kind(min=low, max=high, value=(low, high), step=step, **traits)
    widget.add_class("em-slider")
    write = _write_number(widget, tuple)
    return Simple(widget, lambda: list(widget.value), write, ends=_ends(low, high))


def checkbox(node: SchemaNode, make: Make) -> Simple:
    """Yes or no."""
    widget = W.Checkbox(value=False, indent=False, **described(node))

    def write(value: Any) -> None:
        widget.value = value is True
        if value not in (True, False, None, MISSING):
            raise ValueError("The value must be true or false.")

    return Simple(widget, lambda: widget.value, write)


def color(node: SchemaNode, make: Make) -> Simple:
    """A color as ``#rrggbb``: typed, or chosen in a palette. The text is sent."""
    typed = W.Text(value=BLUE, continuous_update=False, placeholder="#1a2b3c", **described(node))
    palette = W.ColorPicker(concise=True, value=BLUE)
    both = W.box(typed, palette, kind=W.Box, classes="em-color")

    def on_typed(change: Any) -> None:
        if COLOR.fullmatch(change.new.strip()):
            palette.value = change.new.strip().lower()

    def on_chosen(change: Any) -> None:
        if typed.value.strip().lower() != change.new:
            typed.value = change.new

    typed.observe(on_typed, names="value")
    palette.observe(on_chosen, names="value")

    def read() -> Any:
        return typed.value.strip() or MISSING

    def problem() -> str | None:
        text = typed.value.strip()
        return None if not text or COLOR.fullmatch(text) else NO_COLOR

    write = _write_text(typed, BLUE)
    return Simple(both, read, write, problem=problem, state=lambda: typed.value)


def const(node: SchemaNode, make: Make) -> Simple:
    """The only valid value; nothing is shown."""
    value = node.get("const")
    return Simple(W.HTML(), lambda: value, lambda _: None, visible=False)
