"""``easymlnb models``: list, show, compare, export, import and delete models."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import publishing_client
from easymlnb.cli.options import ANY_SERVER, CommandTarget

app = typer.Typer(help="Manage trained models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model's name.", metavar="NAME")]
Reference = Annotated[
    str,
    typer.Argument(
        help="A version, such as forest@3 or forest@production.", metavar="NAME@VERSION"
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@app.command("list")
@ANY_SERVER
def list_models(
    target: CommandTarget,
    search: Annotated[str, typer.Option(help="Only models with this text in the name.")] = "",
) -> None:
    """List the models of the server."""
    with publishing_client(target) as client:
        found = client.models.list(search)
    if target.json:
        output.as_json(found)
    elif not found:
        output.message("No models yet. Save one in a notebook: ml.registry.save(model, 'NAME')")
    else:
        rows = [{**one, "aliases": _aliases(one["aliases"])} for one in found]
        columns = {"name": "NAME", "latest": "LATEST", "aliases": "ALIASES", "title": "TITLE"}
        output.table(rows, columns)


@app.command()
@ANY_SERVER
def show(target: CommandTarget, name: Reference) -> None:
    """Show a version of a model: metrics, parameters, files and where it comes from."""
    from easymlnb.contract.model_names import split_reference

    model, ref = split_reference(name)
    with publishing_client(target) as client:
        version = client.models.version(model, ref)
    if target.json:
        output.as_json(version)
        return
    for key in ("model", "version", "format", "author", "created", "job", "note"):
        if version[key] not in (None, ""):
            output.line(f"{key:10} {version[key]}")
    output.line(f"{'aliases':10} {', '.join(version['aliases']) or '-'}")
    if version["runs_code"]:
        opens = "yes" if version["own"] else "no; see 'easymlnb models trust'"
        output.line(f"{'runs code':10} when opened; your services open it: {opens}")
    for group in ("metrics", "params", "lineage"):
        for key, value in version[group].items():
            output.line(f"{group.removesuffix('s'):10} {key} = {value}")
    for file in version["files"]:
        output.line(f"{'file':10} {file['path']} ({file['size']:,} bytes)")


@app.command()
@ANY_SERVER
def versions(target: CommandTarget, name: Name) -> None:
    """List the versions of a model, newest first."""
    with publishing_client(target) as client:
        found = client.models.versions(name)
    if target.json:
        output.as_json(found)
        return
    rows = [
        {
            **one,
            "aliases": ", ".join(one["aliases"]),
            "metrics": ", ".join(f"{key} {value:g}" for key, value in one["metrics"].items()),
        }
        for one in found
    ]
    columns = {"version": "VERSION", "aliases": "ALIASES", "metrics": "METRICS"}
    output.table(rows, {**columns, "format": "FORMAT", "created": "CREATED", "note": "NOTE"})


@app.command()
@ANY_SERVER
def alias(
    target: CommandTarget,
    name: Name,
    alias: Annotated[str, typer.Argument(help="Such as production.", metavar="ALIAS")],
    version: Annotated[
        int | None, typer.Argument(help="The new version of the alias.", metavar="VERSION")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the alias.")] = False,
) -> None:
    """Move an alias to a version; running services use it from the next call on."""
    if remove == (version is not None):
        raise typer.BadParameter("Give a version, or --remove.")
    with publishing_client(target) as client:
        if version is None:
            client.models.remove_alias(name, alias)
            done, text = {"removed": alias}, f"Removed the alias {alias} of {name}."
        else:
            done = client.models.alias(name, alias, version)
            text = f"{name}@{alias} is version {version}."
    _done(target, done, text)


@app.command()
@ANY_SERVER
def compare(
    target: CommandTarget,
    name: Name,
    versions: Annotated[
        list[str], typer.Argument(help="Numbers or aliases.", metavar="VERSION VERSION...")
    ],
) -> None:
    """Show the metrics and parameters of versions side by side."""
    with publishing_client(target) as client:
        found = client.models.compare(name, versions)
    if target.json:
        output.as_json(found)
        return
    shown = [str(one["version"]) for one in found["versions"]]
    rows = []
    for row in (*found["metrics"], *found["params"]):
        name = row["name"] if row["same"] else f"* {row['name']}"
        rows.append({"name": name, **dict(zip(shown, row["values"], strict=True))})
    output.table(rows, {"name": "NAME", **{one: f"VERSION {one}" for one in shown}})


@app.command()
@ANY_SERVER
def export(
    target: CommandTarget,
    name: Reference,
    file: Annotated[
        Path | None, typer.Argument(help="The zip to write; default: NAME-VERSION.zip.")
    ] = None,
    form: Annotated[
        str, typer.Option("--as", help="mlflow for an MLflow model folder, crate for an RO-Crate.")
    ] = "mlflow",
) -> None:
    """Write a version to a zip that MLflow reads, or to an RO-Crate."""
    from easymlnb.contract.model_names import split_reference

    model, ref = split_reference(name)
    path = file or Path(f"{model.replace('/', '-')}-{ref}.zip")
    with publishing_client(target) as client:
        client.models.export(model, ref, path, format=form)
    _done(target, {"file": str(path)}, f"Wrote {path}.")


@app.command("import")
@ANY_SERVER
def import_model(
    target: CommandTarget,
    path: Annotated[
        Path, typer.Argument(help="An MLflow model folder, an .onnx file, or other files.")
    ],
    name: Name,
    note: Annotated[str, typer.Option(help="What is special about this version.")] = "",
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Let your services open it although it can run code."),
    ] = False,
) -> None:
    """Add files as a new version of a model."""
    from easymlnb.model_store.importing import import_files

    with publishing_client(target) as client:
        added = import_files(client, path, name, note=note)
        number = added["version"]
        if trust and added["runs_code"]:
            added = client.models.trust(name, number)
    _done(target, added, f"Added version {number} of {added['model']} ({added['format']}).")
    if added["runs_code"] and not added["own"] and not target.json:
        output.message(
            "Opening it can run code, so no service opens it. If you know where it comes from: "
            f"easymlnb models trust {name}@{number}"
        )


@app.command()
@ANY_SERVER
def trust(target: CommandTarget, name: Reference, yes: Yes = False) -> None:
    """Let your services open an uploaded version whose format can run code."""
    from easymlnb.contract.model_names import split_reference

    model, ref = split_reference(name)
    question = f"Opening {name} can run any code in your services. Do you know where it comes from?"
    _confirm(target, yes, question)
    with publishing_client(target) as client:
        found = client.models.trust(model, ref)
    _done(target, found, f"Your services open version {found['version']} of {found['model']}.")


@app.command()
@ANY_SERVER
def delete(
    target: CommandTarget,
    name: Annotated[
        str, typer.Argument(help="A model, or one version of it.", metavar="NAME[@VERSION]")
    ],
    yes: Yes = False,
) -> None:
    """Delete a model with all its versions, or one version."""
    from easymlnb.contract.model_names import split_reference

    what = name if "@" in name else f"{name} and all its versions"
    _confirm(target, yes, f"Delete {what}?")
    with publishing_client(target) as client:
        if "@" in name:
            client.models.delete_version(*split_reference(name))
        else:
            client.models.delete(name)
    _done(target, {"deleted": name}, f"Deleted {what}.")


def _confirm(target: CommandTarget, yes: bool, question: str) -> None:
    if not yes and not target.json and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)


def _done(target: CommandTarget, found: dict[str, Any], text: str) -> None:
    if target.json:
        output.as_json(found)
    else:
        output.message(text)


def _aliases(aliases: dict[str, int]) -> str:
    return ", ".join(f"{alias}={number}" for alias, number in aliases.items())
