"""``easymlnb credentials``: what ``ml.credential`` returns in published code."""

import sys
from typing import Annotated

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import client_of
from easymlnb.cli.options import ANY_SERVER, CommandTarget

app = typer.Typer(help="Set passwords and tokens that published code uses.", no_args_is_help=True)

Service = Annotated[str, typer.Argument(help="The service's name.", metavar="SERVICE")]
Name = Annotated[
    str, typer.Argument(help="The credential's name in ml.credential(...).", metavar="NAME")
]


@app.command("set")
@ANY_SERVER
def set_credential(target: CommandTarget, service: Service, name: Name) -> None:
    """Set a credential of a service; the value is read from standard input or a prompt."""
    value = read_value(name)
    with client_of(service, target) as client:
        found = client.admin.set_credential(service, name, value)
    if target.json:
        output.as_json(found)
    else:
        output.message(f"Set {name} of {service}. Running workers have the new value.")


@app.command("list")
@ANY_SERVER
def list_credentials(target: CommandTarget, service: Service) -> None:
    """List the credentials of a service, without their values."""
    with client_of(service, target) as client:
        found = client.admin.credentials(service)
    if target.json:
        output.as_json(found)
    elif not found:
        output.message(f"No credentials yet. Set one: easymlnb credentials set {service} NAME")
    else:
        columns = {"name": "NAME", "updated": "SET", "updated_by": "BY", "readable": "READABLE"}
        output.table(found, columns)


@app.command("remove")
@ANY_SERVER
def remove_credential(target: CommandTarget, service: Service, name: Name) -> None:
    """Remove a credential of a service."""
    with client_of(service, target) as client:
        client.admin.remove_credential(service, name)
    if target.json:
        output.as_json({"removed": name})
    else:
        output.message(f"Removed {name} of {service}.")


def read_value(name: str) -> str:
    """Return a value from standard input, without its last line end, or from a hidden prompt.

    There is no option for it: other accounts can read a command line.
    """
    if sys.stdin.isatty():
        value: str = typer.prompt(
            f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True
        )
        return value
    text = sys.stdin.read()
    return text[:-1].removesuffix("\r") if text.endswith("\n") else text
