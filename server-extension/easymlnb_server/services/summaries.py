"""Summaries of a service's schema, and sample values for its page."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any

from easymlnb.contract.jsonschema import (
    MAX_DEPTH,
    Budget,
    Schema,
    alternatives,
    hints,
    own_hints,
    properties,
    required,
    resolve,
)
from easymlnb.contract.snippets import FileName
from easymlnb.contract.spec import ServiceSpec

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

FILES = {
    "audio": "audio.wav",
    "file": "file.bin",
    "image": "image.png",
    "table": "table.csv",
    "timeseries": "series.csv",
    "webcam": "photo.jpg",
}
"""Widgets whose value is a file, with a sample file name for each."""
_TEXT = {"text", "code_inline", "softbreak", "hardbreak"}
_LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "matching {}",
}
_SAMPLES: dict[str, Any] = {
    "array": [],
    "boolean": True,
    "integer": 1,
    "number": 0.5,
    "object": {},
    "string": "text",
}

_OWN_KINDS = ("array", "plot", "html", "markdown", "color")
_WIDGET_WORDS = {"timeseries": "time series", "webcam": "image", "color": "color"}
_FORMAT_WORDS = {"date": "date", "date-time": "date and time", "time": "time"}
_TYPE_WORDS = {"string": "text"}
ANY = "any value"

MAX_NODES = 200
"""Maximum number of schema nodes to visit, since a type may be recursive."""

MAX_LISTS = 2
"""Maximum depth of nested lists in a description."""


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One row of the parameter table."""

    name: str
    kind: str
    required: bool
    default: str = ""
    limits: str = ""
    description: str = ""


def fields(spec: ServiceSpec) -> list[ParameterRow]:
    """Return the rows of the parameter table."""
    return [_field(spec, name, schema) for name, schema in properties(spec.input).items()]


def _field(spec: ServiceSpec, name: str, schema: Any) -> ParameterRow:
    found = resolve(schema, spec.input)
    default = json.dumps(found["default"], ensure_ascii=False) if "default" in found else ""
    return ParameterRow(
        name,
        kind(schema, spec.input),
        name in required(spec.input),
        _short(default),
        _limits(schema, spec.input),
        str(found.get("description", "")),
    )


def shape(spec: ServiceSpec) -> str:
    """Return inputs and output in one line, such as ``image, number → table``."""
    kinds = [kind(field, spec.input) for field in properties(spec.input).values()]
    first = ", ".join(kinds[:3]) + (f" and {len(kinds) - 3} more" if len(kinds) > 3 else "")
    result = kind(spec.output, spec.output)
    return f"{first or 'nothing'} → {f'stream of {result}' if spec.stream else result}"


def inputs(spec: ServiceSpec) -> list[str]:
    """Return the distinct kinds of a service's inputs, files first."""
    kinds = (kind(field, spec.input) for field in properties(spec.input).values())
    distinct = dict.fromkeys(part for kind in kinds for part in kind.split(" or ") if part)
    return sorted(distinct, key=lambda part: part.replace(" ", "") not in FILES)


def kind(schema: Any, root: Schema, depth: int = 0, budget: Budget | None = None) -> str:
    """Return the kind of a value in one or two words; ``depth`` counts the enclosing lists."""
    budget = budget or Budget(MAX_NODES)
    found = alternatives(schema, root, is_leaf=_is_own, budget=budget)
    texts = [_kind_of(option, root, depth, budget) for option in found]
    return " or ".join(dict.fromkeys(texts)) or ANY


def _kind_of(option: Schema, root: Schema, depth: int, budget: Budget) -> str:
    widget = str(own_hints(option).get("widget"))
    if widget in FILES or widget in _OWN_KINDS:
        return _WIDGET_WORDS.get(widget, widget)
    if "enum" in option or "const" in option:
        return "choice"
    if option.get("type") == "array":
        item = option.get("items")
        known = isinstance(item, Mapping) and depth < MAX_LISTS
        inner = kind(item, root, depth + 1, budget) if known else ""
        return "choices" if inner == "choice" else f"list of {inner}" if inner else "list"
    if (form := str(option.get("format"))) in _FORMAT_WORDS:
        return _FORMAT_WORDS[form]
    name = str(option.get("type", ANY))
    return _TYPE_WORDS.get(name, name)


def summary(markdown: str) -> str:
    """Return the first paragraph of a Markdown text as plain text."""
    for token in _markdown().parse(markdown):
        parts = [child.content or " " for child in token.children or () if child.type in _TEXT]
        if parts:
            return " ".join("".join(parts).split())
    return ""


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False})


def example(spec: ServiceSpec) -> dict[str, Any]:
    """Return the first example, else samples of the required parameters; files as ``FileName``."""
    if spec.examples:
        return dict(spec.examples[0])
    known, budget, files = properties(spec.input), Budget(MAX_NODES), dict(_files(spec))
    return {
        name: files.get(name) or _sample(known.get(name), spec.input, 0, budget)
        for name in required(spec.input)
    }


def _is_own(schema: Schema) -> bool:
    """Return whether a schema is that of one of our types, which have names of their own."""
    return "widget" in own_hints(schema)


def _limits(schema: Any, root: Schema) -> str:
    found: Schema = next(alternatives(schema, root, is_leaf=_is_own), {})
    both = {"minimum", "maximum"} if {"minimum", "maximum"} <= found.keys() else set()
    texts = [f"{found['minimum']} to {found['maximum']}"] if both else []
    single = [key for key in _LIMITS if key in found and key not in both]
    texts += [_LIMITS[key].format(found[key]) for key in single]
    choices = found.get("enum") or resolve(found.get("items"), root).get("enum")
    if choices:
        texts.append("one of " + ", ".join(json.dumps(c, ensure_ascii=False) for c in choices))
    unit = hints(schema, root).get("unit")
    return ", ".join([*texts, *([f"in {unit}"] if unit else [])])


def _files(spec: ServiceSpec) -> Iterator[tuple[str, FileName]]:
    for name, field in properties(spec.input).items():
        for option in alternatives(field, spec.input, is_leaf=_is_own):
            widget = own_hints(option).get("widget")
            if widget in FILES:
                yield name, FileName(FILES[widget], guess_type(FILES[widget])[0] or "")


def _sample(schema: Any, root: Schema, depth: int, budget: Budget) -> Any:
    found: Schema = next(alternatives(schema, root, is_leaf=_is_own, budget=budget), {})
    for key in ("default", "const", "minimum"):
        if key in found:
            return found[key]
    if found.get("enum"):
        return found["enum"][0]
    if found.get("type") == "object" and depth < MAX_DEPTH:
        inner = properties(found)
        return {name: _sample(inner.get(name), root, depth + 1, budget) for name in required(found)}
    return _SAMPLES.get(str(found.get("type")))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
