"""``easymlnb backup``, ``restore`` and ``gc``: run by the server's package on its machine."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

MODULE = "easymlnb_server.maintenance"

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup's file.")]
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="The server's folder; default: that of its configuration."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="The server's configuration file, besides those of Jupyter."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True}


def register(app: typer.Typer) -> None:
    """Add the commands; they pass options such as ``--EasyMLNB.database_url`` on."""
    for command in (backup, restore, gc):
        app.command(context_settings=SETTINGS)(command)


def backup(
    context: typer.Context,
    file: File,
    state_dir: StateDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Save the database and all files of a server, also while it runs."""
    _run(context, ["backup", str(file)], state_dir, config, json=json)


def restore(
    context: typer.Context,
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace existing data.")] = False,
    state_dir: StateDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Restore a backup for a stopped server, into either kind of database."""
    command = ["restore", str(file), *(["--force"] if force else [])]
    _run(context, command, state_dir, config, json=json)


def gc(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Remove the listed bundles and files.")
    ] = False,
    older: Annotated[
        str, typer.Option(help="Only those that have not changed for this time, such as 2h.")
    ] = "1d",
    state_dir: StateDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List bundles and files that nothing needs, with their sizes; --yes removes them."""
    command = ["gc", "--older", older, *(["--yes"] if yes else [])]
    _run(context, command, state_dir, config, json=json)


def _run(
    context: typer.Context,
    command: list[str],
    state_dir: Path | None,
    config: Path | None,
    *,
    json: bool,
) -> NoReturn:
    options = [] if state_dir is None else ["--state-dir", str(state_dir.absolute())]
    options += [] if config is None else ["--config", str(config.absolute())]
    options += ["--json"] if json else []
    # -P: a file of the package's name in this folder must not be taken for the package.
    program = [sys.executable, "-P", "-m", MODULE, *options, *command, *context.args]
    os.execv(sys.executable, program)
