"""The call that was just made, as code to paste: Python, curl, JavaScript."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from mimetypes import guess_extension
from typing import Any

from easymlnb.contract.names import is_attribute, path
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.bounds import nodes
from easymlnb.forms.node import Node

SOMEWHERE = "http://localhost:8888/"
LONG = 300
"""Characters of base64, or of a table's JSON, that still fit into code."""

MOST = 1000
LONGEST = 20_000
CUT = "... too long to display ..."
"""Values and characters of one parameter that are shown in code, and what stands for more."""

STORED = {"table": ("csv", "text/csv"), "timeseries": ("csv", "text/csv")}
"""Kinds of values that people keep in files: the ending and media type of these."""


@dataclass(frozen=True, slots=True)
class FileName:
    """Stands for a file in the code: who pastes it has the file, not its base64."""

    name: str
    media_type: str


def with_file_names(value: Any, name: str = "file") -> Any:
    """Return a JSON value with files as ``FileName``, at any depth."""
    if isinstance(value, Mapping):
        if isinstance(value.get("b64", value.get("upload")), str) and "dtype" not in value:
            media_type = str(value.get("media_type") or "")
            return FileName(str(value.get("name") or name), media_type)
        return {key: with_file_names(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [with_file_names(one, name) for one in value]
    if isinstance(value, str) and value.startswith("data:") and len(value) > LONG:
        media_type = value[5:].partition(";")[0].partition(",")[0]
        return FileName(name + (guess_extension(media_type) or ""), media_type)
    return value


def _long(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > LONGEST and not value.startswith("data:")
    return nodes(value, MOST) > MOST


def _shown(spec: ServiceSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as code shows them."""
    root = Node.root(spec.input)
    properties = root.get("properties") or {}
    found = {}
    for name, value in values.items():
        node = root.child(properties.get(name), name)
        kinds = [str(one.hint("widget")) for one in (node, *node.alternatives)]
        ending, media_type = next((STORED[kind] for kind in kinds if kind in STORED), ("", ""))
        if _long(value):
            found[name] = FileName(f"{name}.{ending}", media_type) if ending else CUT
            continue
        shown = with_file_names(value, name)
        plain = not isinstance(shown, FileName | None)
        if ending and plain and len(_json(shown)) > LONG:
            shown = FileName(f"{name}.{ending}", media_type)
        found[name] = shown
    return found


def python(spec: ServiceSpec, values: Mapping[str, Any], url: str) -> str:
    """Python, with the client."""
    named = _shown(spec, values)
    arguments = [f"{name}={_python(value)}" for name, value in named.items()]
    call = f"c.{spec.name}" if is_attribute(spec.name) else f"c[{spec.name!r}]"
    line = f"{call}({', '.join(arguments)})"
    if len(line) > 80:
        inside = "".join(f"    {argument},\n" for argument in arguments)
        line = f"{call}(\n{inside})"
    last = f"for item in {line}:\n    print(item)" if spec.stream else f"result = {line}"
    path = "from pathlib import Path\n\n" if "Path(" in line else ""
    where = f'"{url}", token="YOUR_TOKEN"' if url else ""
    return f"{path}import easymlnb as ml\n\nc = ml.connect({where})\n{last}\n"


def _python(value: Any) -> str:
    if isinstance(value, FileName):
        return f"Path({value.name!r})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_python(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    return repr(value)


def curl(spec: ServiceSpec, values: Mapping[str, Any], url: str) -> str:
    """A command line; files go as parts of a form."""
    named = _shown(spec, values)
    words = [f"-X POST {shlex.quote(_address(spec, url))}", "-H 'Authorization: token YOUR_TOKEN'"]
    if spec.stream:
        words += ["-N -H 'Accept: text/event-stream'"]
    if any(isinstance(value, FileName) for value in named.values()):
        # A form has no word for null; left out, the parameter takes its default.
        words += [_form_part(name, one) for name, one in named.items() if one is not None]
    else:
        words += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_json(named))}"]
    return "curl " + " \\\n  ".join(words) + "\n"


def _form_part(name: str, value: Any) -> str:
    if isinstance(value, FileName):
        # In quotes, or a ; in the name would end it.
        path = value.name.replace("\\", "\\\\").replace('"', '\\"')
        kind = f";type={value.media_type}" if value.media_type else ""
        return "-F " + shlex.quote(f'{name}=@"{path}"{kind}')
    text = value if isinstance(value, str) else _json(value)
    return "--form-string " + shlex.quote(f"{name}={text}")


def javascript(spec: ServiceSpec, values: Mapping[str, Any], url: str) -> str:
    """JavaScript with ``fetch``; files come from an ``<input type="file">``."""
    named = _shown(spec, values)
    files = any(isinstance(value, FileName) for value in named.values())
    headers = {"Authorization": "token YOUR_TOKEN"}
    lines = []
    if files:
        lines += ["const form = new FormData();"]
        lines += [f"form.append({json.dumps(name)}, {_js(one)});" for name, one in named.items()]
        body = "form"
    else:
        headers["Content-Type"] = "application/json"
        body = f"JSON.stringify({_json(named, indent=2)})"
    lines += [
        f"const response = await fetch({json.dumps(_address(spec, url))}, {{",
        '  method: "POST",',
        f"  headers: {json.dumps(headers)},",
        "  body: " + body.replace("\n", "\n  ") + ",",
        "});",
        "const result = await response.json();",
    ]
    return "\n".join(lines) + "\n"


def _js(value: Any) -> str:
    if isinstance(value, FileName):
        return f"fileInput.files[0], {json.dumps(value.name)}"
    return json.dumps(value if isinstance(value, str) else _json(value))


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=_base64_of)


def _base64_of(file: FileName) -> dict[str, str]:
    return {"name": file.name, "media_type": file.media_type, "b64": f"<base64 of {file.name}>"}


def _address(spec: ServiceSpec, url: str) -> str:
    return f"{(url or SOMEWHERE).rstrip('/')}/easymlnb/services/{path(spec.name)}/call"


LANGUAGES: dict[str, Callable[[ServiceSpec, Mapping[str, Any], str], str]] = {
    "Python": python,
    "curl": curl,
    "JavaScript": javascript,
}


def snippets(spec: ServiceSpec, values: Mapping[str, Any], url: str = "") -> dict[str, str]:
    """Return the call in each language. ``url`` is the Jupyter server's, "" when not known."""
    return {name: write(spec, values, url) for name, write in LANGUAGES.items()}
