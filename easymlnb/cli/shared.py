"""``easymlnb hub``: the service that all users of a JupyterHub share."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from easymlnb.cli import output
from easymlnb.contract import hubs

app = typer.Typer(help="One service for all users of a JupyterHub.", no_args_is_help=True)

MODULE = "easymlnb_server.shared"
PORT = 10180
BLOCK = """\
# easymlnb: the service that all users share, at {public}/services/{name}/
c.JupyterHub.services.append(
    {{
        "name": "{name}",
        "url": "http://{address}:{port}",
        "command": {command},
        "oauth_no_confirm": True,
    }}
)
# What it may do: start and stop users' servers, which run their workers; enter them with tokens
# of their users, made for that; know groups.
c.JupyterHub.load_roles.append(
    {role}
)
# Every user may log in there; who may call which service is said by the services' authors.
c.JupyterHub.load_roles.append(
    {users}
)
# So may their servers; "servers!user" and "access:servers!user" are for nodes of their own.
{tokens}
# Workers run in named servers. A start is answered at once, and its progress told by events.
c.JupyterHub.allow_named_servers = True
c.JupyterHub.tornado_settings.update({{"slow_spawn_timeout": 0}})
{url}"""
URL = """\
# How everybody, nodes too, reaches the Hub's proxy.
{comment}c.JupyterHub.public_url = "{public}"
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service runs: its folder and settings, its address, and the one of the Hub."""

    folder: Path | None = None
    settings: Path | None = None
    address: str = "127.0.0.1"
    port: int = PORT
    public: str = ""

    def block(self) -> str:
        """Return what to add to ``jupyterhub_config.py``."""
        command = [str(Path(sys.executable).with_name("easymlnb")), "hub", "serve"]
        if self.folder is not None:
            command += ["--state-dir", str(self.folder.absolute())]
        if self.settings is not None:
            command += ["--config", str(self.settings.absolute())]
        public = self.public.rstrip("/") or "https://hub.example.org"
        return BLOCK.format(
            name=hubs.SERVICE,
            address=self.address,
            port=self.port,
            command=hubs.listed(tuple(command)),
            role=hubs.ROLE,
            users=hubs.USERS,
            tokens=hubs.TOKENS,
            public=public,
            url=URL.format(public=public, comment="" if self.public else "# "),
        )


Folder = Annotated[
    Path | None,
    typer.Option("--state-dir", help="Folder of all that is published; default: beside the Hub's."),
]
Settings = Annotated[
    Path | None,
    typer.Option("--config", help="File with more settings, beside those of Jupyter's folders."),
]


@app.command()
def config(
    state_dir: Folder = None,
    settings: Settings = None,
    public_url: Annotated[
        str, typer.Option(help="The Hub's address as everybody reaches it, nodes too.")
    ] = "",
    port: Annotated[int, typer.Option(help="Port that the service listens on.")] = PORT,
    ip: Annotated[str, typer.Option(help="Address that it listens on.")] = "127.0.0.1",
) -> None:
    """Print what to add to jupyterhub_config.py."""
    output.say_out(Place(state_dir, settings, ip, port, public_url).block())
    if settings is not None and not settings.is_file():
        output.say(
            f"Create {settings.absolute()} first: the service does not start without it, and a "
            "service that does not start stops the Hub. An empty file will do."
        )
    output.say("Before the Hub is restarted: easymlnb hub check jupyterhub_config.py")


@app.command()
def check(
    hub_config: Annotated[
        Path, typer.Argument(metavar="FILE", help="The Hub's settings, which are executed.")
    ] = Path("jupyterhub_config.py"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Say whether the Hub and the service would start; run it where the Hub runs."""
    from easymlnb.cli.doctor import show
    from easymlnb.cli.hubcheck import examine

    findings = examine(hub_config.absolute())
    show(findings, json=json)
    if any(finding.bad for finding in findings):
        raise typer.Exit(1)


@app.command(context_settings={"ignore_unknown_options": True})
def serve(
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of Jupyter and easymlnb.", metavar="OPTION")
    ] = None,
    state_dir: Folder = None,
    settings: Settings = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look at the settings only, and say what is wrong.")
    ] = False,
) -> None:
    """Run the service; the Hub does that, as its configuration says."""
    file = [] if settings is None else [f"--config={settings.absolute()}"]
    folder = [] if state_dir is None else [f"--EasyMLNB.state_dir={state_dir.absolute()}"]
    # -P: a file of the package's name in the Hub's folder must not be taken for the package.
    command = [sys.executable, "-P", "-m", MODULE, *folder, *file]
    command += [*(["--check"] if check else []), *(options or [])]
    os.execv(sys.executable, command)
