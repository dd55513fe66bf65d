"""One place of a JSON Schema, as a form reads it: references followed, kind of widget chosen."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HINTS = "x-easymlnb"

SLIDER_STEPS = 1000
"""Bounds further apart than this many steps are typed, not dragged."""

MASKED = "**********"
"""What pydantic writes as the default of a secret."""

LARGEST = 2**53
"""Whole numbers up to here are the same in Python and in a browser."""

OWN_WORDS = ("title", "description", "default")

TYPE_WORDS = {
    "string": "Text",
    "integer": "Whole number",
    "number": "Number",
    "boolean": "Yes or no",
    "array": "List",
    "object": "Group",
}

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """A schema without references at its top, and the ``$defs`` that those below it point to."""

    schema: Schema
    defs: Mapping[str, Any]
    name: str = ""

    @classmethod
    def root(cls, schema: Schema) -> "Node":
        """Begin at a whole document."""
        defs = schema.get("$defs", {})
        return cls(_open(schema, defs), defs)

    def child(self, schema: Any, name: str = "") -> "Node":
        """Return a schema found inside this one; ``true`` and nonsense mean "anything"."""
        found = schema if isinstance(schema, Mapping) else {}
        if name and "$ref" in found:
            # The title behind a reference is the name of a class, not that of this parameter.
            found = {"title": _words(name), **found}
        return Node(_open(found, self.defs), self.defs, name)

    def plus(self, **keywords: Any) -> "Node":
        """Return the same place with some keywords added or replaced."""
        return Node({**self.schema, **keywords}, self.defs, self.name)

    def without(self, *keywords: str) -> "Node":
        """Return the same place with some keywords taken away."""
        kept = {key: value for key, value in self.schema.items() if key not in keywords}
        return Node(kept, self.defs, self.name)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a keyword."""
        return self.schema.get(key, default)

    def hint(self, key: str, default: Any = None) -> Any:
        """Return a key of ``x-easymlnb``."""
        return _hints(self.schema).get(key, default)

    @property
    def title(self) -> str:
        """The label: the author's, else the name in words, with the unit behind it."""
        given = str(self.get("title") or "")
        if given == self.name.replace("_", " ").title():
            given = ""  # Made by a machine from the name: ours reads calmer.
        text = str(self.hint("label") or given or _words(self.name))
        unit = self.hint("unit")
        return f"{text} ({unit})" if unit and text else text

    @property
    def help(self) -> str:
        """The text under the field."""
        return str(self.get("description") or "")

    @property
    def word(self) -> str:
        """What to call it among alternatives."""
        kind = str(self.get("type"))
        return str(self.hint("label") or self.get("title") or TYPE_WORDS.get(kind, "Value"))

    @property
    def has_default(self) -> bool:
        """Whether leaving it out has a known meaning; a secret's default is not known."""
        return "default" in self.schema and self.schema["default"] != MASKED

    @property
    def alternatives(self) -> tuple["Node", ...]:
        """What ``anyOf``, ``oneOf`` or a list of types admits beside null."""
        return tuple(self.child(item) for item in _options(self.schema) if not _null(item))

    @property
    def nullable(self) -> bool:
        """Whether null is one of the alternatives."""
        return any(_null(item) for item in _options(self.schema))

    def narrowed(self, to: "Node") -> "Node":
        """Return an alternative under this place's own words: name, title, help, default, hints."""
        own = {key: self.schema[key] for key in OWN_WORDS if key in self.schema}
        hints = {**_hints(to.schema), **_hints(self.schema)}
        return Node({**to.schema, **own, HINTS: hints}, to.defs, self.name)

    @property
    def kind(self) -> str:
        """What its shape asks for, as a name in ``WIDGETS``; an author's hint is not looked at."""
        return next(kind for test, kind in RULES if test(self))

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Smallest and largest number that may be chosen; exclusive bounds move in by a step."""
        low, high = self._edges
        inner_low = "exclusiveMinimum" in self.schema and low is not None
        inner_high = "exclusiveMaximum" in self.schema and high is not None
        step = self.step
        return (
            low + step if inner_low and low is not None else low,
            high - step if inner_high and high is not None else high,
        )

    @property
    def _edges(self) -> tuple[float | None, float | None]:
        return (
            self.get("minimum", self.get("exclusiveMinimum")),
            self.get("maximum", self.get("exclusiveMaximum")),
        )

    @property
    def step(self) -> float:
        """One notch: the author's, 1 for integers, else about a hundredth of the range."""
        given = self.hint("step") or self.get("multipleOf")
        if given:
            return float(given)
        if self.get("type") == "integer":
            return 1.0
        low, high = self._edges
        if low is None or high is None or not 0 < high - low < math.inf:
            return 0.1
        return float(10.0 ** math.floor(math.log10((high - low) / 50)))

    @property
    def draggable(self) -> bool:
        """Whether both bounds are known and near enough for a slider."""
        low, high = self._edges
        if low is None or high is None or not 0 < high - low < math.inf:
            return False
        if max(abs(low), abs(high)) > LARGEST:
            return False
        return (high - low) / self.step <= SLIDER_STEPS


def _hints(schema: Schema) -> Mapping[str, Any]:
    hints = schema.get(HINTS)
    return hints if isinstance(hints, Mapping) else {}


def _words(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _open(schema: Schema, defs: Mapping[str, Any]) -> Schema:
    """Follow ``$ref`` and a lone ``allOf``; what stands beside them wins over what they name."""
    # A schema may refer to itself in a circle; nobody nests this deep on purpose.
    for _ in range(32):
        beside = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        if "$ref" in schema:
            schema = {**defs.get(str(schema["$ref"]).rpartition("/")[2], {}), **beside}
        elif len(schema.get("allOf", ())) == 1:
            schema = {**schema["allOf"][0], **beside}
        else:
            break
    return schema


def _options(schema: Schema) -> list[Any]:
    types = schema.get("type")
    if isinstance(types, list):
        rest = {k: v for k, v in schema.items() if k not in ("type", HINTS, *OWN_WORDS)}
        return [{**rest, "type": one} for one in types]
    return list(schema.get("anyOf") or schema.get("oneOf") or ())


def _null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def _is(kind: str, form: str = "") -> Callable[[Node], bool]:
    def test(node: Node) -> bool:
        return node.get("type") == kind and (not form or node.get("format") == form)

    return test


def _choice(node: Node) -> bool:
    if "enum" in node.schema:
        return True
    return bool(node.alternatives) and all("const" in one.schema for one in node.alternatives)


def _loose_number(node: Node) -> bool:
    """A number that may also come as text, as decimals do."""
    kinds = {one.get("type") for one in node.alternatives}
    return kinds == {"number", "string"}


def _choices(node: Node) -> bool:
    items = node.child(node.get("items"))
    return node.get("type") == "array" and bool(node.get("uniqueItems")) and _choice(items)


def _tuple(node: Node) -> bool:
    return node.get("type") == "array" and "prefixItems" in node.schema


def _object(node: Node) -> bool:
    return node.get("type") == "object" and bool(node.get("properties"))


def _dict(node: Node) -> bool:
    return node.get("type") == "object" and isinstance(node.get("additionalProperties"), Mapping)


def _slider(node: Node) -> bool:
    return node.get("type") in ("integer", "number") and node.draggable


RULES: tuple[tuple[Callable[[Node], bool], str], ...] = (
    (lambda node: node.nullable, "optional"),
    (lambda node: "const" in node.schema, "const"),
    (_choice, "choice"),
    (_loose_number, "number"),
    (lambda node: bool(node.alternatives), "union"),
    (_choices, "choices"),
    (_tuple, "tuple"),
    (_is("array"), "list"),
    (_object, "object"),
    (_dict, "dict"),
    (_is("string", "date"), "date"),
    (_is("string", "date-time"), "datetime"),
    (_is("string", "time"), "time"),
    (_is("string", "color"), "colour"),
    (_is("string", "binary"), "file"),
    (_is("string", "byte"), "file"),
    (_is("string", "password"), "secret"),
    (_is("string"), "text"),
    (_slider, "slider"),
    (_is("integer"), "number"),
    (_is("number"), "number"),
    (_is("boolean"), "checkbox"),
    (_is("null"), "const"),
    (lambda node: True, "json"),
)
"""Read from the top: the first test that holds names the widget."""
