"""Code that calls a service with given values: Python, curl, JavaScript."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from mimetypes import guess_extension
from typing import Any

from easymlnb.contract.json_values import count_nodes
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.names import is_attribute, url_path
from easymlnb.contract.spec import ServiceSpec

DEFAULT_URL = "http://localhost:8888/"
"""Address in curl and JavaScript where that of the server is unknown."""

MAX_INLINE = 300
"""Most characters of base64, or of a table's JSON, that are written into code."""

MAX_NODES = 1000
"""Most values of one parameter that are written into code."""

MAX_TEXT = 20_000
"""Most characters of a text that are written into code."""

PLACEHOLDER = "... too long to be shown here ..."
"""Text in place of a value that is too long."""

STORED = {"table": ("csv", "text/csv"), "timeseries": ("csv", "text/csv")}
"""Widgets whose values people keep in files: the extension and the media type of such a file."""


@dataclass(frozen=True, slots=True)
class FileName:
    """A file in place of its content: readers of the code have the file, not its base64."""

    name: str
    media_type: str


def with_file_names(value: Any, name: str = "file") -> Any:
    """Return a JSON value with its files as ``FileName``, at any depth."""
    if isinstance(value, Mapping):
        if isinstance(value.get("b64", value.get("upload")), str) and "dtype" not in value:
            media_type = str(value.get("media_type") or "")
            return FileName(str(value.get("name") or name), media_type)
        return {key: with_file_names(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [with_file_names(item, name) for item in value]
    if isinstance(value, str) and value.startswith("data:") and len(value) > MAX_INLINE:
        media_type = value[5:].partition(";")[0].partition(",")[0]
        return FileName(name + (guess_extension(media_type) or ""), media_type)
    return value


def _is_long(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > MAX_TEXT and not value.startswith("data:")
    return count_nodes(value, MAX_NODES) > MAX_NODES


def _prepare(spec: ServiceSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as they are written into code."""
    root = SchemaNode.root(spec.input)
    known = root.properties
    return {
        name: _prepare_value(root.child(known.get(name), name), name, value)
        for name, value in values.items()
    }


def _prepare_value(node: SchemaNode, name: str, value: Any) -> Any:
    kinds = [str(branch.hint("widget")) for branch in (node, *node.alternatives)]
    extension, media_type = next((STORED[kind] for kind in kinds if kind in STORED), ("", ""))
    file = FileName(f"{name}.{extension}", media_type)
    if _is_long(value):
        return file if extension else PLACEHOLDER
    written = with_file_names(value, name)
    if extension and not isinstance(written, FileName) and len(_json(written)) > MAX_INLINE:
        return file
    return written


def python(spec: ServiceSpec, values: Mapping[str, Any], url: str) -> str:
    """Return Python code that uses the client."""
    arguments = [f"{name}={_python(value)}" for name, value in _prepare(spec, values).items()]
    function = f"c.{spec.name}" if is_attribute(spec.name) else f"c[{spec.name!r}]"
    call = f"{function}({', '.join(arguments)})"
    if len(call) > 80:
        inside = "".join(f"    {argument},\n" for argument in arguments)
        call = f"{function}(\n{inside})"
    last = f"for item in {call}:\n    print(item)" if spec.stream else f"result = {call}"
    imports = "from pathlib import Path\n\n" if "Path(" in call else ""
    server = f'"{url}", token="YOUR_TOKEN"' if url else ""
    return f"{imports}import easymlnb as ml\n\nc = ml.connect({server})\n{last}\n"


def _python(value: Any) -> str:
    if isinstance(value, FileName):
        return f"Path({value.name!r})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_python(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    return repr(value)


def curl(spec: ServiceSpec, values: Mapping[str, Any], url: str) -> str:
    """Return a command line; files are sent as parts of a form."""
    written = _prepare(spec, values)
    lines = [
        f"curl -X POST {shlex.quote(_address(spec, url))}",
        "-H 'Authorization: token YOUR_TOKEN'",
    ]
    if spec.stream:
        lines += ["-N -H 'Accept: text/event-stream'"]
    elif binary := _binary(spec):
        extension = binary.partition("/")[2].rpartition(".")[2].removeprefix("x-")
        lines += [f"-H 'Accept: {binary}' -o result.{extension}"]
    if any(isinstance(value, FileName) for value in written.values()):
        # A form cannot say null; a parameter that is left out takes its default.
        lines += [_form_part(name, value) for name, value in written.items() if value is not None]
    else:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_json(written))}"]
    return " \\\n  ".join(lines) + "\n"


def _binary(spec: ServiceSpec) -> str:
    """Return the first media type of a result that is no text; empty for none."""
    return next((media for media in spec.produces if not media.startswith("text/")), "")


def _form_part(name: str, value: Any) -> str:
    if isinstance(value, FileName):
        # In quotes, or a ; in the name would end it.
        file = value.name.replace("\\", "\\\\").replace('"', '\\"')
        kind = f";type={value.media_type}" if value.media_type else ""
        return "-F " + shlex.quote(f'{name}=@"{file}"{kind}')
    text = value if isinstance(value, str) else _json(value)
    return "--form-string " + shlex.quote(f"{name}={text}")


def javascript(spec: ServiceSpec, values: Mapping[str, Any], url: str) -> str:
    """Return JavaScript that uses ``fetch``; files come from an ``<input type="file">``."""
    written = _prepare(spec, values)
    headers = {"Authorization": "token YOUR_TOKEN"}
    lines = []
    if any(isinstance(value, FileName) for value in written.values()):
        lines += ["const form = new FormData();"]
        lines += [
            f"form.append({json.dumps(name)}, {_js(value)});" for name, value in written.items()
        ]
        body = "form"
    else:
        headers["Content-Type"] = "application/json"
        body = f"JSON.stringify({_json(written, indent=2)})"
    image = next((media for media in spec.produces if media.startswith("image/")), "")
    if image and not spec.stream:
        headers["Accept"] = image
    lines += [
        f"const response = await fetch({json.dumps(_address(spec, url))}, {{",
        '  method: "POST",',
        f"  headers: {json.dumps(headers)},",
        "  body: " + body.replace("\n", "\n  ") + ",",
        "});",
        f"const result = await response.{'blob' if 'Accept' in headers else 'json'}();",
    ]
    return "\n".join(lines) + "\n"


def _js(value: Any) -> str:
    if isinstance(value, FileName):
        return f"fileInput.files[0], {json.dumps(value.name)}"
    return json.dumps(value if isinstance(value, str) else _json(value))


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=_as_placeholder)


def _as_placeholder(file: FileName) -> dict[str, str]:
    return {"name": file.name, "media_type": file.media_type, "b64": f"<base64 of {file.name}>"}


def _address(spec: ServiceSpec, url: str) -> str:
    return f"{(url or DEFAULT_URL).rstrip('/')}/easymlnb/services/{url_path(spec.name)}/call"


LANGUAGES: dict[str, Callable[[ServiceSpec, Mapping[str, Any], str], str]] = {
    "Python": python,
    "curl": curl,
    "JavaScript": javascript,
}


def snippets(spec: ServiceSpec, values: Mapping[str, Any], url: str = "") -> dict[str, str]:
    """Return the code of a call in each language.

    ``values`` are JSON values or ``FileName``; ``url`` is the address of the Jupyter server, empty
    if unknown.
    """
    return {name: write(spec, values, url) for name, write in LANGUAGES.items()}
