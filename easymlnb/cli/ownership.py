"""``easymlnb transfer`` and ``maintainers``: owners of services on a shared service."""

from typing import Annotated

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import publishing_client
from easymlnb.cli.options import CommandTarget, with_target

Name = Annotated[str, typer.Argument(help="The service's name.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(transfer)
    app.command()(maintainers)


@with_target("url", "token", "json")
def transfer(
    target: CommandTarget,
    name: Name,
    group: Annotated[str, typer.Option(help="The new owner, a group of yours.")] = "",
    user: Annotated[str, typer.Option(help="The new owner, a user; for administrators.")] = "",
) -> None:
    """Give a service to a group, or as an administrator to a user."""
    if bool(group) == bool(user):
        raise typer.BadParameter("Name the new owner with --group or --user.")
    with publishing_client(target) as client:
        new = client.admin.transfer(name, f"group:{group}" if group else user)
    if target.json:
        output.as_json({"moved": {name: new}})
    else:
        output.line(f"{name} is now {new}")


@with_target("url", "token", "json")
def maintainers(
    target: CommandTarget,
    name: Name,
    user: Annotated[list[str] | None, typer.Option(help="This user; may be repeated.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="This group; may be repeated.")] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Remove all maintainers.")] = False,
) -> None:
    """Show or replace who may publish and manage a service besides its owner."""
    with publishing_client(target) as client:
        if user or group or nobody:
            found = client.admin.set_maintainers(name, users=user or (), groups=group or ())
        else:
            found = client.admin.maintainers(name)
    if target.json:
        output.as_json(found)
        return
    listed = [*found["users"], *(f"group {one}" for one in found["groups"])]
    output.line(f"Maintainers of {name}: {', '.join(listed) or 'none'}")
