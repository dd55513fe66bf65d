"""Describe a service's schema in words and as code snippets for its page."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from easymlnb.contract.names import is_attribute, quoted
from easymlnb.contract.spec import ServiceSpec

FILES = {
    "audio": "audio.wav",
    "file": "file.bin",
    "image": "image.png",
    "table": "table.csv",
    "timeseries": "series.csv",
    "webcam": "photo.jpg",
}
"""Widgets whose value is a file, with a sample file name for each."""
_WIDGET_NAMES = {"timeseries": "time series", "webcam": "image", "colour": "color"}
_SPOKEN = {"text", "code_inline", "softbreak", "hardbreak"}
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

MOST = 200
"""Maximum number of schema nodes to visit; a recursive type has no end."""

DEEPEST = 2
"""Maximum depth of nested lists in a description."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the parameter table."""

    name: str
    kind: str
    required: bool
    default: str = ""
    limits: str = ""
    description: str = ""


def fields(spec: ServiceSpec) -> list[Field]:
    """Return the rows of the parameter table."""
    required = spec.input.get("required", ())
    return [
        Field(
            name,
            kind(field, spec.input),
            name in required,
            _short(json.dumps(field["default"], ensure_ascii=False)) if "default" in field else "",
            _limits(field, spec.input),
            str(_resolve(field, spec.input).get("description", "")),
        )
        for name, field in spec.input.get("properties", {}).items()
    ]


def shape(spec: ServiceSpec) -> str:
    """Return inputs and output in one line, such as ``image, number → table``."""
    given = [kind(field, spec.input) for field in spec.input.get("properties", {}).values()]
    shown = ", ".join(given[:3]) + (f" and {len(given) - 3} more" if len(given) > 3 else "")
    result = kind(spec.output, spec.output)
    return f"{shown or 'nothing'} → {f'stream of {result}' if spec.stream else result}"


def inputs(spec: ServiceSpec) -> list[str]:
    """Return the distinct kinds of a service's inputs, files first."""
    kinds = (kind(field, spec.input) for field in spec.input.get("properties", {}).values())
    found = dict.fromkeys(one for kind in kinds for one in kind.split(" or ") if one)
    return sorted(found, key=lambda one: one.replace(" ", "") not in FILES)


def kind(schema: Any, root: dict[str, Any], depth: int = 0, left: list[int] | None = None) -> str:
    """Return the kind of a value in one or two words.

    ``depth`` counts the enclosing lists, ``left`` the schema nodes that may still be visited.
    """
    found = []
    left = left or [MOST]
    for option in _options(schema, root, left):
        widget = (option.get("x-easymlnb") or {}).get("widget")
        if widget in FILES or widget in ("array", "plot", "html", "markdown", "colour"):
            found.append(_WIDGET_NAMES.get(widget, widget))
        elif "enum" in option or "const" in option:
            found.append("choice")
        elif option.get("type") == "array":
            item = option.get("items")
            known = isinstance(item, dict) and depth < DEEPEST
            inner = kind(item, root, depth + 1, left) if known else ""
            found.append(
                "choices" if inner == "choice" else f"list of {inner}" if inner else "list"
            )
        elif option.get("format") in ("date", "date-time", "time"):
            found.append({"date-time": "date and time"}.get(option["format"], option["format"]))
        else:
            name = option.get("type", "any value")
            if isinstance(name, str):
                found.append("text" if name == "string" else name)
            else:
                found.append(" or ".join(name))
    return " or ".join(dict.fromkeys(found)) or "any value"


def summary(markdown: str) -> str:
    """Return the first paragraph of a Markdown text as plain text."""
    from markdown_it import MarkdownIt

    for token in MarkdownIt("commonmark", {"html": False}).parse(markdown):
        parts = [child.content or " " for child in token.children or () if child.type in _SPOKEN]
        if parts:
            return " ".join("".join(parts).split())
    return ""


def snippets(spec: ServiceSpec, url: str) -> list[tuple[str, str]]:
    """Return ``(language, code)`` pairs of a working call; ``url`` is the base of all routes."""
    values = example(spec)
    files = {name: label for name, label in _files(spec) if name in values}
    return [
        ("Python", _python(spec, url, values, files)),
        ("curl", _curl(spec, url, values, files)),
        ("JavaScript", _javascript(spec, url, values, files)),
    ]


def example(spec: ServiceSpec) -> dict[str, Any]:
    """Return sample values: the first example, or the required parameters only."""
    if spec.examples:
        return dict(spec.examples[0])
    properties = spec.input.get("properties", {})
    return {name: _sample(properties[name], spec.input) for name in spec.input.get("required", ())}


# calls


def _python(spec: ServiceSpec, url: str, values: dict[str, Any], files: dict[str, str]) -> str:
    given = [
        f'{name}=Path("{files[name]}")' if name in files else f"{name}={value!r}"
        for name, value in values.items()
    ]
    imports = "import easymlnb as ml\n" + ("from pathlib import Path\n" if files else "")
    # `alice/segment` is not a Python identifier.
    item = f"c[{json.dumps(spec.name, ensure_ascii=False)}]"
    function = f"c.{spec.name}" if is_attribute(spec.name) else item
    line = f"{function}({', '.join(given)})"
    call = f"for item in {line}:\n    print(item)" if spec.stream else f"print({line})"
    return f'{imports}\nc = ml.connect(\n    "{url}",\n    token="...",\n)\n{call}'


def _curl(spec: ServiceSpec, url: str, values: dict[str, Any], files: dict[str, str]) -> str:
    parts = ["curl", f'"{url}services/{quoted(spec.name)}/call"']
    parts += ['-H "Authorization: token $EASYMLNB_TOKEN"']
    wanted = next((media for media in spec.produces if not media.startswith("text/")), "")
    if wanted:
        ending = wanted.partition("/")[2].rpartition(".")[2].removeprefix("x-")
        parts += [f'-H "Accept: {wanted}" -o result.{ending}']
    if files:
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            sent = f"{name}=@{files[name]}" if name in files else f"{name}={text}"
            parts.append(f"-F {shlex.quote(sent)}")
    else:
        body = shlex.quote(json.dumps(values, ensure_ascii=False))
        parts += ['-H "Content-Type: application/json"', f"-d {body}"]
    return " \\\n  ".join([f"{parts[0]} {parts[1]}", *parts[2:]])


def _javascript(spec: ServiceSpec, url: str, values: dict[str, Any], files: dict[str, str]) -> str:
    headers = '{ Authorization: "token ..." }'
    before, body = "", f"JSON.stringify({json.dumps(values, ensure_ascii=False)})"
    if files:
        lines = ["const form = new FormData();"]
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            sent = "input.files[0]" if name in files else json.dumps(text, ensure_ascii=False)
            lines.append(f'form.append("{name}", {sent});')
        before, body = "\n".join(lines) + "\n", "form"
    else:
        headers = '{ Authorization: "token ...", "Content-Type": "application/json" }'
    read = "blob" if any(media.startswith("image/") for media in spec.produces) else "json"
    if read == "blob":
        headers = headers.replace(" }", f', Accept: "{spec.produces[0]}" }}')
    return (
        f'{before}const answer = await fetch("{url}services/{quoted(spec.name)}/call", {{\n'
        f'  method: "POST",\n  headers: {headers},\n  body: {body},\n}});\n'
        f"console.log(await answer.{read}());"
    )


# schemas


def _resolve(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    for _ in range(32):  # circular references must end
        if not isinstance(schema, dict):
            return {}
        pointer = schema.get("$ref")
        if not isinstance(pointer, str):
            return schema
        target = root.get("$defs", {}).get(pointer.rpartition("/")[2], {})
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return {}


def _options(
    schema: Any, root: dict[str, Any], left: list[int] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the alternatives of a value, without null; a widget schema is a single alternative."""
    left = left or [MOST]
    left[0] -= 1
    if left[0] < 0:
        return
    found = _resolve(schema, root)
    inner = found.get("anyOf") or found.get("oneOf")
    if inner and not (found.get("x-easymlnb") or {}).get("widget"):
        for option in inner:
            if _resolve(option, root).get("type") != "null":
                yield from _options(option, root, left)
    else:
        yield found


def _limits(schema: Any, root: dict[str, Any]) -> str:
    found = next(_options(schema, root), {})
    said = [text.format(found[key]) for key, text in _LIMITS.items() if key in found]
    choices = found.get("enum") or _resolve(found.get("items"), root).get("enum")
    if choices:
        said.append("one of " + ", ".join(json.dumps(c, ensure_ascii=False) for c in choices))
    unit = (found.get("x-easymlnb") or {}).get("unit")
    return ", ".join([*said, *([f"in {unit}"] if unit else [])])


def _files(spec: ServiceSpec) -> Iterator[tuple[str, str]]:
    for name, field in spec.input.get("properties", {}).items():
        for option in _options(field, spec.input):
            widget = (option.get("x-easymlnb") or {}).get("widget")
            if widget in FILES:
                yield name, FILES[widget]


def _sample(schema: Any, root: dict[str, Any], left: list[int] | None = None) -> Any:
    left = left or [MOST]
    found = next(_options(schema, root, left), {})
    for key in ("default", "const", "minimum"):
        if key in found:
            return found[key]
    if found.get("enum"):
        return found["enum"][0]
    if found.get("type") == "object":
        inner = found.get("properties", {})
        return {name: _sample(inner[name], root, left) for name in found.get("required", ())}
    return _SAMPLES.get(str(found.get("type")))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
