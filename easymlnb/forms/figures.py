"""Figures of plotly, laid out for a column that may be as narrow as a phone.

Plotly's own layout is made for a wide picture: margins of a third of the width, a legend next to
the plot, a fixed size. Here the labels of the axes get the space that they need and no more, the
legend is below, and the title is a heading of the page, which wraps.
"""

import html
import re
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

MARGIN = {"l": 8, "r": 8, "t": 16, "b": 8}
"""Pixels around a plot, besides its axes' labels."""

NOTES_MARGIN = {"l": 64, "r": 40, "t": 32, "b": 64}
"""The same on a side with notes outside of the plot, such as titles of panels."""

TITLE_MARGIN = 56
"""Pixels above a plot whose title only plotly can draw, as it has formulas."""

BAR_WIDTH = 12
"""Pixels of a color bar's width."""

LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yanchor": "bottom"}

MODEBAR = {"bgcolor": "rgba(0,0,0,0)", "color": "#8a94a6", "activecolor": "#5f7bd0"}
"""Plotly's buttons over a plot, for a light and for a dark page."""

TRACES_WITH_BAR = (
    "heatmap",
    "contour",
    "surface",
    "choropleth",
    "histogram2d",
    "histogram2dcontour",
)
"""Kinds of traces with a color bar."""

SIDES = {"l": ("x", False), "r": ("x", True), "b": ("y", False), "t": ("y", True)}


def fitted(figure: Json) -> Json:
    """Return a figure that fills its column and leaves its title to the page."""
    layout = dict(figure.get("layout") or {})
    keeps_title = bool(_text(layout)) and not title(figure)
    if not keeps_title:
        layout.pop("title", None)
    layout.pop("width", None)
    layout["autosize"] = True
    layout["margin"] = _margins(layout, keeps_title)
    layout.setdefault("modebar", MODEBAR)
    layout["legend"] = _legend(layout.get("legend"))
    for name in {"xaxis", "yaxis", *layout}:
        if re.fullmatch(r"[xy]axis\d*", name):
            layout[name] = {"automargin": True, **_mapping(layout.get(name))}
    for name in [key for key in layout if re.fullmatch(r"coloraxis\d*", key)]:
        layout[name] = _with_narrow_bar(_mapping(layout[name]))
    traces = figure.get("data") or ()
    data = [_with_narrow_bar(trace) if _has_bar(trace) else trace for trace in traces]
    return {**figure, "data": data, "layout": layout}


def title(figure: Json) -> str:
    """Return a figure's own title as plain text; "" where it has none, or one of formulas."""
    text = _text(_mapping(figure.get("layout")))
    if "$" in text:
        return ""
    plain = re.sub(r"<[^>]*>", "", re.sub(r"<br\s*/?>", " \u00b7 ", text))
    return " ".join(html.unescape(plain).split())


def _text(layout: Mapping[str, Any]) -> str:
    given = layout.get("title")
    return str(_mapping(given).get("text") or "") if not isinstance(given, str) else given


def _margins(layout: Json, titled: bool) -> Json:
    given = _mapping(layout.get("margin"))
    margins: Json = {"autoexpand": True}
    for side, least in MARGIN.items():
        if _has_notes(layout, side):
            wide = NOTES_MARGIN[side]
            margins[side] = max(wide, min(_pixels(given.get(side)), 2 * wide))
        else:
            margins[side] = min(_pixels(given.get(side), least), least)
    if titled:
        margins["t"] = TITLE_MARGIN
    return margins


def _has_notes(layout: Json, side: str) -> bool:
    """Whether something that plotly makes no space for is outside of the plot."""
    axis, high = SIDES[side]
    # A note exactly at an edge is outside if it is anchored by its opposite side.
    away = {("x", True): "left", ("x", False): "right", ("y", True): "bottom", ("y", False): "top"}
    for note in (*(layout.get("annotations") or ()), *(layout.get("images") or ())):
        if not isinstance(note, Mapping) or note.get(f"{axis}ref") != "paper":
            continue
        at = note.get(axis)
        if not isinstance(at, int | float):
            continue
        edge = (at >= 0.999) if high else (at <= 0.001)
        beyond = (at > 1.001) if high else (at < -0.001)
        if beyond or (edge and note.get(f"{axis}anchor") == away[axis, high]):
            return True
    return False


def _legend(given: Any) -> Json:
    """Return a legend below the plot, unless its author placed it."""
    legend = _mapping(given)
    if "x" in legend or "y" in legend or "orientation" in legend:
        return legend
    return {**legend, **LEGEND, "yref": "container"}


def _has_bar(trace: Any) -> bool:
    return isinstance(trace, Mapping) and (
        trace.get("type") in TRACES_WITH_BAR or "colorbar" in trace
    )


def _with_narrow_bar(owner: Any) -> Json:
    """Return a trace or color axis with a narrow bar."""
    return {
        **owner,
        "colorbar": {"thickness": BAR_WIDTH, "xpad": 6, **_mapping(owner.get("colorbar"))},
    }


def _mapping(value: Any) -> Json:
    return dict(value) if isinstance(value, Mapping) else {}


def _pixels(value: Any, other: float = 0) -> float:
    return value if isinstance(value, int | float) and value >= 0 else other


def self_contained(value: Any) -> Any:
    """Return a part of a figure without pictures that a browser would load from elsewhere."""
    if isinstance(value, dict):
        return {
            key: self_contained(inner)
            for key, inner in value.items()
            if key != "source" or not isinstance(inner, str) or inner.startswith("data:image/")
        }
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [self_contained(inner) for inner in value]
    return value


def has_no_background(figure: Json) -> bool:
    """Whether the page decides on the figure's background."""
    layout = figure.get("layout") or {}
    return not any(layout.get(key) for key in ("paper_bgcolor", "plot_bgcolor"))
