"""``easymlnb schedules``: run services at times of cron expressions."""

import time
from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import first_client
from easymlnb.cli.options import ANY_SERVER, CommandTarget
from easymlnb.cli.traffic import Name

app = typer.Typer(help="Run services at certain times, each time as a job.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The schedule's ID.", metavar="ID")]


@app.command("list")
@ANY_SERVER
def list_schedules(
    target: CommandTarget,
    service: Annotated[str, typer.Option(help="Only schedules of this service.")] = "",
) -> None:
    """List your schedules, newest first."""
    with first_client(target) as client:
        found = client.admin.schedules(service)
    if target.json:
        output.as_json(found)
    elif not found:
        output.message("No schedules. Add one: easymlnb schedules add NAME '0 6 * * *'")
    else:
        columns = {"id": "ID", "service": "SERVICE", "cron": "CRON", "zone": "ZONE"}
        columns |= {"following": "NEXT", "last_job": "LAST JOB"}
        output.table(({**one, "following": _next(one)} for one in found), columns)
        for one in found:
            if one["reason"]:
                output.message(f"{one['id']}: {one['reason']}")


@app.command()
@ANY_SERVER
def add(
    target: CommandTarget,
    name: Name,
    cron: Annotated[
        str, typer.Argument(help="Five fields, such as '0 6 * * 1-5'.", metavar="CRON")
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(help="Parameters as key=value, or key=@file.", metavar="KEY=VALUE..."),
    ] = None,
    zone: Annotated[str, typer.Option(help="Time zone, such as Europe/Berlin.")] = "UTC",
    overlap: Annotated[
        str, typer.Option(help="While the last job has not ended: skip or queue.")
    ] = "skip",
    lane: Annotated[str, typer.Option(help="Lane of kernels that runs the jobs.")] = "",
    attempts: Annotated[
        int, typer.Option(min=1, help="How often the function may raise before a job fails.")
    ] = 1,
) -> None:
    """Run a service at times of a cron expression, and print the schedule's ID."""
    from easymlnb.cli.arguments import parse_arguments

    with first_client(target) as client:
        made = client.admin.create_schedule(
            name,
            cron,
            zone=zone,
            inputs=parse_arguments(values or [], client.admin.spec(name)),
            overlap=overlap,
            lane=lane,
            attempts=attempts,
        )
    if target.json:
        output.as_json(made)
        return
    output.line(made["id"])
    output.message(f"{made['description']}, {made['zone']}. Next: {_next(made)}.")


@app.command()
@ANY_SERVER
def pause(target: CommandTarget, id: Id) -> None:
    """Pause a schedule."""
    with first_client(target) as client:
        _show(target, client.admin.pause_schedule(id))


@app.command()
@ANY_SERVER
def resume(target: CommandTarget, id: Id) -> None:
    """Resume a schedule; times that passed meanwhile make no jobs."""
    with first_client(target) as client:
        _show(target, client.admin.pause_schedule(id, paused=False))


@app.command()
@ANY_SERVER
def run(target: CommandTarget, id: Id) -> None:
    """Make a job of a schedule now, and print the job's ID."""
    with first_client(target) as client:
        job = client.admin.run_schedule(id)
    if target.json:
        output.as_json(job)
    else:
        output.line(job["id"])


@app.command()
@ANY_SERVER
def remove(target: CommandTarget, id: Id) -> None:
    """Remove a schedule; its jobs stay."""
    with first_client(target) as client:
        client.admin.remove_schedule(id)
    if target.json:
        output.as_json({"removed": id})
    else:
        output.message(f"Removed {id}.")


def _show(target: CommandTarget, schedule: dict[str, Any]) -> None:
    if target.json:
        output.as_json(schedule)
    elif schedule["paused"]:
        output.message(f"{schedule['id']} is paused.")
    else:
        output.message(f"{schedule['id']} is active. Next: {_next(schedule)}.")


def _next(schedule: dict[str, Any]) -> str:
    """Return the next time of a schedule, in local time."""
    if schedule["paused"]:
        return "paused"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(schedule["upcoming"][0]))
