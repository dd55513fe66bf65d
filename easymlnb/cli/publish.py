"""``easymlnb publish``: upload a notebook, show the progress, and where it failed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.check import pass_gate
from easymlnb.cli.options import CommandTarget
from easymlnb.contract.environment_lock import LOCKED
from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.quality import convert
from easymlnb.contract.replacing import AUTO, check

if TYPE_CHECKING:
    from easymlnb.client.discovery import Server
    from easymlnb.publishing.addresses import Addresses
    from easymlnb.publishing.bundle import BuiltBundle

WHERE = {"cell", "traceback", "notebook", "quality"}
"""Details of an error about a cell that failed, or about the quality gate."""


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """What to publish, with which files, and how to replace the previous version."""

    names: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    requirements: Path | None = None
    replace: str = AUTO
    locked: bool = False
    stage: bool = False
    force: bool = False
    owner: str = ""
    gate: bool = False
    advisories: Path | None = None


def publish_and_show(notebook: Path, options: PublishOptions, target: CommandTarget) -> None:
    """Publish a notebook and print the result.

    If a cell or an example fails, print where, and exit with 1. Other errors are raised. An
    interrupt cancels publishing and is raised.
    """
    from easymlnb.client import hub
    from easymlnb.publishing.bundle import build_bundle

    check(options.replace)
    # Before the bundle is built: the shared service may reject the token.
    server = hub.publish_target(target.url, target.token, personal=target.personal)
    bundle = build_bundle(
        notebook,
        names=options.names,
        include=options.include,
        exclude=options.exclude,
        requirements=options.requirements,
        environment=LOCKED if options.locked else None,
    )
    for line in bundle.summary():
        output.message(output.clean(line))
    gate = None
    if options.gate:
        gate = pass_gate(notebook, bundle, options.advisories, json=target.json)
    try:
        status = _upload(server, bundle, options, gate)
    except EasyMLNBError as error:
        if not isinstance(error.details, Mapping) or not {*error.details} & WHERE:
            raise
        _show_failure(error, hub.public_url(server), json=target.json)
        raise typer.Exit(1) from error
    if target.json:
        services = [{**one, **asdict(_addresses(one, server))} for one in status["services"]]
        output.as_json({**status, "services": services})
    else:
        _show(status, server)


def _upload(
    server: "Server",
    bundle: "BuiltBundle",
    options: PublishOptions,
    gate: Mapping[str, str] | None,
) -> dict[str, Any]:
    from easymlnb.publishing.bundle_upload import upload_bundle

    drawn: list[str] = []  # texts of the progress bar, which disappears with it
    try:
        with output.progress("Starting") as progress:

            def show(text: str) -> None:
                if progress is None:
                    output.message(text)
                else:
                    progress(-1.0, text)
                    drawn.append(text)

            return upload_bundle(
                server,
                bundle.data,
                names=options.names,
                replace=options.replace,
                stage=options.stage,
                force=options.force,
                owner=options.owner,
                gate=gate,
                on_text=show,
            )
    except KeyboardInterrupt:
        output.message("\n".join(["", *drawn[-1:]]))
        raise


def _show_failure(error: EasyMLNBError, base: str, *, json: bool) -> None:
    from easymlnb.publishing.bundle_upload import describe_failure

    output.message(f"easymlnb: {output.clean(error.message)}\n")
    for text in describe_failure(error.details, base):
        output.message(output.clean(text))
    if json:
        output.as_json(error.to_dict())


def _show(status: Mapping[str, Any], server: "Server") -> None:
    from easymlnb.client import hub
    from easymlnb.publishing.bundle_upload import describe_traffic

    unchanged = bool(status.get("unchanged"))
    same = " (unchanged)" if unchanged else ""
    for service in status["services"]:
        version = service.get("version")
        state = f"version {version}" if version is not None else "starting"
        output.line(f"{service['name']} {state}{same}")
        if note := describe_traffic(service, unchanged=unchanged):
            output.message(output.clean(note))
        for line in _addresses(service, server).lines():
            output.line(line)
    if quality := status.get("quality"):
        output.message(convert(quality).sentence())
    if server.shared:
        output.message(f"On the Hub's shared service: {hub.public_url(server)}")


def _addresses(service: Mapping[str, Any], server: "Server") -> "Addresses":
    from easymlnb.client.operations import listed_name
    from easymlnb.publishing import addresses

    public = bool(service.get("public"))
    return addresses.for_service(server, listed_name(service), public=public)
