"""``easymlnb compare`` and ``easymlnb flags``: versions side by side, and flagged calls."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import client_of
from easymlnb.cli.options import ANY_SERVER, CommandTarget
from easymlnb.cli.traffic import Name

if TYPE_CHECKING:
    from easymlnb.client import Client

DATASETS = {".zip": "zip", ".csv": "csv", ".jsonl": "jsonl"}
"""Extension of a file -> the format of a data set."""

COLUMNS = {
    "time": "TIME",
    "version": "VERSION",
    "caller": "CALLER",
    "reason": "REASON",
    "inputs": "INPUTS",
    "id": "ID",
}


@ANY_SERVER
def compare(
    target: CommandTarget,
    name: Name,
    before: Annotated[str, typer.Argument(help="A version or alias.", metavar="VERSION")],
    after: Annotated[str, typer.Argument(help="Another one.", metavar="VERSION")],
    on: Annotated[
        str,
        typer.Option(
            help="Inputs: examples, recorded, flagged, or the path of a table (CSV, JSON lines)."
        ),
    ] = "examples",
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number of inputs.")] = None,
    relative: Annotated[
        float | None, typer.Option(min=0, help="Relative tolerance of numbers.")
    ] = None,
    absolute: Annotated[
        float | None, typer.Option(min=0, help="Absolute tolerance of numbers.")
    ] = None,
) -> None:
    """Compare two versions of a service on the same inputs; exit with 1 if they differ."""
    options = {"on": on, "limit": limit, "relative": relative, "absolute": absolute}
    with client_of(name, target) as client:
        compare_and_show(client, name, (before, after), options, json=target.json)


@ANY_SERVER
def flags(
    target: CommandTarget,
    name: Name,
    save: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a data set: .zip with files, .csv or .jsonl."),
    ] = None,
) -> None:
    """Show the calls of a service that users flagged, or download them."""
    with client_of(name, target) as client:
        show_flags(client, name, save, json=target.json)


def compare_and_show(
    client: "Client",
    name: str,
    versions: tuple[str, str],
    options: Mapping[str, Any],
    *,
    json: bool,
) -> None:
    """Compare two versions and print the result; exits with 1 if they differ."""
    from easymlnb.publishing.comparing import lines

    before, after = (int(text) if text.isdigit() else text for text in versions)
    found = client.admin.compare(name, before, after, **options)
    if json:
        output.as_json(found)
    else:
        for line in lines(found):
            output.line(line)
    outcomes = found["summary"]["outcomes"]
    if found["state"] != "succeeded" or {"different", "failed"} & outcomes.keys():
        raise typer.Exit(1)


def show_flags(client: "Client", name: str, save: Path | None, *, json: bool) -> None:
    """Print the flagged calls of a service, or write them to a file as a data set."""
    if save is not None:
        form = DATASETS.get(save.suffix.lower())
        if form is None:
            raise typer.BadParameter(f"the file must end with one of: {', '.join(DATASETS)}.")
        data = client.admin.records_dataset(name, kind="flagged", format=form)
        save.write_bytes(data)
        output.message(f"Wrote {save} ({len(data):,} bytes).")
        return
    rows = client.admin.flags(name)
    if json:
        output.as_json(rows)
    elif not rows:
        output.message(f"No calls of {name} are flagged.")
    else:
        shown = [{**row, "time": str(row["time"])[:19].replace("T", " ")} for row in rows]
        output.table(shown, COLUMNS)
