"""``easymlnb batch`` and ``easymlnb sweep``: run a service on a table, or with many parameters."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import client_of
from easymlnb.cli.options import ANY_SERVER, CommandTarget
from easymlnb.cli.traffic import Name

if TYPE_CHECKING:
    from easymlnb.client import Client
    from easymlnb.client.jobs import Job
    from easymlnb.contract.spec import ServiceSpec


@ANY_SERVER
def batch(
    target: CommandTarget,
    name: Name,
    files: Annotated[
        list[Path],
        typer.Argument(help="A CSV, parquet table or ZIP, or several files.", metavar="FILE..."),
    ],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--value", help="KEY=VALUE for all rows; may be repeated.", metavar="KEY=VALUE"
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result to this file.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Copy columns that are not parameters to the result.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the result, or print the job's ID.")
    ] = True,
) -> None:
    """Run a service on each row of a table, or on each of several files."""
    with client_of(name, target) as client:
        run_batch(client, name, files, values or [], save, target, keep=keep, wait=wait)


@ANY_SERVER
def sweep(
    target: CommandTarget,
    name: Name,
    grid: Annotated[
        list[str],
        typer.Option(help="Values of a parameter; may be repeated.", metavar="KEY=A,B,C"),
    ],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--value", help="KEY=VALUE for all runs; may be repeated.", metavar="KEY=VALUE"
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the table to this CSV file.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the results, or print the job's ID.")
    ] = True,
) -> None:
    """Run a service with all combinations of some parameters."""
    with client_of(name, target) as client:
        run_sweep(client, name, grid, values or [], save, target, wait=wait)


def run_batch(
    client: "Client",
    name: str,
    files: list[Path],
    values: Iterable[str],
    save: Path | None,
    target: CommandTarget,
    *,
    keep: bool,
    wait: bool,
) -> None:
    """Submit a batch, follow it, and save its result and errors."""
    for file in files:
        if not file.is_file():
            raise typer.BadParameter(f"there is no file {str(file)!r}.")
    _check_folder(save)
    from easymlnb.cli.arguments import parse_arguments

    given = parse_arguments(values, client.admin.spec(name))
    extra = "keep" if keep else "refuse"
    table: Any = files[0] if len(files) == 1 else files
    job = client[name].batch(table, values=given, extra_columns=extra)
    if not wait:
        _submitted(job, target)
        return
    _wait(job)
    _save_batch(client, job, save, target)


def run_sweep(
    client: "Client",
    name: str,
    grid: Iterable[str],
    values: Iterable[str],
    save: Path | None,
    target: CommandTarget,
    *,
    wait: bool,
) -> None:
    """Submit a sweep, follow it, and print or save its table."""
    from easymlnb.cli.arguments import parse_arguments

    _check_folder(save)
    spec = client.admin.spec(name)
    job = client[name].sweep(parse_grid(grid, spec), values=parse_arguments(values, spec))
    if not wait:
        _submitted(job, target)
        return
    _wait(job)
    _show_sweep(client, job, save, target)


def parse_grid(grid: Iterable[str], spec: "ServiceSpec") -> dict[str, list[Any]]:
    """Return the values of ``name=1,2,3``; raises ``typer.BadParameter``."""
    from easymlnb.cli.arguments import parse_arguments

    found: dict[str, list[Any]] = {}
    for one in grid:
        name, equals, text = one.partition("=")
        if not equals or not name or not text:
            raise typer.BadParameter(f"invalid grid {one!r}: use name=1,2,3 or name=[...].")
        if text.startswith("["):
            found[name] = _json_list(one, text)
        else:
            found[name] = [
                parse_arguments([f"{name}={part.strip()}"], spec)[name] for part in text.split(",")
            ]
    if not found:
        raise typer.BadParameter("name at least one parameter: --grid trees=10,50,100.")
    return found


def _json_list(given: str, text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise typer.BadParameter(f"{given!r} is not a JSON list.")
    return found


def _check_folder(save: Path | None) -> None:
    if save is not None and not save.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder of {str(save)!r} does not exist. Create it first.")


def _submitted(job: "Job", target: CommandTarget) -> None:
    if target.json:
        output.as_json(job.info())
    else:
        output.line(job.id)
        output.message(f"Follow it: easymlnb jobs show {job.id} --follow")


def _wait(job: "Job") -> None:
    from easymlnb.cli.jobs import follow_progress

    output.message(f"Job {job.id}: {job.url}/page")
    follow_progress(job)
    job.wait()


def _save_batch(client: "Client", job: "Job", save: Path | None, target: CommandTarget) -> None:
    from easymlnb.client import job_tables, jobs

    info = job.info()
    raw, name = client._run(jobs.raw_result(job.id))
    path = save or Path(name)
    path.write_bytes(raw)
    written = {"job": job.id, "result": str(path), "text": info["progress_text"]}
    if job_tables.ERRORS in (file["label"] for file in info["files"]):
        errors = path.with_name(f"{path.stem}-errors.csv")
        errors.write_bytes(job.file(job_tables.ERRORS).data)
        written["errors"] = str(errors)
    if target.json:
        output.as_json(written)
        return
    output.message(f"Wrote {path} ({len(raw):,} bytes): {info['progress_text']}.")
    if "errors" in written:
        output.message(f"Wrote {written['errors']}: the rows that failed, and why.")


def _show_sweep(client: "Client", job: "Job", save: Path | None, target: CommandTarget) -> None:
    from easymlnb.client import job_tables, jobs
    from easymlnb.client.messages import Request, raise_for_error

    def table() -> Any:
        return raise_for_error((yield Request("GET", jobs.path(job.id, "trials")))).json()

    document = client._run(table())
    if save is not None:
        save.write_bytes(job.file("results.csv").data)
        output.message(f"Wrote {save} ({len(document['trials'])} trials).")
    if target.json:
        output.as_json(document)
    elif save is None:
        rows = job_tables.trial_rows(document)
        hidden = ("job", "seconds")
        names = dict.fromkeys(name for row in rows for name in row if name not in hidden)
        output.table(rows, {name: name.upper() for name in names})
    if job.state != "succeeded":
        job.result()  # raises why
