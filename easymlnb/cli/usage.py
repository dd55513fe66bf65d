"""``easymlnb usage`` and ``easymlnb audit``."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from easymlnb.cli import keys, output
from easymlnb.cli.clients import first_client
from easymlnb.cli.options import ANY_SERVER, CommandTarget

BY = ("day", "service", "version", "user", "key")
TOTALS = ("calls", "errors", "compute_seconds", "gpu_seconds", "bytes_in", "bytes_out")


def register(app: typer.Typer) -> None:
    """Add the commands for keys, usage and the audit log."""
    app.add_typer(keys.app, name="keys")
    app.command()(usage)
    app.command()(audit)


@ANY_SERVER
def usage(
    target: CommandTarget,
    service: Annotated[str, typer.Option("--service", help="Only this service.")] = "",
    since: Annotated[
        str, typer.Option("--since", help="First day, such as 2026-01-31; default: 30 days.")
    ] = "",
    until: Annotated[str, typer.Option("--until", help="Last day; default: today, in UTC.")] = "",
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Add up by day, service, version, user or key; may be repeated."),
    ] = None,
) -> None:
    """Show calls, compute seconds and bytes of your services."""
    show_usage(target, by or ["service"], since=since, until=until, service=service)


@ANY_SERVER
def audit(
    target: CommandTarget,
    after: Annotated[int, typer.Option("--after", help="Only events after this number.")] = 0,
    action: Annotated[
        str, typer.Option("--action", help="Only this action, such as key.create.")
    ] = "",
) -> None:
    """Show who published, shared, changed or revoked what; --json prints JSON lines."""
    show_audit(target, after, action)


def show_usage(target: CommandTarget, by: list[str], **asked: str) -> None:
    """Print usage, added up by some of its columns; JSON is printed as it came."""
    if wrong := [name for name in by if name not in BY]:
        raise typer.BadParameter(f"--by {wrong[0]!r}: use any of {', '.join(BY)}.")
    with first_client(target) as client:
        found = client.admin.usage(**asked)
    if target.json:
        output.as_json(found)
        return
    if not found:
        output.message("No calls in this time.")
        return
    headings = {name: name.replace("_", " ").upper() for name in (*by, *TOTALS)}
    output.table(_sums(found, by), headings)


def _sums(entries: Iterable[dict[str, Any]], by: list[str]) -> list[dict[str, Any]]:
    """Return one row for each combination of the columns ``by``."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for entry in entries:
        place = tuple(entry[name] for name in by)
        row = rows.setdefault(place, dict(zip(by, place, strict=True)) | dict.fromkeys(TOTALS, 0))
        for name in TOTALS:
            row[name] = round(row[name] + entry[name], 3)
    return [rows[place] for place in sorted(rows)]


def show_audit(target: CommandTarget, after: int, action: str) -> None:
    """Print all events after one, as a table or as lines of JSON."""
    events: list[dict[str, Any]] = []
    with first_client(target) as client:
        while found := client.admin.audit(after=after, action=action):
            events += found
            after = found[-1]["id"]
    if target.json:
        for event in events:
            typer.echo(json.dumps(event))
        return
    if not events:
        output.message("There are no events.")
        return
    rows = ({**event, "time": event["time"][:19].replace("T", " ")} for event in events)
    columns = {"id": "ID", "time": "TIME", "actor": "WHO", "action": "ACTION", "target": "TARGET"}
    output.table(rows, columns)
