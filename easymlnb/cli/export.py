"""``easymlnb export``: container images and manifests for clusters."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from easymlnb.cli import output
from easymlnb.cli.options import ANY_SERVER, CommandTarget

if TYPE_CHECKING:
    from easymlnb.exporting.models import ExportedBundle

app = typer.Typer(
    help="Create a container image of a bundle, and manifests for clusters.", no_args_is_help=True
)

Source = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE|NAME@VERSION",
        help="A bundle file, a notebook, or a version such as roll@3.",
    ),
]


def load(source: str, target: CommandTarget) -> "ExportedBundle":
    """Return the bundle of a command."""
    from easymlnb.cli.clients import client_of
    from easymlnb.cli.versions import split_version, version_or_current
    from easymlnb.exporting.source import from_file, from_server, is_file

    if is_file(source):
        return from_file(source)
    name, version = split_version(source)
    with client_of(name, target) as client:
        return from_server(client, name, version_or_current(client, name, version))


@app.command()
@ANY_SERVER
def image(
    target: CommandTarget,
    source: Source,
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new or empty folder; default: NAME-image."),
    ] = None,
    tag: Annotated[str, typer.Option(help="Name of the image; default: NAME:VERSION.")] = "",
    base: Annotated[
        str, typer.Option(help="Image with Python to start from; default: python:VERSION-slim.")
    ] = "",
    wheels: Annotated[
        bool, typer.Option("--wheels", help="Include all packages: the build needs no index.")
    ] = False,
    unlocked: Annotated[
        bool,
        typer.Option("--unlocked", help="Accept a bundle without a locked environment."),
    ] = False,
    debugger: Annotated[
        bool, typer.Option("--debugger", help="Include debugpy, which is left out otherwise.")
    ] = False,
    allow_build: Annotated[
        bool,
        typer.Option(
            "--allow-build",
            help="Let packages without a wheel run their build on this machine.",
        ),
    ] = False,
    build: Annotated[
        bool, typer.Option("--build", help="Build the image with buildah, podman or docker.")
    ] = False,
) -> None:
    """Write the build context of an image that serves a bundle, and build it."""
    from easymlnb.exporting import image as images
    from easymlnb.exporting.names import check_image, dns_label
    from easymlnb.exporting.packages import PackageOptions

    exported = load(source, target)
    name = dns_label(exported.title)
    tag = check_image(tag or f"{name}:{exported.tag}")
    options = images.ImageOptions(
        base=check_image(base) if base else "",
        wheels=wheels,
        packages=PackageOptions(unlocked=unlocked, debugger=debugger, allow_build=allow_build),
    )
    made = images.write_context(exported, folder or Path(f"{name}-image"), options)
    if build:
        images.build(tag, made.folder)
    if target.json:
        output.as_json({**asdict(made), "tag": tag, "built": build, "bundle": exported.bundle.id})
        return
    output.line(f"{made.folder}: the build context of {tag}, with {made.packages} packages")
    if not build:
        output.message(f"Build it: {shlex.join(images.build_command(tag, made.folder))}")
    output.message(
        f"Run it: docker run --publish 8080:8080 --env EASYMLNB_TOKEN {tag}\n"
        "The token is the one of the variable EASYMLNB_TOKEN here; callers send it."
    )
