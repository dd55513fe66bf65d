"""Read JSON Schema: references, alternatives and hints.

Every function accepts any JSON value as a schema and returns: cycles of references are cut, and
budgets bound how much of a schema is read. Values that are not schemas, and references that lead
nowhere, mean "any value".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

HINTS = "x-easymlnb"

MAX_REFERENCES = 32
"""References that lead to one another and are followed."""

MAX_DEPTH = 20
"""Levels that a recursive reader descends."""

MAX_NODES = 10_000
"""Schemas that one reader looks at."""

MASKED = "**********"
"""What pydantic writes as the default of a secret."""

OWN_KEYWORDS = ("title", "description", "default")
"""Keywords that describe a parameter itself, not one of its alternatives."""

TYPE_LABELS = {
    "string": "Text",
    "integer": "Whole number",
    "number": "Number",
    "boolean": "Yes or no",
    "array": "List",
    "object": "Group",
}

Schema = Mapping[str, Any]
Predicate = Callable[[Any], bool]


class Budget:
    """The number of schemas that a reader may still look at; its recursive calls share one."""

    def __init__(self, nodes: int = MAX_NODES) -> None:
        self.left = nodes

    def spend(self) -> bool:
        """Take one schema off the budget; return whether there was one left."""
        self.left -= 1
        return self.left >= 0


def lookup(pointer: str, document: Any) -> Any:
    """Return what a local JSON Pointer such as ``#/$defs/A~1B`` points to; None for nothing."""
    if not pointer.startswith("#"):
        return None
    value = document
    for part in pointer[1:].split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isascii() and key.isdigit():
            value = value[int(key[:9])] if int(key[:9]) < len(value) else None
        else:
            return None
    return value


def resolve(schema: Any, document: Schema) -> Schema:
    """Return ``schema`` with its ``$ref`` and a lone ``allOf`` followed.

    Keywords next to a reference replace those of its target. The result has no ``$ref``.
    """
    return _follow(schema, document)[0]


def _follow(schema: Any, document: Schema) -> tuple[Schema, str]:
    """Return the resolved schema and the last reference on the way to it, empty for none."""
    resolved = schema if isinstance(schema, Mapping) else {}
    last, seen = "", set[str]()
    for _ in range(MAX_REFERENCES):
        if "$ref" in resolved:
            pointer, target = resolved["$ref"], None
            if isinstance(pointer, str) and pointer not in seen:
                target, last = lookup(pointer, document), pointer
                seen.add(pointer)
            resolved = _merge(target, resolved, "$ref")
        elif len(_list(resolved, "allOf")) == 1:
            resolved = _merge(resolved["allOf"][0], resolved, "allOf")
        else:
            return resolved, last
    return {key: value for key, value in resolved.items() if key not in ("$ref", "allOf")}, last


def _merge(target: Any, schema: Schema, followed: str) -> Schema:
    own = {key: value for key, value in schema.items() if key != followed}
    return {**target, **own} if isinstance(target, Mapping) else own


def _list(schema: Schema, key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else list(value) if isinstance(value, tuple) else []


def options(schema: Schema) -> list[Any]:
    """Return the members of ``anyOf``, ``oneOf`` or a list of types; empty for no union."""
    types = schema.get("type")
    if isinstance(types, list):
        shared = {k: v for k, v in schema.items() if k not in ("type", HINTS, *OWN_KEYWORDS)}
        return [{**shared, "type": kind} for kind in types]
    return _list(schema, "anyOf") or _list(schema, "oneOf")


def is_null(schema: Any, document: Schema) -> bool:
    """Return whether a schema admits null and nothing else."""
    return resolve(schema, document).get("type") == "null"


def is_nullable(schema: Any, document: Schema) -> bool:
    """Return whether null is a direct alternative of a schema."""
    return any(is_null(option, document) for option in options(resolve(schema, document)))


def _never(schema: Schema) -> bool:
    return False


def branches(
    schema: Any, document: Schema, *, is_leaf: Predicate = _never, budget: Budget | None = None
) -> Iterator[Schema]:
    """Yield the schemas that a value may follow: those of nested unions, or the schema itself.

    Null is one of them. A union for which ``is_leaf`` holds is yielded whole.
    """
    budget = budget or Budget()
    left, seen = [schema], set[str]()
    while left and budget.spend():
        resolved, pointer = _follow(left.pop(), document)
        inner = options(resolved)
        if not inner or is_leaf(resolved):
            yield resolved
        elif pointer not in seen:
            seen |= {pointer} - {""}
            left += [option for option in reversed(inner) if option is not False]


def alternatives(
    schema: Any, document: Schema, *, is_leaf: Predicate = _never, budget: Budget | None = None
) -> Iterator[Schema]:
    """Yield the same as ``branches`` without the null of a union."""
    is_union = bool(options(resolve(schema, document)))
    for branch in branches(schema, document, is_leaf=is_leaf, budget=budget):
        if not (is_union and branch.get("type") == "null"):
            yield branch


def walk(schema: Any, document: Schema, *, is_leaf: Predicate = _never) -> Iterator[Schema]:
    """Yield a schema and all that it contains, resolved, in the order of the document.

    What a reference leads to is descended into once; a schema for which ``is_leaf`` holds never.
    """
    budget = Budget()
    left, seen = [schema], set[str]()
    while left and budget.spend():
        resolved, pointer = _follow(left.pop(), document)
        yield resolved
        if pointer not in seen and not is_leaf(resolved):
            seen |= {pointer} - {""}
            left += reversed(_subschemas(resolved))


def _subschemas(schema: Schema) -> list[Any]:
    schemas = [item for key in ("anyOf", "oneOf", "allOf") for item in _list(schema, key)]
    schemas += [schema["items"]] if "items" in schema else []
    schemas += _list(schema, "prefixItems")
    if isinstance(schema.get("additionalProperties"), Mapping):
        schemas.append(schema["additionalProperties"])
    schemas += properties(schema).values()
    return [item for item in schemas if isinstance(item, Mapping) or item is True]


def properties(schema: Any) -> dict[str, Any]:
    """Return the properties of an object's schema."""
    value = schema.get("properties") if isinstance(schema, Mapping) else None
    return dict(value) if isinstance(value, Mapping) else {}


def required(schema: Schema) -> list[str]:
    """Return the names of the properties that an object must have."""
    return [name for name in _list(schema, "required") if isinstance(name, str)]


def own_hints(schema: Schema) -> Mapping[str, Any]:
    """Return the ``x-easymlnb`` hints that a schema itself carries."""
    value = schema.get(HINTS)
    return value if isinstance(value, Mapping) else {}


def hints(schema: Any, document: Schema) -> dict[str, Any]:
    """Return the hints of a parameter: its own, else those of the first alternative with any."""
    branches = alternatives(schema, document, is_leaf=lambda branch: bool(own_hints(branch)))
    return next((dict(own_hints(branch)) for branch in branches if own_hints(branch)), {})


def check(document: Any) -> None:
    """Raise ``ValueError`` if a keyword that is read here has a value of the wrong type."""
    left = [document]
    while left:
        schema = left.pop()
        if isinstance(schema, bool):
            continue
        if not isinstance(schema, dict):
            raise ValueError(f"{str(schema)[:80]!r} is not a schema: use an object or a boolean.")
        for keyword, (is_valid, subschemas) in _KEYWORDS.items():
            if keyword in schema:
                value = schema[keyword]
                if not is_valid(value):
                    raise ValueError(f"Invalid value of {keyword!r}: {str(value)[:80]!r}.")
                left += subschemas(value)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_types(value: Any) -> bool:
    return isinstance(value, str) or (_is_list(value) and _are_names(value))


def _none(value: Any) -> list[Any]:
    return []


_KEYWORDS: dict[str, tuple[Predicate, Callable[[Any], Iterable[Any]]]] = {
    "$ref": (lambda value: isinstance(value, str), _none),
    HINTS: (_is_dict, _none),
    "type": (_are_types, _none),
    "enum": (lambda value: isinstance(value, list), _none),
    "required": (_are_names, _none),
    **dict.fromkeys(("$defs", "properties"), (_is_dict, dict.values)),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), (_is_list, list)),
    **dict.fromkeys(("items", "additionalProperties"), (lambda value: True, lambda value: [value])),
}
"""What the value of a keyword must be, and the schemas in it."""


@dataclass(frozen=True, slots=True)
class SchemaNode:
    """A resolved schema, the document that it belongs to, and the name of its parameter."""

    schema: Schema
    document: Schema
    name: str = ""

    @classmethod
    def root(cls, document: Schema) -> "SchemaNode":
        """Return the node of a whole document."""
        return cls(resolve(document, document), document)

    def child(self, schema: Any, name: str = "") -> "SchemaNode":
        """Return the node of a schema found inside this one."""
        schema = schema if isinstance(schema, Mapping) else {}
        if name and "$ref" in schema:
            # The title behind a reference is the name of a class, not that of this parameter.
            schema = {"title": _as_label(name), **schema}
        return SchemaNode(resolve(schema, self.document), self.document, name)

    def with_keywords(self, **keywords: Any) -> "SchemaNode":
        """Return this node with some keywords added or replaced."""
        return SchemaNode({**self.schema, **keywords}, self.document, self.name)

    def without_keywords(self, *keywords: str) -> "SchemaNode":
        """Return this node without some keywords."""
        schema = {key: value for key, value in self.schema.items() if key not in keywords}
        return SchemaNode(schema, self.document, self.name)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a keyword."""
        return self.schema.get(key, default)

    def hint(self, key: str, default: Any = None) -> Any:
        """Return a key of ``x-easymlnb``."""
        return own_hints(self.schema).get(key, default)

    @property
    def properties(self) -> dict[str, Any]:
        """The schemas of an object's properties."""
        return properties(self.schema)

    @property
    def required(self) -> list[str]:
        """The names of the properties that an object must have."""
        return required(self.schema)

    @property
    def title(self) -> str:
        """The label: the author's, else the name in words, followed by the unit."""
        given = str(self.get("title") or "")
        if given == self.name.replace("_", " ").title():
            given = ""  # pydantic made it from the name, with capitals that read worse.
        text = str(self.hint("label") or given or _as_label(self.name))
        unit = self.hint("unit")
        return f"{text} ({unit})" if unit and text else text

    @property
    def help(self) -> str:
        """The text under the field."""
        return str(self.get("description") or "")

    @property
    def short_label(self) -> str:
        """The label among alternatives."""
        kind = str(self.get("type"))
        return str(self.hint("label") or self.get("title") or TYPE_LABELS.get(kind, "Value"))

    @property
    def has_default(self) -> bool:
        """Whether the default is known; that of a secret is not."""
        return "default" in self.schema and self.schema["default"] != MASKED

    @property
    def alternatives(self) -> tuple["SchemaNode", ...]:
        """The direct alternatives without null; one of them may be a union again."""
        nodes = (self.child(option) for option in options(self.schema) if option is not False)
        return tuple(node for node in nodes if node.get("type") != "null")

    @property
    def nullable(self) -> bool:
        """Whether null is one of the direct alternatives."""
        return is_nullable(self.schema, self.document)

    def branches(self) -> Iterator["SchemaNode"]:
        """Yield the nodes that a value may follow, through nested unions; null is one of them."""
        for branch in branches(self.schema, self.document):
            yield SchemaNode(branch, self.document, self.name)

    def narrowed(self, to: "SchemaNode") -> "SchemaNode":
        """Return an alternative with this node's name, title, description, default and hints."""
        own = {key: self.schema[key] for key in OWN_KEYWORDS if key in self.schema}
        merged = {**own_hints(to.schema), **own_hints(self.schema)}
        return SchemaNode({**to.schema, **own, HINTS: merged}, to.document, self.name)


def _as_label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
