"""``easymlnb bridges`` and ``easymlnb sources``."""

from typing import Annotated

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import first_client
from easymlnb.cli.options import ANY_SERVER, CommandTarget


def register(app: typer.Typer) -> None:
    """Add the commands for bridges and storage events."""
    app.command()(bridges)
    app.command()(sources)


@ANY_SERVER
def bridges(target: CommandTarget) -> None:
    """List the bridges to message brokers, with their state and counts."""
    with first_client(target) as client:
        found = client.admin.bridges()
    if target.json:
        output.as_json(found)
    elif not found:
        output.message("No bridges. An administrator adds them to EasyMLNB.bridges.")
    else:
        columns = {"name": "NAME", "broker": "BROKER", "subject": "SUBJECT", "service": "SERVICE"}
        columns |= {"state": "STATE", "received": "RECEIVED", "answered": "ANSWERED"}
        output.table(found, columns | {"dead": "DEAD", "in_flight": "IN FLIGHT"})
        for one in found:
            if one["reason"]:
                output.message(f"{one['name']}: {one['reason']}")


@ANY_SERVER
def sources(
    target: CommandTarget,
    name: Annotated[
        str, typer.Argument(help="Show the latest files of this source.", metavar="[NAME]")
    ] = "",
) -> None:
    """List the folders and buckets whose new files start jobs, or the latest files of one."""
    with first_client(target) as client:
        found = [client.admin.storage_source(name)] if name else client.admin.storage_events()
    if target.json:
        output.as_json(found[0] if name else found)
    elif name:
        columns = {"path": "FILE", "state": "STATE", "job": "JOB", "target": "LEFT AS"}
        output.table(found[0]["files"], columns)
    elif not found:
        output.message("No sources. An administrator adds them to EasyMLNB.storage_events.")
    else:
        rows = ({**one["counts"], **one} for one in found)
        columns = {"name": "NAME", "place": "PLACE", "service": "SERVICE", "state": "STATE"}
        columns |= {"taken": "TAKEN", "running": "RUNNING"}
        output.table(rows, columns | {"succeeded": "SUCCEEDED", "failed": "FAILED"})
        for one in found:
            if one["reason"]:
                output.message(f"{one['name']}: {one['reason']}")
