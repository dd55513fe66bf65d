"""The nodes of an author's layout, which is not trusted."""

from collections.abc import Iterator, Mapping
from typing import Any

CONTENT = ("static", "widget")
"""Keys of what a node shows; below them are no further nodes."""


def layout_nodes(tree: Any) -> Iterator[Mapping[Any, Any]]:
    """Yield all nodes of a layout; without recursion, because an author decides its depth."""
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, Mapping):
            yield node
            left += [value for key, value in node.items() if key not in CONTENT]
