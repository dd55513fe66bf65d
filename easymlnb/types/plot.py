"""Figures of plotly and matplotlib, as results."""

import io
import json
import sys
from typing import Any, ClassVar

from easymlnb.types import inline_bytes
from easymlnb.types.base import KEY, Type, is_a
from easymlnb.types.file import part

PLOTLY = "application/vnd.plotly.v1+json"
DPI = 150
"""Dots per inch of matplotlib's pictures: sharp on high-resolution screens."""


class Plot(Type):
    """A figure of plotly or matplotlib, as a result.

    In JSON, a plotly figure is its own object and a matplotlib figure is a PNG data URI. With
    ``Accept``, plotly gives ``application/vnd.plotly.v1+json``, matplotlib PNG or SVG.
    """

    natives: ClassVar[tuple[str, ...]] = (
        "plotly.basedatatypes.BaseFigure",
        "matplotlib.figure.Figure",
        "matplotlib.axes._base._AxesBase",
    )
    writes = ("image/png", "image/svg+xml", PLOTLY)
    result_only = True

    def json_schema(self) -> dict[str, Any]:
        return {"type": ["object", "string"], KEY: {"widget": "plot"}}

    def decode(self, value: Any, source: Any) -> Any:
        if is_a(type(value), *self.natives):
            return value
        raise ValueError("The value must be a plotly or matplotlib figure.")

    def encode(self, value: Any) -> Any:
        if _is_plotly(value):
            return json.loads(value.to_json())
        return inline_bytes.data_uri(_picture(value, "png"), "image/png")

    def offers(self, value: Any) -> tuple[str, ...]:
        return (PLOTLY,) if _is_plotly(value) else ("image/png", "image/svg+xml")

    def write(self, value: Any, media_type: str) -> bytes:
        if _is_plotly(value):
            text: str = value.to_json()
            return text.encode()
        return _picture(value, "png" if media_type == "image/png" else "svg")

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        if _is_plotly(value):
            return [{"kind": "plotly", "title": title, "data": json.loads(value.to_json())}]
        png = _picture(value, "png")
        return [part("image", title, png, "image/png", f"{title or 'plot'}.png")]


def _is_plotly(value: Any) -> bool:
    return is_a(type(value), "plotly.basedatatypes.BaseFigure")


def _picture(value: Any, kind: str) -> bytes:
    if is_a(type(value), "matplotlib.axes._base._AxesBase"):
        value = value.figure
    if not is_a(type(value), "matplotlib.figure.Figure"):
        raise ValueError(f"{type(value).__name__} is not a plotly or matplotlib figure")
    target = io.BytesIO()
    try:
        value.savefig(target, format=kind, dpi=DPI, bbox_inches="tight")
    except Exception as error:
        # matplotlib draws only now, so errors of the author's code arise here.
        raise ValueError(f"the figure cannot be drawn ({type(error).__name__})") from error
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        # pyplot keeps all figures, so a service would leak one per call.
        pyplot.close(value)
    return target.getvalue()
