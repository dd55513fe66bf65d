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
from easymlnb.cli.arguments import read
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
    """What to do with the result."""

    save: Path | None = None
    accept: str = ""
    json: bool = False
    how: Mapping[str, Any] = field(default_factory=dict)
    """Further ``client.flows.Options`` of the call."""


def call_and_show(client: Client, name: str, arguments: Sequence[str], wish: CallCommand) -> None:
    """Call a service; raises the call's error, or ``typer.BadParameter`` for wrong usage."""
    spec = client.spec(name)
    values = read(arguments, spec)
    if wish.save is not None and not wish.save.absolute().parent.is_dir():
        raise typer.BadParameter(
            f"the folder of {str(wish.save)!r} does not exist. Create it first."
        )
    if spec.stream:
        _stream(client, spec, values, wish)
        return
    raw = client.raw(name, values, accept=_accept(spec, wish), **wish.how)
    if wish.save is not None:
        wish.save.write_bytes(raw.body)
        output.say(f"Wrote {wish.save} ({len(raw.body):,} bytes, {_bare(raw.content_type)}).")
    else:
        _print(raw)


def _accept(spec: ServiceSpec, wish: CallCommand) -> str:
    """Return the media type to ask for: as told, else by the file's ending, else the natural one.

    Raises ``typer.BadParameter`` when that would put bytes on a terminal.
    """
    if wish.accept or wish.json:
        return wish.accept or JSON
    is_file = hints(spec.output, spec.output).get("widget") in FILES
    if wish.save is None:
        if is_file and spec.produces and sys.stdout.isatty():
            raise typer.BadParameter(
                "the result is a file. Set --output to save it, or use --json."
            )
        if not is_file or not spec.produces:
            return ""
        return best(spec.output, spec.produces) or spec.produces[0]
    ending = wish.save.suffix.lower()
    kind = _EXTRA_TYPES.get(ending) or mimetypes.guess_type(wish.save.name)[0] or ""
    if kind in spec.produces or kind == JSON:
        return kind
    # "cells.dat" of a service that answers an image is that image, not JSON around it.
    return best(spec.output, spec.produces) or _any(spec)


def _any(spec: ServiceSpec) -> str:
    wanted = ", ".join(spec.produces)
    return f"{wanted}, {JSON};q=0.1" if wanted else ""


def _stream(
    client: Client, spec: ServiceSpec, values: dict[str, object], wish: CallCommand
) -> None:
    """Print or write each result as a line of JSON, as soon as it comes."""
    file = wish.save.open("w", encoding="utf-8") if wish.save else None
    try:
        for item in client.call(spec.name, values, **wish.how):
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
