"""Parse ``key=value`` arguments into values of a call, by the service's schema."""

import json
import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from easymlnb.client.encoding import FilePart
from easymlnb.contract.jsonschema import alternatives, properties
from easymlnb.contract.spec import ServiceSpec


def parse_arguments(arguments: Iterable[str], spec: ServiceSpec) -> dict[str, Any]:
    """Return the values of ``arguments``; wrong usage raises ``typer.BadParameter``.

    ``key=text`` is text if the parameter is text, else JSON. ``key=@file`` sends a file, ``key=@-``
    sends stdin. A repeated key makes a list.
    """
    known = properties(spec.input)
    found: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"invalid argument {argument!r}: use key=value or key=@file.")
        if key not in known:
            names = ", ".join(known) or "no parameters"
            raise typer.BadParameter(
                f"{spec.name!r} has no parameter {key!r}. Its parameters: {names}."
            )
        value = _file(text[1:]) if text.startswith("@") else _value(argument, known[key], spec)
        if key in found:
            earlier = found[key] if isinstance(found[key], list) else [found[key]]
            value = [*earlier, *(value if isinstance(value, list) else [value])]
        elif _lists(known[key], spec) and not isinstance(value, list | FilePart | type(None)):
            value = [value]
        found[key] = value
    return found


def _file(name: str) -> FilePart:
    if name == "-":
        return FilePart(typer.get_binary_stream("stdin").read(), "stdin")
    path = Path(name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {name!r}: {error.strerror}.") from error
    return FilePart(data, path.name, mimetypes.guess_type(name)[0] or "application/octet-stream")


def _value(argument: str, schema: Any, spec: ServiceSpec) -> Any:
    text = argument.partition("=")[2]
    found = list(alternatives(schema, spec.input))
    inner = [option for one in found for option in _items(one, spec)] or found
    if any(_is_text(option) for option in inner) and not text.lstrip().startswith(("[", "{")):
        return text
    if any(_is_text(option) for option in found):
        return text
    try:
        return json.loads(text)
    except ValueError:
        if not all("type" in option for option in found):
            return text
        kinds = " or ".join(str(option.get("type")) for option in found)
        raise typer.BadParameter(
            f"{argument!r}: the type is {kinds}, and the value must be JSON."
        ) from None


def _items(schema: Any, spec: ServiceSpec) -> list[Any]:
    return list(alternatives(schema["items"], spec.input)) if "items" in schema else []


def _lists(schema: Any, spec: ServiceSpec) -> bool:
    return all(option.get("type") == "array" for option in alternatives(schema, spec.input))


def _is_text(schema: Any) -> bool:
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return schema.get("type") == "string" or any(isinstance(value, str) for value in values)
