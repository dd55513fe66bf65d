"""The range of a numeric parameter: its bounds, its step, and whether a slider can show it."""

import math

from easymlnb.contract.jsonschema import SchemaNode

SLIDER_STEPS = 1000
"""Maximum number of steps of a slider; wider ranges get a text field."""

LARGEST = 2**53
"""Largest integer that is the same in Python and in a browser."""


def bounds(node: SchemaNode) -> tuple[float | None, float | None]:
    """Return the smallest and the largest number; exclusive bounds move in by a step."""
    low, high = _limits(node)
    if low is not None and "exclusiveMinimum" in node.schema:
        low += step(node)
    if high is not None and "exclusiveMaximum" in node.schema:
        high -= step(node)
    return low, high


def _limits(node: SchemaNode) -> tuple[float | None, float | None]:
    return (
        node.get("minimum", node.get("exclusiveMinimum")),
        node.get("maximum", node.get("exclusiveMaximum")),
    )


def step(node: SchemaNode) -> float:
    """Return the step: the author's, 1 for integers, else about a hundredth of the range."""
    given = node.hint("step") or node.get("multipleOf")
    if given:
        return float(given)
    if node.get("type") == "integer":
        return 1.0
    low, high = _limits(node)
    if low is None or high is None or not 0 < high - low < math.inf:
        return 0.1
    return float(10.0 ** math.floor(math.log10((high - low) / 50)))


def is_draggable(node: SchemaNode) -> bool:
    """Whether both bounds are known and close enough for a slider."""
    low, high = _limits(node)
    if low is None or high is None or not 0 < high - low < math.inf:
        return False
    if max(abs(low), abs(high)) > LARGEST:
        return False
    return (high - low) / step(node) <= SLIDER_STEPS
