"""Figures of plotly, laid out for a column that may be as narrow as a phone.

Plotly's own layout is made for a wide picture by itself: margins of a third of the width, a legend
beside the plot, a fixed size. Here the labels of the axes get the room that they need and no more,
the legend lies below, and the title is a heading of the page, which breaks its lines.
"""

import html
import re
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

ROOM = {"l": 8, "r": 8, "t": 16, "b": 8}
"""Pixels around a plot, beside what its axes' labels take."""

BESIDE = {"l": 64, "r": 40, "t": 32, "b": 64}
"""The same on a side where notes lie outside of the plot, such as titles of panels."""

TITLED = 56
"""Pixels above a plot whose title only plotly can draw."""

BAR = 12
"""Pixels of a color bar's width."""

LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yanchor": "bottom"}

MODEBAR = {"bgcolor": "rgba(0,0,0,0)", "color": "#8a94a6", "activecolor": "#5f7bd0"}
"""Plotly's buttons over a plot, for a light and for a dark page."""

BARS = ("heatmap", "contour", "surface", "choropleth", "histogram2d", "histogram2dcontour")
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
    for name in [one for one in layout if re.fullmatch(r"coloraxis\d*", one)]:
        layout[name] = _slim(_mapping(layout[name]))
    data = [_slim(one) if _has_bar(one) else one for one in figure.get("data") or ()]
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
    room: Json = {"autoexpand": True}
    for side, least in ROOM.items():
        if _notes(layout, side):
            room[side] = max(BESIDE[side], min(_pixels(given.get(side)), 2 * BESIDE[side]))
        else:
            room[side] = min(_pixels(given.get(side), least), least)
    if titled:
        room["t"] = TITLED
    return room


def _notes(layout: Json, side: str) -> bool:
    """Tell whether something that plotly makes no room for lies outside of the plot."""
    axis, high = SIDES[side]
    # A note at the very edge lies outside when it is held by the edge it is nearer to.
    away = {("x", True): "left", ("x", False): "right", ("y", True): "bottom", ("y", False): "top"}
    for one in (*(layout.get("annotations") or ()), *(layout.get("images") or ())):
        if not isinstance(one, Mapping) or one.get(f"{axis}ref") != "paper":
            continue
        at = one.get(axis)
        if not isinstance(at, int | float):
            continue
        edge = (at >= 0.999) if high else (at <= 0.001)
        beyond = (at > 1.001) if high else (at < -0.001)
        if beyond or (edge and one.get(f"{axis}anchor") == away[axis, high]):
            return True
    return False


def _legend(given: Any) -> Json:
    """Return a legend below, unless its author put it somewhere."""
    legend = _mapping(given)
    if "x" in legend or "y" in legend or "orientation" in legend:
        return legend
    return {**legend, **LEGEND, "yref": "container"}


def _has_bar(trace: Any) -> bool:
    return isinstance(trace, Mapping) and (trace.get("type") in BARS or "colorbar" in trace)


def _slim(owner: Any) -> Json:
    """Return a trace or color axis with a narrow bar."""
    return {**owner, "colorbar": {"thickness": BAR, "xpad": 6, **_mapping(owner.get("colorbar"))}}


def _mapping(value: Any) -> Json:
    return dict(value) if isinstance(value, Mapping) else {}


def _pixels(value: Any, other: float = 0) -> float:
    return value if isinstance(value, int | float) and value >= 0 else other
