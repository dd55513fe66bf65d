"""``easymlnb compare`` and ``easymlnb flags``: versions side by side, and flagged calls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from easymlnb.cli import output
from easymlnb.client import Client
from easymlnb.publishing.comparing import lines

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


def compare_and_show(
    client: Client, name: str, versions: tuple[str, str], options: Mapping[str, Any], *, json: bool
) -> None:
    """Compare two versions and print the result; exits with 1 if they differ."""
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


def show_flags(client: Client, name: str, save: Path | None, *, json: bool) -> None:
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
