"""``easymlnb keys``: create, list and revoke API keys."""

import re
from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import first_client
from easymlnb.cli.options import ANY_SERVER, CommandTarget

KEY_ID = re.compile(r"key_[0-9a-f]{16}")

app = typer.Typer(help="Manage API keys, with which programs call services.", no_args_is_help=True)


@app.command("list")
@ANY_SERVER
def list_keys(
    target: CommandTarget,
    owner: Annotated[
        str, typer.Option("--owner", help="For administrators: a user, or * for all keys.")
    ] = "",
) -> None:
    """List your API keys, newest first."""
    with first_client(target) as client:
        found = client.admin.keys(owner)
    if target.json:
        output.as_json(found)
        return
    if not found:
        output.message("You have no API keys. Create one with 'easymlnb keys create SERVICE'.")
        return
    columns = {
        "id": "ID",
        "state": "STATE",
        "hint": "KEY",
        **({"owner": "OWNER"} if owner else {}),
        "services": "SERVICES",
        "scopes": "SCOPES",
        "expires": "EXPIRES",
        "used": "LAST USED",
        "note": "NOTE",
    }
    output.table(({**key, "hint": f"{key['hint']}..."} for key in found), columns)


@app.command()
@ANY_SERVER
def create(
    target: CommandTarget,
    services: Annotated[
        list[str],
        typer.Argument(help="Services to call; owner/* and * are all.", metavar="SERVICE..."),
    ],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="call, jobs or read; may be repeated.")
    ] = None,
    expires: Annotated[
        str, typer.Option("--expires", help="A date, a duration such as 30d, or never.")
    ] = "90d",
    note: Annotated[str, typer.Option("--note", help="What the key is for.")] = "",
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", help="A limit, such as calls_per_second=10; may be repeated."),
    ] = None,
) -> None:
    """Create an API key, and print it: it is not shown again."""
    limits = _limits(limit or [])
    with first_client(target) as client:
        made = client.admin.create_key(
            services,
            scopes=scope or ["call"],
            expires=None if expires == "never" else expires,
            note=note,
            limits=limits,
        )
    if target.json:
        output.as_json(made)
        return
    output.line(made["key"])
    until = f"until {made['expires']}" if made["expires"] else "until it is revoked"
    output.message(
        f"The key {made['id']} for {', '.join(made['services'])} is valid {until}. Store it now: "
        "it is not shown again."
    )


@app.command()
@ANY_SERVER
def revoke(
    target: CommandTarget,
    ids: Annotated[list[str], typer.Argument(help="IDs of keys.", metavar="ID...")],
) -> None:
    """Revoke API keys; they are refused from the next call on."""
    for id in ids:
        if not KEY_ID.fullmatch(id):
            raise typer.BadParameter(
                f"{id[:40]!r} is not the id of a key: 'easymlnb keys list' shows ids such as "
                "key_0123456789abcdef."
            )
    with first_client(target) as client:
        for id in ids:
            client.admin.revoke_key(id)
            output.message(f"Revoked {id}.")


def _limits(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not equals or not 0 < number < float("inf"):
            raise typer.BadParameter(
                f"invalid limit {text!r}: use a name and a number above 0, such as "
                "calls_per_second=10."
            )
        found[name] = int(number) if number.is_integer() else number
    return found
