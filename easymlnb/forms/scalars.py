"""Controls for single values: text, numbers, dates, colours, and JSON for all else."""

import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from easymlnb.forms import lean as W
from easymlnb.forms.fields import MISSING, Make, Simple
from easymlnb.forms.nested import Tuple
from easymlnb.forms.node import Node


def _label(node: Node) -> dict[str, Any]:
    return {"description": node.title, "description_allow_html": False, "tooltip": node.help}


def _texted(node: Node, widget: Any) -> Simple:
    """A control that holds text; an empty one counts only where "" can be meant: over a default."""

    def get() -> Any:
        return widget.value if widget.value or node.has_default else MISSING

    def put(value: Any) -> None:
        widget.value = "" if value is MISSING or value is None else str(value)

    return Simple(widget, get, put)


def _placeholder(node: Node) -> str:
    return str(node.hint("placeholder") or "")


def text(node: Node, make: Make) -> Simple:
    """One line; with the schema's ``examples`` it suggests them."""
    shared = {"placeholder": _placeholder(node), "continuous_update": False, **_label(node)}
    suggested = [one for one in node.get("examples") or () if isinstance(one, str)]
    if suggested:
        return _texted(node, W.Combobox(options=suggested, **shared))
    return _texted(node, W.Text(**shared))


def longtext(node: Node, make: Make) -> Simple:
    """Several lines."""
    rows = int(node.hint("rows") or 5)
    shared = {"placeholder": _placeholder(node), "continuous_update": False, **_label(node)}
    return _texted(node, W.Textarea(rows=rows, **shared))


def secret(node: Node, make: Make) -> Simple:
    """One line that is not shown."""
    return _texted(node, W.Password(continuous_update=False, **_label(node)))


def json_value(node: Node, make: Make) -> Simple:
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
            return f"This is not JSON: {error}."
        except RecursionError:
            return "This is nested too deep."
        return None

    return Simple(widget, get, put, problem=problem)


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} has no place in it")


def number(node: Node, make: Make) -> Simple:
    """A typed number. Out of bounds it stays as typed: the service's answer says what is wrong.

    Where words stand for numbers, too ("NaN"), they are typed into the same field.
    """
    whole = node.get("type") == "integer"
    default = node.get("default")
    loose = bool(node.alternatives)
    if loose or isinstance(default, bool) or not isinstance(default, int | float):
        return _typed_number(node, whole)
    if whole:
        widget = W.IntText(step=max(1, int(node.step)), **_label(node))
    else:
        widget = W.FloatText(step=node.step, **_label(node))

    def put(value: Any) -> None:
        if value is not MISSING:
            widget.value = value

    return Simple(widget, lambda: widget.value, put)


def _typed_number(node: Node, whole: bool) -> Simple:
    """A number field that can be empty, which the browser's own cannot be in ipywidgets."""
    widget = W.Text(
        placeholder=_placeholder(node) or _range(node), continuous_update=False, **_label(node)
    )

    def get() -> Any:
        return read_number(widget.value, whole) if widget.value.strip() else MISSING

    def put(value: Any) -> None:
        widget.value = "" if value is MISSING or value is None else str(value)

    return Simple(widget, get, put)


def read_number(text: str, whole: bool) -> int | float | str:
    """Return the number that was typed, or the text itself, for the service to refuse in words."""
    for kind in (int, float) if whole else (float,):
        try:
            found = kind(text.strip())
        except ValueError:
            continue
        if math.isfinite(found):
            return found
    return text.strip()


def _range(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    if low is not None:
        return f"{low:g} or more"
    return "" if high is None else f"{high:g} or less"


def slider(node: Node, make: Make) -> Simple:
    """A number between two bounds, its value beside the label."""
    low, high = node.bounds
    if low is None or high is None or low >= high:
        return number(node, make)
    shared = {"continuous_update": False, **_label(node)}
    places = _places(node.step)
    if node.hint("log") and low > 0:
        widget = W.FloatLogSlider(
            min=math.log10(low),
            max=math.log10(high),
            value=low,
            step=0.05,
            readout_format=".2g",
            **shared,
        )
        places = 12
    elif node.get("type") == "integer":
        widget = W.IntSlider(
            min=int(low), max=int(high), value=int(low), step=max(1, int(node.step)), **shared
        )
    else:
        widget = W.FloatSlider(
            min=low, max=high, value=low, step=node.step, readout_format=f".{places}f", **shared
        )
    widget.add_class("em-slider")

    def get() -> Any:
        # A browser's steps add up to 0.30000000000000004.
        return widget.value if isinstance(widget.value, int) else round(widget.value, places + 2)

    def put(value: Any) -> None:
        if value is not MISSING:
            widget.value = value

    return Simple(widget, get, put)


def _places(step: float) -> int:
    """Return how many decimals a step has: 0.25 has 2."""
    exponent = Decimal(str(step)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 2


def interval(node: Node, make: Make) -> Any:
    """Two ends on one slider, or two numbers where no bounds are known."""
    edge = node.child((node.get("prefixItems") or [node.get("items")])[0])
    if node.hint("step"):
        edge = edge.plus(multipleOf=node.hint("step"))
    low, high = edge.bounds
    if low is None or high is None or low >= high:
        return Tuple(
            node.plus(
                prefixItems=[{**edge.schema, "title": "From"}, {**edge.schema, "title": "To"}]
            ),
            make,
        )
    kind = W.IntRangeSlider if edge.get("type") == "integer" else W.FloatRangeSlider
    form = {} if kind is W.IntRangeSlider else {"readout_format": f".{_places(edge.step)}f"}
    step = int(edge.step) if kind is W.IntRangeSlider else edge.step
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
            widget.value = tuple(value)

    return Simple(widget, lambda: list(widget.value), put)


def checkbox(node: Node, make: Make) -> Simple:
    """Yes or no."""
    widget = W.Checkbox(value=False, indent=False, **_label(node))

    def put(value: Any) -> None:
        widget.value = bool(value) and value is not MISSING

    return Simple(widget, lambda: widget.value, put)


def _picker(widget: Any, read: Any) -> Simple:
    def get() -> Any:
        return MISSING if widget.value is None else widget.value.isoformat()

    def put(value: Any) -> None:
        widget.value = None if value is MISSING or value is None else read(value)

    return Simple(widget, get, put)


def day(node: Node, make: Make) -> Simple:
    """A date."""
    return _picker(W.DatePicker(**_label(node)), date.fromisoformat)


def moment(node: Node, make: Make) -> Simple:
    """A date and a time of day, without a zone."""

    def read(value: str) -> datetime:
        return datetime.fromisoformat(value).replace(tzinfo=None)

    return _picker(W.NaiveDatetimePicker(**_label(node)), read)


def clock(node: Node, make: Make) -> Simple:
    """A time of day."""
    return _picker(W.TimePicker(step=1, **_label(node)), time.fromisoformat)


def colour(node: Node, make: Make) -> Simple:
    """A colour as ``#rrggbb``."""
    widget = W.ColorPicker(value="#2450c8", **_label(node))

    def put(value: Any) -> None:
        if value is not MISSING:
            widget.value = value

    return Simple(widget, lambda: widget.value, put)


def const(node: Node, make: Make) -> Simple:
    """The one value there is; nothing to see."""
    value = node.get("const")
    return Simple(W.HTML(), lambda: value, lambda _: None, visible=False)
