"""The commands. Whatever is heavy is imported inside the command that needs it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from easymlnb.cli import output, placement, shared
from easymlnb.cli.group import Group
from easymlnb.cli.options import AsJson, Here, Token, Url
from easymlnb.contract.replacing import AUTO

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from easymlnb.client import Client

app = typer.Typer(
    name="easymlnb",
    cls=Group,
    help="Serve notebook functions, publish them, call them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(placement.app, name="placement")
app.add_typer(shared.app, name="hub")

Name = Annotated[str, typer.Argument(help="Name of the service.", metavar="NAME")]


def _client_of(
    name: str, url: str | None, token: str | None, here: bool
) -> "AbstractContextManager[Client]":
    from easymlnb.cli.where import client_of

    return client_of(name, url, token, here=here)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Serve notebook functions, publish them, call them."""
    if version:
        from easymlnb._version import __version__

        typer.echo(f"easymlnb {__version__}")
        raise typer.Exit


@app.command("list")
def list_services(
    here: Here = False, url: Url = None, token: Token = None, json: AsJson = False
) -> None:
    """List the services of the server."""
    from easymlnb.cli.where import listed

    found = listed(url, token, here=here)
    if json:
        output.as_json(found)
    elif not found:
        output.say("No services yet. Publish one: easymlnb publish NOTEBOOK")
    else:
        columns = {"name": "NAME", "state": "STATE", "version": "VERSION", "title": "TITLE"}
        output.table(found, columns)
        for service in found:
            if service.get("reason"):
                output.say(f"{service['name']}: {service['reason']}")


@app.command()
def call(
    name: Name,
    values: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, or key=@file to send a file.", metavar="KEY=VALUE..."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result into this file.")
    ] = None,
    accept: Annotated[str, typer.Option(help="Media type wanted, such as text/csv.")] = "",
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds it may take.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Call the author's live kernel.")] = False,
    priority: Annotated[
        str, typer.Option(help="'batch' lets interactive calls go first.", metavar="PRIORITY")
    ] = "",
    idempotency_key: Annotated[
        str, typer.Option(help="The same call under the same key runs once.", metavar="KEY")
    ] = "",
    here: Here = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Call a service and print its result."""
    from easymlnb.cli.calling import Wish, call_and_show

    how = {
        "timeout": timeout,
        "live": live,
        "priority": priority,
        "idempotency_key": idempotency_key,
    }
    wish = Wish(save=save, accept=accept, how=how, json=json)
    with _client_of(name, url, token, here) as client:
        call_and_show(client, name, values or [], wish)


@app.command()
def publish(
    notebook: Annotated[Path, typer.Argument(help="The notebook file.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Publish only this service; may be repeated.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="Take this file or pattern too; may be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave this file or pattern out; may be repeated.")
    ] = None,
    requirements: Annotated[
        Path | None, typer.Option(help="A requirements.txt to take the packages from.")
    ] = None,
    replace: Annotated[
        str,
        typer.Option(
            help="What the former version does meanwhile: auto, in_place or wait.", metavar="HOW"
        ),
    ] = AUTO,
    here: Here = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Freeze a notebook as a new version of its services."""
    from easymlnb.cli.publishing import Choice, publish_and_show

    choice = Choice(
        names=tuple(name or ()),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        requirements=requirements,
        replace=replace,
    )
    publish_and_show(notebook, choice, url=url, token=token, here=here, json=json)


@app.command()
def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new calls.")] = False,
    here: Here = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Show a service's last calls, what they printed and where they failed."""
    from easymlnb.cli.loglines import show_log

    with _client_of(name, url, token, here) as client:
        show_log(client, name, follow=follow, json=json)


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    here: Here = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Remove a published service with all its versions."""
    import sys

    with _client_of(name, url, token, here) as client:
        if client.service(name)["version"] is None:
            raise ValueError(
                f"{name} is live only: it goes when its author removes it or closes the notebook."
            )
        if not yes and not json and sys.stdin.isatty():
            typer.confirm(f"Remove {name} and all its versions?", abort=True, err=True)
        client.remove(name)
    if json:
        output.as_json({"removed": name})
    else:
        output.say(f"Removed {name}.")


@app.command()
def share(
    name: Name,
    user: Annotated[
        list[str] | None, typer.Option(help="Let this user call it; may be repeated.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Let this group call it; may be repeated.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Let all of the Hub.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Also without a login.")] = False,
    nobody: Annotated[bool, typer.Option("--nobody", help="Keep it to yourself.")] = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Say who may call a service of the Hub's shared server; shows it when nobody is named."""
    from easymlnb.cli.sharing import Who, share_and_show

    who = Who(tuple(user or ()), tuple(group or ()), everyone, public, nobody)
    share_and_show(name, who, url=url, token=token, json=json)


@app.command(context_settings={"ignore_unknown_options": True})
def serve(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Notebooks to publish once the server runs; other --options go to Jupyter.",
            metavar="NOTEBOOK...",
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; default: 8888 or the next free.")] = None,
    ip: Annotated[
        str | None, typer.Option(help="Address to listen on; default: localhost.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="Token to ask for, readable by other accounts of the machine."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token; default: EASYMLNB_TOKEN, else a new random one."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the catalogue in a browser.")] = False,
) -> None:
    """Start a server here, and publish notebooks on it."""
    from easymlnb.cli.serving import Settings, serve_and_publish, token_of

    asked = token_of(token, token_file, notebooks or [])
    serve_and_publish(Settings(port=port, ip=ip, token=asked, browser=browser), notebooks or [])


@app.command()
def doctor(
    hub: Annotated[
        bool,
        typer.Option(
            "--hub",
            help="Look at the JupyterHub of this server, or at its shared service at --url.",
        ),
    ] = False,
    url: Url = None,
    token: Token = None,
    json: AsJson = False,
) -> None:
    """Say what is wrong with this installation, and how to mend it."""
    from easymlnb.cli.doctor import examine, show

    if hub:
        from easymlnb.cli import hub as nodes

        if url is not None:
            findings = nodes.examine_service(url, token or "")
        else:
            findings = [*nodes.examine(), *nodes.placements(placement.there(url, token))]
    else:
        findings = examine(url, token)
    show(findings, json=json)
    if any(finding.bad for finding in findings):
        raise typer.Exit(1)
