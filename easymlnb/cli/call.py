"""``easymlnb call``: call a service, and print its result or write it to a file."""

import json
import mimetypes
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from easymlnb.cli import output
from easymlnb.cli.arguments import parse_arguments
from easymlnb.client import Client, RawResponse
from easymlnb.client.decoding import accept as best
from easymlnb.contract.jsonschema import hints
from easymlnb.contract.spec import ServiceSpec

JSON = "application/json"
FILES = ("image", "webcam", "audio", "file")
"""Widgets of results that are files."""
_EXTRA_TYPES = {
    ".arrow": "application/vnd.apache.arrow.stream",
    ".npy": "application/x-npy",
    ".parquet": "application/vnd.apache.parquet",
    ".tif": "image/tiff",
    ".webp": "image/webp",
}


@dataclass(frozen=True, slots=True)
class CallCommand:
    """How to call the service, and what to do with the result."""

    save: Path | None = None
    accept: str = ""
    json: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """More ``CallOptions`` of the call."""


def call_and_show(
    client: Client, name: str, arguments: Sequence[str], command: CallCommand
) -> None:
    """Call a service; raises the call's error, or ``typer.BadParameter`` for wrong usage."""
    spec = client.admin.spec(name)
    values = parse_arguments(arguments, spec)
    if command.save is not None and not command.save.absolute().parent.is_dir():
        raise typer.BadParameter(
            f"the folder of {str(command.save)!r} does not exist. Create it first."
        )
    if spec.stream:
        _stream(client, spec, values, command)
        return
    raw = client[name].options(**command.options, accept=_accept(spec, command)).raw(**values)
    if command.save is not None:
        command.save.write_bytes(raw.body)
        output.message(
            f"Wrote {command.save} ({len(raw.body):,} bytes, {_bare(raw.content_type)})."
        )
    else:
        _print(raw)


def _accept(spec: ServiceSpec, command: CallCommand) -> str:
    """Return the media type to request: the given one, else that of the file's extension.

    Without both, it is the service's own. Raises ``typer.BadParameter`` if that would print bytes
    on a terminal.
    """
    if command.accept or command.json:
        return command.accept or JSON
    is_file = hints(spec.output, spec.output).get("widget") in FILES
    if command.save is None:
        if is_file and spec.produces and sys.stdout.isatty():
            raise typer.BadParameter(
                "the result is a file. Set --output to save it, or use --json."
            )
        if not is_file or not spec.produces:
            return ""
        return best(spec.output, spec.produces) or spec.produces[0]
    ending = command.save.suffix.lower()
    kind = _EXTRA_TYPES.get(ending) or mimetypes.guess_type(command.save.name)[0] or ""
    if kind in spec.produces or kind == JSON:
        return kind
    # "cells.dat" of a service that returns an image is that image, not JSON that contains it.
    return best(spec.output, spec.produces) or _any(spec)


def _any(spec: ServiceSpec) -> str:
    wanted = ", ".join(spec.produces)
    return f"{wanted}, {JSON};q=0.1" if wanted else ""


def _stream(
    client: Client, spec: ServiceSpec, values: dict[str, object], command: CallCommand
) -> None:
    """Print or write each result as one line of JSON, as soon as it arrives."""
    file = command.save.open("w", encoding="utf-8") if command.save else None
    try:
        for item in client[spec.name].options(**command.options)(**values):
            line = json.dumps(item, ensure_ascii=False, default=repr)
            typer.echo(line, file=file)
            (file or sys.stdout).flush()
    finally:
        if file is not None:
            file.close()


def _print(raw: RawResponse) -> None:
    kind = _bare(raw.content_type)
    if kind == JSON and sys.stdout.isatty():
        output.as_json(json.loads(raw.body))
    elif kind == JSON or kind.startswith("text/"):
        typer.echo(raw.body.decode(errors="replace").rstrip("\n"))
    elif sys.stdout.isatty():
        raise ValueError(
            f"The result is {kind} with {len(raw.body):,} bytes. Save it with --output."
        )
    else:
        typer.get_binary_stream("stdout").write(raw.body)


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
