"""``easymlnb list``: the services of the server, and a search among them."""

from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.options import ANY_SERVER, CommandTarget


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list")(list_services)


@ANY_SERVER
def list_services(
    target: CommandTarget,
    words: Annotated[
        list[str] | None, typer.Argument(help="Words that must all match.", metavar="WORD...")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    license: Annotated[str, typer.Option(help="A license, such as CC-BY-4.0.")] = "",
    task: Annotated[str, typer.Option(help="A task, such as 'Computer Vision'.")] = "",
    library: Annotated[str, typer.Option(help="A library, such as PyTorch.")] = "",
) -> None:
    """List the services of the server, or those that match."""
    from easymlnb.cli.target import list_services

    query = {"q": " ".join(words or []), "tag": tag, "license": license}
    services = list_services(target, **query, task=task, library=library)
    if target.json:
        output.as_json(services)
    elif not services and any((*query.values(), task, library)):
        output.message("No services match.")
    elif not services:
        output.message("No services yet. Publish one: easymlnb publish NOTEBOOK")
    else:
        _show(services)


def _show(services: list[dict[str, Any]]) -> None:
    columns = {"name": "NAME", "state": "STATE", "version": "VERSION", "title": "TITLE"}
    output.table(services, columns)
    for service in services:
        if service.get("reason"):
            output.message(f"{service['name']}: {service['reason']}")
        if service.get("drift"):
            from easymlnb.cli.versions import drift_sentence

            output.message(f"{service['name']}: {drift_sentence(service['drift'])}")
