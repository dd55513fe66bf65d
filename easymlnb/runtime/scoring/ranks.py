"""How deeply lists are nested: in a value, and in what a parameter takes."""

from typing import Any

from easymlnb.contract.file_parameters import takes_bytes
from easymlnb.contract.jsonschema import MAX_DEPTH, Schema, alternatives
from easymlnb.services.schema import Schema as ServiceSchema
from easymlnb.types.array import Array


def rank_of(value: Any) -> int:
    """Return how many lists are around the first number of a value."""
    rank = 0
    while isinstance(value, list):
        rank += 1
        value = value[0] if value else None
    return rank


def rank_wanted(schema: ServiceSchema, name: str) -> int | None:
    """Return the rank of the values of a parameter; ``None`` if it takes several."""
    marker = schema.markers.get(name)
    if isinstance(marker, Array):
        return None if marker.shape is None else len(marker.shape)
    if marker is not None:
        return 0
    return _rank(schema.input["properties"][name], schema.input, MAX_DEPTH)


def _rank(node: Any, document: Schema, depth: int) -> int | None:
    found: set[int | None] = set()
    for branch in alternatives(node, document, is_leaf=takes_bytes):
        kind = branch.get("type")
        if kind == "array":
            inner = _rank(branch["items"], document, depth - 1) if "items" in branch else None
            found.add(None if inner is None or depth <= 0 else inner + 1)
        elif kind is None and not ({"enum", "const"} & branch.keys()):
            found.add(None)
        else:
            found.add(0)
    return found.pop() if len(found) == 1 else None
