"""``easymlnb versions|traffic|promote|rollback``: which versions answer the calls of a service."""

import math
from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import client_of
from easymlnb.cli.options import ANY_SERVER, CommandTarget

Name = Annotated[str, typer.Argument(help="The service's name.", metavar="NAME")]
Force = Annotated[
    bool, typer.Option("--force", help="Give traffic to a version that would break callers.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (versions, traffic, promote, rollback):
        app.command()(command)


@ANY_SERVER
def versions(
    target: CommandTarget,
    name: Name,
    delete: Annotated[
        str | None, typer.Option(help="Delete this version.", metavar="VERSION")
    ] = None,
) -> None:
    """List the versions of a service with their traffic, or delete one."""
    with client_of(name, target) as client:
        if delete is not None:
            client.admin.delete_version(name, delete)
        found = client.admin.versions(name)
    if target.json:
        output.as_json(found)
        return
    rows = [
        {
            **one,
            "traffic": f"{one['weight']:g} %" if one["weight"] else "",
            "aliases": ", ".join(one["aliases"]),
            "created": one["created"][:16].replace("T", " "),
        }
        for one in found
    ]
    columns = {"version": "VERSION", "created": "PUBLISHED", "traffic": "TRAFFIC"}
    output.table(rows, columns | {"aliases": "ALIASES"})


@ANY_SERVER
def traffic(
    target: CommandTarget,
    name: Name,
    weights: Annotated[
        list[str] | None,
        typer.Argument(help="Percentages as VERSION=PERCENT.", metavar="VERSION=PERCENT..."),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            help="Set an alias as NAME=VERSION, or remove it with NAME=none; may be repeated.",
            metavar="NAME=VERSION",
        ),
    ] = None,
    sticky: Annotated[
        str | None, typer.Option(help="'caller', 'header:NAME' or 'none'.", metavar="HOW")
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            help="Send copies of calls, as VERSION=SHARE such as 4=0.1, or 'none'.",
            metavar="VERSION=SHARE",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Show or set which versions answer the calls of a service."""
    with client_of(name, target) as client:
        found = client.admin.traffic(name)
        changes: dict[str, Any] = {}
        if weights:
            changes["weights"] = dict(_number(*_pair(one, "4=10")) for one in weights)
        if alias:
            given = dict(_pair(one, "candidate=4") for one in alias)
            aliases = found["aliases"] | {key: _version(to) for key, to in given.items()}
            changes["aliases"] = {key: to for key, to in aliases.items() if to != "none"}
        if sticky is not None:
            changes["sticky"] = None if sticky == "none" else sticky
        if shadow is not None:
            changes["shadow"] = _shadow(shadow)
        if changes:
            found = client.admin.set_traffic(name, changes, if_match=found["etag"], force=force)
    _show(name, found, json=target.json)


@ANY_SERVER
def rollback(target: CommandTarget, name: Name) -> None:
    """Give all calls to the version that had them before."""
    with client_of(name, target) as client:
        found = client.admin.rollback(name)
    _show(name, found, json=target.json)


@ANY_SERVER
def promote(
    target: CommandTarget,
    name: Name,
    version: Annotated[
        str | None, typer.Argument(help="The version's number or alias.", metavar="VERSION")
    ] = None,
    steps: Annotated[
        str, typer.Option(help="Percentages, separated by commas.", metavar="PERCENT,...")
    ] = "5,25,50,100",
    every: Annotated[str, typer.Option(help="Duration of a step.", metavar="TIME")] = "10m",
    abort_if: Annotated[
        list[str] | None,
        typer.Option(
            help="When it goes back, as error_rate_ratio=2, p95_ratio=1.5, memory_ratio=2 or "
            "min_calls=100; may be repeated.",
            metavar="NAME=NUMBER",
        ),
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the promotion and roll back.")
    ] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Pause at the current step.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after a pause.")] = False,
    force: Force = False,
) -> None:
    """Move the calls to a version in steps; without a version, show the latest promotion."""
    with client_of(name, target) as client:
        if version is not None:
            percents = [_number("steps", one)[1] for one in steps.split(",")]
            limits = dict(_limit(one) for one in abort_if or ())
            found = client.admin.promote(
                name, version, steps=percents, every=every, abort_if=limits or None, force=force
            )
        else:
            listed = client.admin.promotions(name)
            if not listed:
                raise ValueError(f"{name} has no promotion. Start one: easymlnb promote NAME 4")
            found = listed[0]
            if cancel:
                found = client.admin.cancel_promotion(name, found["id"])
            elif pause or resume:
                found = client.admin.pause_promotion(name, found["id"], paused=pause)
    if target.json:
        output.as_json(found)
        return
    from easymlnb.publishing.traffic import as_promotion

    output.line(output.clean(repr(as_promotion(name, found))))


def _show(name: str, found: dict[str, Any], *, json: bool) -> None:
    from easymlnb.publishing.traffic import as_traffic

    if json:
        output.as_json(found)
    else:
        output.line(output.clean(repr(as_traffic(name, found))))


def _pair(text: str, example: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise typer.BadParameter(f"{text!r} has no '='. Use, for example, {example}.")
    return key, value


def _number(key: str, text: str) -> tuple[str, float]:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise typer.BadParameter(f"{text!r} is not a number.")
    return key, number


def _limit(text: str) -> tuple[str, float]:
    name, value = _number(*_pair(text, "p95_ratio=1.5"))
    return name, int(value) if value.is_integer() else value


def _version(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _shadow(text: str) -> dict[str, Any] | None:
    if text == "none":
        return None
    version, share = _number(*_pair(text, "4=0.1"))
    return {"version": _version(version), "share": share}
