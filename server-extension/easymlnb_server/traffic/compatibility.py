"""Whether a version can answer the callers of another one. Pure functions.

What callers may send must not become narrower, and what they receive must keep its shape.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from easymlnb.contract.jsonschema import (
    MAX_DEPTH,
    Budget,
    Schema,
    alternatives,
    own_hints,
    properties,
    required,
    resolve,
)
from easymlnb.contract.spec import ServiceSpec

MOST = 20
"""Differences that are listed."""

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def differences(old: ServiceSpec, new: ServiceSpec) -> list[str]:
    """Return in words how a new version would break callers of an old one; empty if it does not."""
    found = [*_media(old, new), *_inputs(old, new)]
    if old.stream != new.stream:
        found.append(f"the result is {'now' if new.stream else 'no longer'} a stream")
    else:
        found += _values(_Side(old.output, old.output), _Side(new.output, new.output), "the result")
    return found[:MOST]


def _media(old: ServiceSpec, new: ServiceSpec) -> Iterator[str]:
    if gone := sorted({*old.accepts} - {*new.accepts}):
        yield f"it no longer accepts {', '.join(gone)}"
    if gone := sorted({*old.produces} - {*new.produces}):
        yield f"it no longer returns {', '.join(gone)}"


class _Side:
    """A schema of one of the two versions, with the document that its references lead into."""

    def __init__(self, schema: Any, document: Schema) -> None:
        self.document = document
        self.schema = resolve(schema, document)

    def at(self, schema: Any) -> "_Side":
        return _Side(schema, self.document)

    @property
    def branches(self) -> list["_Side"]:
        found = alternatives(self.schema, self.document, budget=Budget(200))
        return [self.at(branch) for branch in found]

    @property
    def nullable(self) -> bool:
        whole = self.schema.get("anyOf") or self.schema.get("oneOf") or [self.schema]
        kinds = [resolve(one, self.document).get("type") for one in whole]
        return any(kind == "null" or (isinstance(kind, list) and "null" in kind) for kind in kinds)

    @property
    def any(self) -> bool:
        """Whether every value is admitted, as far as one can read."""
        keys = {"type", "enum", "const", "anyOf", "oneOf", "properties"}
        return not keys & {*self.schema}

    @property
    def kind(self) -> str:
        widget = own_hints(self.schema).get("widget")
        return str(self.schema.get("type") or widget or "value")


def _inputs(old: ServiceSpec, new: ServiceSpec) -> Iterator[str]:
    before, after = properties(old.input), properties(new.input)
    needed = {*required(new.input)}
    had_to = {*required(old.input)}
    for name in before:
        if name not in after:
            yield f"parameter {name!r} was removed"
        elif name in needed and name not in had_to:
            yield f"parameter {name!r} is now required"
        if name in after:
            mine = _Side(before[name], old.input), _Side(after[name], new.input)
            yield from _admits(mine[0], mine[1], f"parameter {name!r}")
    for name in sorted(needed - before.keys()):
        yield f"parameter {name!r} is new and required"


def _admits(old: _Side, new: _Side, what: str, depth: int = 0) -> Iterator[str]:
    """Yield why values that ``old`` admits are not admitted by ``new``."""
    if new.any or depth > MAX_DEPTH:
        return
    if old.any:
        yield f"{what} no longer accepts any value, only {new.kind}"
        return
    if old.nullable and not new.nullable:
        yield f"{what} no longer accepts null"
    offered = new.branches
    for branch in old.branches:
        problems = [[*_narrower(branch, other, what, depth)] for other in offered]
        if all(problems):
            yield from min(problems, key=len, default=[f"{what} accepts no value"])


def _narrower(old: _Side, new: _Side, what: str, depth: int) -> Iterator[str]:
    """Yield how one alternative admits less than another one."""
    if new.any:
        return
    chosen, choices = _choices(old.schema), _choices(new.schema)
    if choices is not None:
        gone = "others" if chosen is None else _listed(chosen, choices)
        if gone:
            yield f"{what} no longer accepts {gone}"
        return
    before, after = old.schema.get("type"), new.schema.get("type")
    if after is not None and before != after and (before, after) != ("integer", "number"):
        yield f"{what} was {old.kind} and is now {new.kind}"
        return
    yield from _limits(old.schema, new.schema, what)
    if after == "array" and "items" in new.schema:
        items = old.at(old.schema.get("items", {})), new.at(new.schema["items"])
        yield from _admits(*items, f"an item of {what}", depth + 1)
    if after == "object":
        yield from _members(old, new, what, depth)


def _members(old: _Side, new: _Side, what: str, depth: int) -> Iterator[str]:
    had, has = properties(old.schema), properties(new.schema)
    rest = old.schema.get("additionalProperties"), new.schema.get("additionalProperties")
    if isinstance(rest[1], Mapping) and rest[0] is not False:
        before = rest[0] if isinstance(rest[0], Mapping) else {}
        yield from _admits(old.at(before), new.at(rest[1]), f"a value in {what}", depth + 1)
    for name in sorted({*required(new.schema)} - {*required(old.schema)}):
        yield f"{name!r} of {what} is now required"
    for name in had:
        if name in has:
            yield from _admits(
                old.at(had[name]), new.at(has[name]), f"{name!r} of {what}", depth + 1
            )
        elif new.schema.get("additionalProperties") is False:
            yield f"{what} no longer accepts {name!r}"


def _limits(old: Schema, new: Schema, what: str) -> Iterator[str]:
    for keyword in (*_LOWER, *_UPPER):
        limit, before = new.get(keyword), old.get(keyword)
        if not isinstance(limit, int | float):
            continue
        if not isinstance(before, int | float):
            yield f"{what} has the new limit {keyword} {limit:g}"
        elif (limit > before) if keyword in _LOWER else (limit < before):
            yield f"{what} has {keyword} {limit:g}, before {before:g}"
    for keyword in ("pattern", "multipleOf"):
        if new.get(keyword) not in (None, old.get(keyword)):
            yield f"{what} has the new limit {keyword} {new[keyword]}"


def _values(old: _Side, new: _Side, what: str, depth: int = 0) -> Iterator[str]:
    """Yield why callers that expect values of ``old`` cannot use those of ``new``."""
    if old.any or depth > MAX_DEPTH:
        return
    if new.any:
        yield f"{what} was {old.kind} and may now be any value"
        return
    if new.nullable and not old.nullable:
        yield f"{what} may now be null"
    known = old.branches
    for branch in new.branches:
        problems = [[*_changed(other, branch, what, depth)] for other in known]
        if all(problems):
            yield from min(problems, key=len, default=[f"{what} changed"])


def _changed(old: _Side, new: _Side, what: str, depth: int) -> Iterator[str]:
    before, after = old.schema.get("type"), new.schema.get("type")
    if old.any:
        return
    if before is not None and before != after and (before, after) != ("number", "integer"):
        yield f"{what} was {old.kind} and is now {new.kind}"
        return
    widgets = [own_hints(side.schema).get("widget") for side in (old, new)]
    if widgets[0] != widgets[1]:
        yield f"{what} was {widgets[0] or old.kind} and is now {widgets[1] or new.kind}"
        return
    choices = _choices(old.schema)
    if choices is not None and (more := _listed(_choices(new.schema) or ["others"], choices)):
        yield f"{what} may now be {more}"
    if before == "array" and "items" in old.schema:
        items = old.at(old.schema["items"]), new.at(new.schema.get("items", {}))
        yield from _values(*items, f"an item of {what}", depth + 1)
    if before == "object":
        yield from _fields(old, new, what, depth)


def _fields(old: _Side, new: _Side, what: str, depth: int) -> Iterator[str]:
    had, has = properties(old.schema), properties(new.schema)
    rest = old.schema.get("additionalProperties"), new.schema.get("additionalProperties")
    if isinstance(rest[0], Mapping):
        after = rest[1] if rest[1] is not None else {}
        yield from _values(old.at(rest[0]), new.at(after), f"a value in {what}", depth + 1)
    for name in had:
        if name not in has:
            yield f"{name!r} of {what} was removed"
            continue
        if name in required(old.schema) and name not in required(new.schema):
            yield f"{name!r} of {what} may now be missing"
        yield from _values(old.at(had[name]), new.at(has[name]), f"{name!r} of {what}", depth + 1)


def _choices(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return list(values) if isinstance(values, list) else None


def _listed(values: list[Any], known: list[Any]) -> str:
    """Return the values that are not known, as text."""
    return ", ".join(repr(value) for value in values if value not in known)
