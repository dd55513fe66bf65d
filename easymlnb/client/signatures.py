"""A service's signature and docstring, made from its schema."""

import inspect
from collections.abc import Mapping
from typing import Any

from easymlnb.contract import jsonschema, names
from easymlnb.contract.jsonschema import MAX_DEPTH, Budget, Schema
from easymlnb.contract.spec import ServiceSpec

_SIMPLE: dict[str, type] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "number": float,
    "object": dict,
    "string": str,
}
_FILES = {
    "array": "array",
    "audio": "audio file",
    "file": "file",
    "image": "image",
    "table": "table",
    "timeseries": "time series",
    "webcam": "image",
}


BY_NAME = inspect.Parameter.KEYWORD_ONLY


class _Annotation:
    """An annotation that is displayed as its text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Annotation) and repr(other) == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def parameters(spec: ServiceSpec) -> list[str]:
    """Return the names of a service's parameters, in order."""
    return list(jsonschema.properties(spec.input))


def signature(spec: ServiceSpec) -> inspect.Signature:
    """Return the signature of the service's function for a caller."""
    required = set(spec.input.get("required", ()))
    found: list[inspect.Parameter] = []
    optional_seen = False
    for name, field in jsonschema.properties(spec.input).items():
        optional_seen |= name not in required
        # Required parameters come first in Python; later ones become keyword-only.
        late = found and ((optional_seen and name in required) or found[-1].kind is BY_NAME)
        default: Any = inspect.Parameter.empty
        if name not in required:
            default = field.get("default") if isinstance(field, Mapping) else None
        kind = BY_NAME if late else inspect.Parameter.POSITIONAL_OR_KEYWORD
        annotation = _Annotation(type_text(field, spec.input))
        found.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
    result = type_text(spec.output, spec.output)
    returns = _Annotation(f"Iterator[{result}]" if spec.stream else result)
    return inspect.Signature(found, return_annotation=returns)


def docstring(spec: ServiceSpec) -> str:
    """Return the text of ``help()``: the description, each parameter, an example."""
    lines = [spec.description.strip() or f"{spec.title}."]
    if fields := jsonschema.properties(spec.input):
        lines += ["", "Parameters:"]
        lines += [f"    {_parameter(name, field, spec.input)}" for name, field in fields.items()]
    result = spec.output.get("description") or type_text(spec.output, spec.output)
    lines += ["", "Yields:" if spec.stream else "Returns:", f"    {result}"]
    if spec.examples:
        values = ", ".join(f"{key}={_short(value)}" for key, value in spec.examples[0].items())
        lines += ["", "Example:", f"    {names.split(spec.name)[1]}({values})"]
    return "\n".join(lines)


def _parameter(name: str, field: Any, root: Schema) -> str:
    field = jsonschema.resolve(field, root)
    limits = _limits(field, root)
    text = f"{name}: {type_text(field, root)}{f' ({limits})' if limits else ''}"
    return f"{text} - {field['description']}" if field.get("description") else text


def _limits(field: Schema, root: Schema) -> str:
    first: Schema = next(jsonschema.alternatives(field, root), {})
    words = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
        "pattern": "like",
    }
    found = [f"{word} {first[key]}" for key, word in words.items() if key in first]
    unit = jsonschema.hints(field, root).get("unit")
    return ", ".join([*found, *([f"in {unit}"] if unit else [])])


def type_text(schema: Any, root: Schema, depth: int = 0, budget: Budget | None = None) -> str:
    """Return a schema's type as a Python annotation."""
    widget = str(jsonschema.hints(schema, root).get("widget"))
    budget = budget or Budget()
    texts = [_FILES[widget]] if widget in _FILES else []
    if not texts:
        found = jsonschema.alternatives(schema, root, budget=budget)
        texts = [_one(option, root, depth, budget) for option in found]
    if jsonschema.is_nullable(schema, root):
        texts.append("None")
    return " | ".join(dict.fromkeys(texts)) or "Any"


def _one(schema: Schema, root: Schema, depth: int, budget: Budget) -> str:
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(repr(value) for value in schema['enum'])}]"
    kinds = schema.get("type")
    if kinds == "array" and isinstance(schema.get("items"), Mapping) and depth < MAX_DEPTH:
        return f"list[{type_text(schema['items'], root, depth + 1, budget)}]"
    if kinds == "object" and schema.get("title") and jsonschema.properties(schema):
        return str(schema["title"])
    simple = _SIMPLE.get(str(kinds))
    if simple is str and schema.get("format") in ("date", "date-time", "time"):
        return {"date": "date", "date-time": "datetime", "time": "time"}[schema["format"]]
    return simple.__name__ if simple else "Any"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
