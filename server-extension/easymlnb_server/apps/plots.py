"""Which pages need what draws plots: it is the heaviest part of a page, so not all load it."""

from collections.abc import Mapping
from typing import Any

from easymlnb.contract.spec import ServiceSpec

DEEPEST = 12

SAID = ("type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const")
"""Keywords of which one says what a value is."""


def may_plot(spec: ServiceSpec) -> bool:
    """Say whether the page has a plot, or a result may be one.

    A result may if its hints say so, or do not say what it is.
    """
    return spec.view or _drawn(spec.app) or _open(spec.output, spec.output.get("$defs") or {}, 0)


def _drawn(tree: Any) -> bool:
    """Say whether a plot stands in an author's layout."""
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, Mapping):
            shown = node.get("static")
            if isinstance(shown, Mapping) and shown.get("kind") == "plotly":
                return True
            left += [value for key, value in node.items() if key != "static"]
    return False


def _open(node: Any, defs: Mapping[str, Any], depth: int) -> bool:
    if not isinstance(node, Mapping):
        return node is not False
    if "plot" in str(node.get("x-easymlnb", "")):
        return True
    if depth > DEEPEST:
        return False
    if not any(word in node for word in SAID):
        return True
    inner = [
        one for word in ("anyOf", "oneOf", "allOf", "prefixItems") for one in node.get(word, ())
    ]
    inner += list((node.get("properties") or {}).values())
    if node.get("type") == "array" and "prefixItems" not in node:
        inner.append(node.get("items", True))
    if node.get("type") == "object" and "properties" not in node:
        inner.append(node.get("additionalProperties", True))
    if "$ref" in node:
        inner.append(defs.get(str(node["$ref"]).rpartition("/")[2], True))
    return any(_open(one, defs, depth + 1) for one in inner)
