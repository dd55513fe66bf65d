"""``easymlnb hub``: the service that all users of a JupyterHub share."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from easymlnb.cli import output
from easymlnb.cli.options import Token, Url
from easymlnb.contract import hubs

app = typer.Typer(help="One service for all users of a JupyterHub.", no_args_is_help=True)

MODULE = "easymlnb_server.shared"
PORT = 10180
SECONDS = 60.0
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
# of their users, made for that; know who users are, and their groups.
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


def _administer(method: str, path: str, url: str | None, token: str | None, body: Any) -> Any:
    """Ask something of the shared service that administrators may."""
    import httpx

    from easymlnb import hub
    from easymlnb.client import network
    from easymlnb.client.wire import checked

    server = hub.server(url, token)
    with httpx.Client(**network.settings(server)) as http, network.translated(server, SECONDS):
        answer = http.request(method, path, json=body, timeout=SECONDS)
    return checked(network.answer(answer, answer.content)).json()


@app.command()
def transfer(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Whose services they are.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The Hub's user who gets them.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Give all services of a user to another, such as after a user was renamed."""
    path = f"hub/users/{quote(old, safe='')}/transfer"
    moved = _administer("POST", path, url, token, {"to": new})["moved"]
    for before, after in moved.items():
        output.say_out(f"{before} is {after} now")
    if not moved:
        output.say(f"{old} had no services; the name is free for another user.")


@app.command("remove-user")
def remove_user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who is gone.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Remove all services of a user, and their name from what is shared with them."""
    if not yes:
        typer.confirm(f"Remove all services of {name}, with all versions?", abort=True)
    removed = _administer("DELETE", f"hub/users/{quote(name, safe='')}", url, token, None)
    for one in removed["removed"]:
        output.say_out(f"{one} removed")
    output.say(f"The name {name} is free for another user.")


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
