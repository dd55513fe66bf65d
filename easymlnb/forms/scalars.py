"""Controls for single values: text, numbers, colors, and JSON for all else."""

import json
import math
import re
from decimal import Decimal
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms import shared_style as W
from easymlnb.forms.containers import Tuple
from easymlnb.forms.fields import MISSING, Make, Simple
from easymlnb.forms.ranges import LARGEST, bounds
from easymlnb.forms.ranges import step as step_of

COLOR = re.compile("#[0-9a-fA-F]{6}")
NO_COLOR = "The value must be a color such as #1a2b3c."
BLUE = "#2450c8"
"""The color that a field begins with."""

DIGITS = 4
"""Digits of a number on a logarithmic slider, shown and sent."""


def _label(node: SchemaNode) -> dict[str, Any]:
    return {"description": node.title, "description_allow_html": False, "tooltip": node.help}


def _texted(node: SchemaNode, widget: Any) -> Simple:
    """A control that holds text; an empty one counts only where "" can be meant: over a default."""

    def get() -> Any:
        return widget.value if widget.value or node.has_default else MISSING

    def put(value: Any) -> None:
        widget.value = "" if value is MISSING or value is None else str(value)

    return Simple(widget, get, put, state=lambda: widget.value)


def _placeholder(node: SchemaNode) -> str:
    return str(node.hint("placeholder") or "")


def text(node: SchemaNode, make: Make) -> Simple:
    """One line; with the schema's ``examples`` it suggests them."""
    if "\n" in str(node.get("default") or ""):
        return longtext(node, make)  # a line would be shown without its breaks
    shared = {"placeholder": _placeholder(node), "continuous_update": False, **_label(node)}
    suggested = [one for one in node.get("examples") or () if isinstance(one, str)]
    if suggested:
        return _texted(node, W.Combobox(options=suggested, **shared))
    return _texted(node, W.Text(**shared))


def longtext(node: SchemaNode, make: Make) -> Simple:
    """Several lines."""
    rows = int(node.hint("rows") or 5)
    shared = {"placeholder": _placeholder(node), "continuous_update": False, **_label(node)}
    return _texted(node, W.Textarea(rows=rows, **shared))


def secret(node: SchemaNode, make: Make) -> Simple:
    """One line that is not shown."""
    return _texted(node, W.Password(continuous_update=False, **_label(node)))


def json_value(node: SchemaNode, make: Make) -> Simple:
    """Anything, written as JSON."""
    widget = W.Textarea(
        rows=4, placeholder=_placeholder(node) or "JSON", continuous_update=False, **_label(node)
    )
    widget.add_class("em-mono")

    def get() -> Any:
        if not widget.value.strip():
            return MISSING
        try:
            return _parse(widget.value)
        except (ValueError, RecursionError):
            return widget.value

    def put(value: Any) -> None:
        empty = value is MISSING or value is None
        widget.value = "" if empty else json.dumps(value, ensure_ascii=False)

    def problem() -> str | None:
        try:
            _parse(widget.value or "null")
        except ValueError as error:
            return f"Invalid JSON: {error}."
        except RecursionError:
            return "The JSON is nested too deeply."
        return None

    return Simple(widget, get, put, problem=problem, state=lambda: widget.value)


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


def number(node: SchemaNode, make: Make) -> Simple:
    """A typed number. Out of bounds it stays as typed: the service's answer says what is wrong.

    Where words stand for numbers, too ("NaN"), they are typed into the same field.
    """
    whole = node.get("type") == "integer"
    default = node.get("default")
    loose = bool(node.alternatives)
    if loose or isinstance(default, bool) or not isinstance(default, int | float):
        return _typed_number(node, whole)
    if isinstance(default, int) and abs(default) > LARGEST:
        return _typed_number(node, whole)
    if whole:
        widget = W.IntText(step=max(1, int(step_of(node))), **_label(node))
    else:
        widget = W.FloatText(step=step_of(node), **_label(node))

    def put(value: Any) -> None:
        if value is not MISSING:
            _put(widget, value)

    return Simple(widget, lambda: widget.value, put)


def _put(widget: Any, value: Any) -> None:
    """Set a widget's value; raises ``ValueError`` where it shows another one."""
    widget.value = value
    if widget.value != value:
        raise ValueError("The widget cannot display this value.")


def _typed_number(node: SchemaNode, whole: bool) -> Simple:
    """A number field that can be empty, which the browser's own cannot be in ipywidgets."""
    widget = W.Text(
        placeholder=_placeholder(node) or _range(node), continuous_update=False, **_label(node)
    )
    exact = any(one.get("type") == "string" for one in node.alternatives)

    def get() -> Any:
        text = widget.value.strip()
        return read_number(text, whole, exact=exact) if text else MISSING

    def put(value: Any) -> None:
        widget.value = "" if value is MISSING or value is None else str(value)

    return Simple(widget, get, put, state=lambda: widget.value)


def read_number(text: str, whole: bool, *, exact: bool = False) -> int | float | str:
    """Return the number that was typed, or the text itself, for the service to refuse in words.

    ``exact`` keeps a text whose value a float would change: all digits of a decimal are meant.
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
    """A number between two bounds, its value beside the label."""
    low, high = bounds(node)
    if low is None or high is None or low >= high:
        return number(node, make)
    shared = {"continuous_update": False, **_label(node)}
    places = max(map(_places_of, (step_of(node), float(low), node.get("default"))))
    if node.hint("log") and low > 0:
        widget = W.FloatLogSlider(
            min=math.log10(low),
            max=math.log10(high),
            value=low,
            step=0.05,
            readout_format=f".{DIGITS}g",
            **shared,
        )
    elif node.get("type") == "integer":
        widget = W.IntSlider(
            min=int(low), max=int(high), value=int(low), step=max(1, int(step_of(node))), **shared
        )
    else:
        widget = W.FloatSlider(
            min=low, max=high, value=low, step=step_of(node), readout_format=f".{places}f", **shared
        )
    widget.add_class("em-slider")

    def get() -> Any:
        value = widget.value
        if isinstance(value, int):
            return value
        # What is shown is sent; a browser's steps add up to 0.30000000000000004.
        return float(f"{value:.{DIGITS}g}") if node.hint("log") else round(value, places)

    def put(value: Any) -> None:
        if value is not MISSING:
            _put(widget, value)

    return Simple(widget, get, put, state=lambda: widget.value)


def _places(step: float) -> int:
    """Return how many decimals a step has: 0.25 has 2."""
    exponent = Decimal(str(step)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 2


def _places_of(value: Any) -> int:
    """Return how many decimals show a number, at most 6."""
    return min(6, _places(value)) if isinstance(value, float) and math.isfinite(value) else 0


def interval(node: SchemaNode, make: Make) -> Any:
    """Two ends on one slider, or two numbers where no bounds are known."""
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
    kind = W.IntRangeSlider if edge.get("type") == "integer" else W.FloatRangeSlider
    ends = node.get("default")
    numbers = (step_of(edge), low, *(ends if isinstance(ends, list) else ()))
    form = {"readout_format": f".{max(map(_places_of, map(float, numbers)))}f"}
    if kind is W.IntRangeSlider:
        form = {}
    step = int(step_of(edge)) if kind is W.IntRangeSlider else step_of(edge)
    widget = kind(
        min=low,
        max=high,
        value=(low, high),
        step=step,
        continuous_update=False,
        **form,
        **_label(node),
    )
    widget.add_class("em-slider")

    def put(value: Any) -> None:
        if value is not MISSING:
            _put(widget, tuple(value))

    return Simple(widget, lambda: list(widget.value), put)


def checkbox(node: SchemaNode, make: Make) -> Simple:
    """Yes or no."""
    widget = W.Checkbox(value=False, indent=False, **_label(node))

    def put(value: Any) -> None:
        widget.value = value is True
        if value not in (True, False, None, MISSING):
            raise ValueError("The value must be true or false.")

    return Simple(widget, lambda: widget.value, put)


def color(node: SchemaNode, make: Make) -> Simple:
    """A color as ``#rrggbb``: typed, or taken from a palette. What is typed is what is sent."""
    typed = W.Text(value=BLUE, continuous_update=False, placeholder="#1a2b3c", **_label(node))
    palette = W.ColorPicker(concise=True, value=BLUE)
    both = W.Box([typed, palette])
    both.add_class("em-color")

    def follow(change: Any) -> None:
        if COLOR.fullmatch(change.new.strip()):
            palette.value = change.new.strip().lower()

    def take(change: Any) -> None:
        if typed.value.strip().lower() != change.new:
            typed.value = change.new

    typed.observe(follow, names="value")
    palette.observe(take, names="value")

    def read() -> Any:
        return typed.value.strip() or MISSING  # what is no color, the service refuses

    def put(value: Any) -> None:
        typed.value = BLUE if value is MISSING or value is None else str(value)

    def problem() -> str | None:
        text = typed.value.strip()
        return None if not text or COLOR.fullmatch(text) else NO_COLOR

    return Simple(both, read, put, problem=problem, state=lambda: typed.value)


def const(node: SchemaNode, make: Make) -> Simple:
    """The one value there is; nothing to see."""
    value = node.get("const")
    return Simple(W.HTML(), lambda: value, lambda _: None, visible=False)
