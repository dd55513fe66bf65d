"""Whether two versions of a service can be compared on the same inputs. Pure functions."""

from typing import Any

from easymlnb.contract.jsonschema import alternatives, hints, properties, required, resolve
from easymlnb.contract.spec import ServiceSpec


def problems(before: ServiceSpec, after: ServiceSpec) -> list[str]:
    """Return why inputs of the first version cannot go to both, or results cannot be compared."""
    found = []
    ours, theirs = properties(before.input), properties(after.input)
    for name in sorted(ours.keys() | theirs.keys()):
        found += _parameter(name, before, after)
    if before.stream != after.stream:
        found.append("Only one of the versions streams its results.")
    kinds = _kinds(before.output, before.output), _kinds(after.output, after.output)
    if _differ(*kinds):
        found.append(f"The result was {_listed(kinds[0])} and is {_listed(kinds[1])}.")
    return found


def _parameter(name: str, before: ServiceSpec, after: ServiceSpec) -> list[str]:
    ours, theirs = properties(before.input), properties(after.input)
    if name not in theirs:
        return [f"Parameter {name!r} was removed."]
    if name not in ours:
        # The inputs of the first version do not have it, and the second one does not need it.
        needed = name in required(after.input)
        return [f"Parameter {name!r} is new and required."] if needed else []
    kinds = _kinds(ours[name], before.input), _kinds(theirs[name], after.input)
    if _differ(*kinds):
        return [f"Parameter {name!r}: it was {_listed(kinds[0])} and is {_listed(kinds[1])}."]
    return []


def _kinds(schema: Any, document: dict[str, Any]) -> frozenset[str]:
    """Return the kinds of values that a schema admits; empty for any."""
    widget = hints(schema, document).get("widget")
    if widget in _FILES:
        return frozenset([_FILES[widget]])
    found = set()
    for branch in alternatives(schema, document):
        kind = resolve(branch, document).get("type")
        if not isinstance(kind, str):
            return frozenset()
        found.add("number" if kind == "integer" else kind)
    return frozenset(found)


def _differ(first: frozenset[str], second: frozenset[str]) -> bool:
    return bool(first and second and first.isdisjoint(second))


def _listed(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


_FILES = {
    "image": "image", "webcam": "image", "audio": "audio", "file": "file",
    "table": "table", "timeseries": "table", "array": "array",
}  # fmt: skip
"""Widgets whose values are files: the kind of value."""
