"""Find the pages that need the plotting library, their largest part."""

from collections.abc import Mapping
from typing import Any

from easymlnb.contract.jsonschema import HINTS, Schema, walk
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.apps.layout_nodes import layout_nodes

TYPING = ("type", "anyOf", "oneOf", "allOf", "enum", "const")
"""Keywords that restrict what a value is."""

PLOTTED = ("plot", "timeseries")
"""Hints of types whose values are shown as plots."""

NOT_PLOTTED = ("array", "audio", "file", "html", "image", "markdown", "table", "webcam")
"""Hints of types whose values are shown as something else."""


def may_plot(spec: ServiceSpec) -> bool:
    """Return whether the page has a plot, or the type of a result allows one."""
    results = walk(spec.output, spec.output, is_leaf=lambda schema: _widget(schema) in NOT_PLOTTED)
    return spec.view or _has_plot(spec.app) or any(map(_may_be_plot, results))


def _has_plot(tree: Any) -> bool:
    """Return whether an author's layout contains a plot."""
    shown = (node.get("static") for node in layout_nodes(tree))
    return any(isinstance(one, Mapping) and one.get("kind") == "plotly" for one in shown)


def _may_be_plot(schema: Schema) -> bool:
    """Return whether a schema describes a plot or allows any value."""
    widget = _widget(schema)
    if widget in PLOTTED or widget in NOT_PLOTTED:
        return widget in PLOTTED
    if not any(word in schema for word in TYPING):
        return True
    if schema.get("type") == "array":
        return "items" not in schema and "prefixItems" not in schema
    if schema.get("type") == "object" and "properties" not in schema:
        return schema.get("additionalProperties", True) is True
    return False


def _widget(schema: Schema) -> str:
    """Return the kind of value that a schema hints at."""
    hints = schema.get(HINTS)
    return str(hints.get("widget", "")) if isinstance(hints, Mapping) else ""
