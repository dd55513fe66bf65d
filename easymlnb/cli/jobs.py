"""``easymlnb jobs``: list, show, follow, cancel and retry jobs."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import first_client
from easymlnb.cli.options import ANY_SERVER, CommandTarget

if TYPE_CHECKING:
    from easymlnb.client import Client
    from easymlnb.client.jobs import Job

app = typer.Typer(help="Follow and manage jobs.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The job's ID.", metavar="ID")]


@app.command("list")
@ANY_SERVER
def list_jobs(
    target: CommandTarget,
    state: Annotated[
        str, typer.Option(help="Only jobs that are queued, running, succeeded, failed or canceled.")
    ] = "",
    service: Annotated[str, typer.Option(help="Only jobs of this service.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Number of jobs.")] = 50,
) -> None:
    """List your jobs, newest first."""
    from easymlnb.client import jobs

    word = "cancelled" if state == "canceled" else state
    with first_client(target) as client:
        found = client._run(jobs.find({"state": word, "service": service, "limit": limit}))
    if target.json:
        output.as_json(found)
    elif not found:
        output.message("No jobs. Submit one: client.NAME.submit(...), or POST services/NAME/jobs.")
    else:
        rows = [{**job, "progress": percent(job), "created": moment(job)} for job in found]
        columns = {"id": "ID", "service": "SERVICE", "state": "STATE", "progress": "PROGRESS"}
        output.table(rows, {**columns, "created": "SUBMITTED"})


@app.command()
@ANY_SERVER
def show(
    target: CommandTarget,
    id: Id,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show the progress until the job has ended.")
    ] = False,
) -> None:
    """Show a job: its state, attempts, files and metrics."""
    with first_client(target) as client:
        job = client.jobs[id]
        if follow:
            follow_progress(job)
        info = job.info()
    if target.json:
        output.as_json(info)
    else:
        _print(info)
    if follow and info["state"] != "succeeded":
        raise typer.Exit(1)


@app.command()
@ANY_SERVER
def log(
    target: CommandTarget,
    id: Id,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep showing new output.")
    ] = False,
) -> None:
    """Print what a job has printed."""
    with first_client(target) as client:
        job = client.jobs[id]
        text = job.log
        typer.echo(output.clean(text), nl=False)
        if not follow:
            return
        shown = len(text.encode())
        for event in job.events():
            if event["kind"] in ("log", "state"):
                shown = _print_from(client, id, shown)


@app.command()
@ANY_SERVER
def cancel(target: CommandTarget, id: Id) -> None:
    """Cancel a job."""
    with first_client(target) as client:
        job = client.jobs[id]
        job.cancel()
        _done(target, job.info(), "The job is canceled.", "The job is asked to stop.")


@app.command()
@ANY_SERVER
def retry(target: CommandTarget, id: Id) -> None:
    """Submit a job again, with the same input."""
    with first_client(target) as client:
        again = client.jobs[id].retry()
        if target.json:
            output.as_json(again.info())
        else:
            output.line(again.id)


def percent(job: dict[str, Any]) -> str:
    """Return a job's progress for a table; empty before it runs."""
    return "" if job["state"] == "queued" else f"{100 * job['progress']:.0f} %"


def moment(job: dict[str, Any]) -> str:
    """Return when a job was submitted, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job["created"]))


def _print_from(client: "Client", id: str, start: int) -> int:
    """Print the output from a byte on; return where it ends."""
    from easymlnb.client import jobs

    text = client._run(jobs.log(id, start))
    typer.echo(output.clean(text), nl=False)
    return start + len(text.encode())


def follow_progress(job: "Job") -> None:
    """Draw the progress of a job until it has ended."""
    with output.progress(f"job {job.id}") as draw:
        for event in job.events():
            if draw is not None and event["kind"] == "progress":
                draw(event["fraction"], event["text"])
            elif draw is None and event["kind"] == "state":
                output.message(event["state"])


def _print(info: dict[str, Any]) -> None:
    names = ("id", "service", "version", "state", "reason", "position", "attempt", "url")
    for name in names:
        if info.get(name) not in (None, ""):
            output.line(f"{name:10} {info[name]}")
    output.line(f"{'submitted':10} {moment(info)}")
    output.line(f"{'progress':10} {100 * info['progress']:.0f} % {info['progress_text']}".rstrip())
    if info["error"]:
        output.line(f"{'error':10} {info['error']['code']}: {info['error']['message']}")
    for file in info["files"]:
        output.line(f"{'file':10} {file['label']} ({file['size']} bytes)")
    for metric in info["metrics"]:
        output.line(f"{'metric':10} {metric['name']} [{metric['step']}] {metric['value']:g}")


def _done(target: CommandTarget, info: dict[str, Any], ended: str, asked: str) -> None:
    if target.json:
        typer.echo(json.dumps(info))
    else:
        output.message(ended if info["state"] == "cancelled" else asked)
