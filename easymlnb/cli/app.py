"""The commands. Heavy modules are imported inside the command that needs them."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from easymlnb.cli import (
    batch,
    check,
    compare,
    credentials,
    deepaas,
    events,
    export,
    export_manifests,
    from_mlflow,
    hub,
    jobs,
    listing,
    maintenance,
    metadata,
    models,
    output,
    ownership,
    placement,
    schedules,
    serve_bundle,
    template_models,
    traffic,
    usage,
    webhooks,
)
from easymlnb.cli.clients import client_of
from easymlnb.cli.errors import ErrorReportingGroup
from easymlnb.cli.options import ANY_SERVER, ONE_SERVER, CommandTarget, Exclude, Include
from easymlnb.cli.traffic import Name
from easymlnb.contract.replacing import AUTO

app = typer.Typer(
    name="easymlnb",
    cls=ErrorReportingGroup,
    help="Serve, publish and call notebook functions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(placement.app, name="placement")
app.add_typer(hub.app, name="hub")
app.add_typer(credentials.app, name="credentials")
export_manifests.register(export.app)
app.add_typer(export.app, name="export")
app.add_typer(jobs.app, name="jobs")
app.command("batch")(batch.batch)
app.command("sweep")(batch.sweep)
app.add_typer(models.app, name="models")
app.command("from-mlflow")(from_mlflow.from_mlflow)
template_models.register(models.app)
app.add_typer(metadata.app, name="metadata")
app.add_typer(schedules.app, name="schedules")
app.add_typer(webhooks.app, name="webhooks")
for part in (listing, maintenance, ownership, serve_bundle, traffic, usage, deepaas, events):
    part.register(app)

VersionedName = Annotated[str, typer.Argument(help="Such as roll@3.", metavar="NAME@VERSION")]
Names = Annotated[
    list[str] | None, typer.Option("--name", help="Publish only this service; may be repeated.")
]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Serve, publish and call notebook functions."""
    if version:
        from easymlnb._version import __version__

        typer.echo(f"easymlnb {__version__}")
        raise typer.Exit


@app.command()
@ANY_SERVER
def call(
    target: CommandTarget,
    name: Name,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            help="Parameters as key=value, or key=@file to send a file.", metavar="KEY=VALUE..."
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result to this file.")
    ] = None,
    accept: Annotated[str, typer.Option(help="Media type of the result, such as text/csv.")] = "",
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Timeout in seconds.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Call the author's live kernel.")] = False,
    priority: Annotated[
        str, typer.Option(help="'batch' marks the call as low priority.", metavar="PRIORITY")
    ] = "",
    idempotency_key: Annotated[
        str, typer.Option(help="Calls with the same key and input run only once.", metavar="KEY")
    ] = "",
    version: Annotated[
        str, typer.Option(help="Number or alias of the version to call.", metavar="VERSION")
    ] = "",
) -> None:
    """Call a service and print its result. NAME@VERSION calls one version."""
    from easymlnb.cli.call import CallCommand, call_and_show
    from easymlnb.cli.versions import split_version

    name, at = split_version(name)
    options = {
        "timeout": timeout,
        "live": live,
        "priority": priority,
        "idempotency_key": idempotency_key,
        "version": version or at,
    }
    command = CallCommand(save=save, accept=accept, options=options, json=target.json)
    with client_of(name, target) as client:
        call_and_show(client, name, values or [], command)


@app.command()
@ANY_SERVER
def publish(
    target: CommandTarget,
    notebook: Annotated[Path, typer.Argument(help="Path of the notebook.")],
    name: Names = None,
    include: Include = None,
    exclude: Exclude = None,
    requirements: Annotated[
        Path | None, typer.Option(help="Path of a requirements.txt with the packages.")
    ] = None,
    replace: Annotated[
        str,
        typer.Option(
            help="How to replace the previous version: auto, in_place or wait.", metavar="HOW"
        ),
    ] = AUTO,
    locked: Annotated[
        bool,
        typer.Option(
            "--locked", help="Lock the installed packages: workers use the same versions."
        ),
    ] = False,
    stage: Annotated[
        bool, typer.Option("--stage", help="Give the new version no traffic.")
    ] = False,
    force: traffic.Force = False,
    owner: Annotated[
        str, typer.Option(help="A group of yours, or a user whose services you maintain.")
    ] = "",
    gate: Annotated[
        bool, typer.Option("--gate", help="Require the quality gate, here and on the server.")
    ] = False,
    advisories: check.Advisories = None,
) -> None:
    """Publish a notebook as a new version of its services."""
    from easymlnb.cli.publish import PublishOptions, publish_and_show

    lists = tuple(name or ()), tuple(include or ()), tuple(exclude or ())
    options = PublishOptions(
        *lists,
        requirements,
        replace,
        locked,
        stage,
        force,
        owner,
        gate or bool(advisories),
        advisories,
    )
    publish_and_show(notebook, options, target)


@app.command()
@ANY_SERVER
def logs(
    target: CommandTarget,
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing new calls.")] = False,
) -> None:
    """Show a service's recent calls with their output and tracebacks."""
    from easymlnb.cli.logs import show_log

    with client_of(name, target) as client:
        show_log(client, name, follow=follow, json=target.json)


@app.command()
@ANY_SERVER
def remove(
    target: CommandTarget,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove a published service and all its versions."""
    with client_of(name, target) as client:
        if client.admin.service(name)["version"] is None:
            raise ValueError(
                f"{name} is a live service. To remove it, close its notebook or remove its "
                "decorator there."
            )
        if not yes and not target.json and sys.stdin.isatty():
            typer.confirm(f"Remove {name} and all its versions?", abort=True, err=True)
        client.admin.remove(name)
    if target.json:
        output.as_json({"removed": name})
    else:
        output.message(f"Removed {name}.")


@app.command()
@ONE_SERVER
def share(
    target: CommandTarget,
    name: Name,
    user: Annotated[
        list[str] | None, typer.Option(help="Give this user access; may be repeated.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Give this group access; may be repeated.")
    ] = None,
    everyone: Annotated[
        bool, typer.Option("--everyone", help="Give all users of the Hub access.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Give everyone access, without a login.")
    ] = False,
    nobody: Annotated[bool, typer.Option("--nobody", help="Remove all access of others.")] = False,
) -> None:
    """Show or set the access to a service on the Hub's shared service."""
    from easymlnb.publishing import sharing

    setting: dict[str, Any] = {"users": user, "groups": group}
    setting |= {"everyone": everyone, "public": public}
    given = any(setting.values())
    if nobody and given:
        raise typer.BadParameter(
            "--nobody cannot be combined with users, groups, --everyone or --public."
        )
    access = sharing.share(
        name, url=target.url, token=target.token, **(setting if given or nobody else {})
    )
    if target.json:
        output.as_json({"service": access.service, **access.to_dict(), "app": access.app})
    else:
        output.line(repr(access))


@app.command(context_settings={"ignore_unknown_options": True})
def serve(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Notebooks to publish after the start; other --options are passed to Jupyter.",
            metavar="NOTEBOOK...",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; default: 8888 or the next free port.")
    ] = None,
    ip: Annotated[
        str | None, typer.Option(help="IP address to listen on; default: localhost.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="The server's token; other accounts on this machine can read it."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token; default: EASYMLNB_TOKEN, else a new random one."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the catalog in a browser.")] = False,
) -> None:
    """Start a server on this machine and publish notebooks on it."""
    from easymlnb.cli.serve import ServeOptions, serve_and_publish, server_token

    arguments = notebooks or []
    options = ServeOptions(port, ip, server_token(token, token_file, arguments), browser)
    serve_and_publish(options, arguments)


@app.command()
@ONE_SERVER
def doctor(
    target: CommandTarget,
    hub: Annotated[
        bool,
        typer.Option(
            "--hub", help="Check this server's JupyterHub, or its shared service at --url."
        ),
    ] = False,
) -> None:
    """Check this installation and suggest fixes."""
    from easymlnb.cli import doctor_hub
    from easymlnb.cli.doctor import examine, show

    if not hub:
        findings = examine(target.url, target.token)
    elif target.url is not None:
        findings = doctor_hub.examine_service(target.url, target.token or "")
    else:
        found = placement.placements_of(target)
        findings = [*doctor_hub.examine(), *doctor_hub.placements(found)]
    show(findings, json=target.json)


@app.command()
@ANY_SERVER
def provenance(
    target: CommandTarget,
    service: Annotated[
        str,
        typer.Argument(
            help="Such as roll@3; default: the current version.", metavar="NAME@VERSION"
        ),
    ],
    crate: Annotated[
        Path | None, typer.Option(help="Write the version as an RO-Crate to this zip file.")
    ] = None,
) -> None:
    """Show who published a version, when, and from what."""
    from easymlnb.cli import versions

    name, version = versions.split_version(service)
    with client_of(name, target) as client:
        version = versions.version_or_current(client, name, version)
        if crate is not None:
            versions.save_crate(client, name, version, crate)
            return
        found = client.admin.provenance(name, version)
    if target.json:
        output.as_json(found)
    else:
        versions.show_provenance(found)


@app.command()
@ANY_SERVER
def diff(
    target: CommandTarget,
    name: Name,
    before: Annotated[str, typer.Argument(help="A version.", metavar="VERSION")],
    after: Annotated[
        str | None, typer.Argument(help="Another version; default: the one before.", metavar="TO")
    ] = None,
) -> None:
    """Show how two versions of a service differ: cells, files and packages."""
    from easymlnb.cli import versions

    with client_of(name, target) as client:
        found = client.admin.version_diff(name, before, after)
    if target.json:
        output.as_json(found)
    else:
        versions.show_diff(found)


@app.command()
@ANY_SERVER
def checkout(
    target: CommandTarget,
    service: VersionedName,
    folder: Annotated[
        Path | None, typer.Argument(help="A new or empty folder; default: NAME-VERSION.")
    ] = None,
) -> None:
    """Write the notebook, files and packages of a version to a folder."""
    from easymlnb.cli import versions

    name, version = versions.split_version(service, required=True)
    with client_of(name, target) as client:
        versions.checkout(client, name, version, folder, target.json)


for command in (check.check, compare.compare, compare.flags):
    app.command()(command)
