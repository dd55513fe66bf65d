"""Print tables and JSON to stdout, and messages about the work to stderr."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from easymlnb.client.sse import OnProgress


DUMB = ("dumb", "unknown")
"""Values of ``TERM`` for terminals that cannot redraw a line: there, texts are printed instead."""


def as_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def message(text: str) -> None:
    """Print a message on stderr."""
    typer.echo(text, err=True)


def line(text: str) -> None:
    """Print one line of a result on stdout, without control characters."""
    typer.echo(clean(text))


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print rows under headings; ``columns`` maps a row's key to its heading."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for key, heading in columns.items():
        drawn.add_column(heading, no_wrap=key == "name", overflow="fold")
    for row in rows:
        # Text: markup in the authors' texts is not rendered.
        drawn.add_row(*(Text(clean(_text(row.get(key)))) for key in columns))
    # A pipe has no width.
    width = None if sys.stdout.isatty() else 200
    Console(width=width, soft_wrap=False).print(drawn)


def clean(text: str) -> str:
    """Return text without control characters for a terminal."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() and c != "\x1b"))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


@contextmanager
def progress(what: str) -> Iterator["OnProgress | None"]:
    """Give a function that draws progress on stderr; ``None`` without a capable terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in DUMB:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24))
    bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task(what, total=None)

        def show(fraction: float, text: str) -> None:
            total = None if fraction < 0 else 1.0
            shown = clean(text) or what
            bar.update(task, total=total, completed=max(0.0, fraction), description=shown)

        yield show
