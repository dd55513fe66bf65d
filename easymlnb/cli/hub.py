"""``easymlnb hub``: set up and manage the shared service of a JupyterHub."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import publishing_client
from easymlnb.cli.options import CommandTarget, with_target
from easymlnb.contract import hub_config

app = typer.Typer(
    help="Set up and manage the shared service of a JupyterHub.", no_args_is_help=True
)

MODULE = "easymlnb_server.hub.shared_service"
PORT = 10180
BLOCK = """\
# easymlnb: the shared service of all users, at {public}/services/{name}/
c.JupyterHub.services.append(
    {{
        "name": "{name}",
        "url": "http://{address}:{port}",
        "command": {command},
        "oauth_no_confirm": True,
{environment}    }}
)
# The service's permissions: start and stop users' servers, which run the workers; access them
# with users' tokens, created for this purpose; read users and their groups.
c.JupyterHub.load_roles.append(
    {role}
)
# All users can log in to the service. The authors decide who can call their services.
c.JupyterHub.load_roles.append(
    {users}
)
# So can their servers; "servers!user" and "access:servers!user" are for their own nodes.
{tokens}
# Workers run in named servers. The Hub responds to a start immediately and sends events.
c.JupyterHub.allow_named_servers = True
c.JupyterHub.tornado_settings.update({{"slow_spawn_timeout": 0}})
{url}"""
ENVIRONMENT = """\
        # JupyterHub 5 does not tell services its public URL.
        "environment": {{"{variable}": "{public}"}},
"""
URL = """\
# The URL at which users and nodes reach the Hub's proxy.
{comment}c.JupyterHub.public_url = "{public}"
"""


@dataclass(frozen=True, slots=True)
class HubOptions:
    """Folder, settings and address of the service, and the Hub's URL."""

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
        environment = ENVIRONMENT.format(variable=hub_config.HUB_URL, public=public)
        return BLOCK.format(
            name=hub_config.SERVICE,
            address=self.address,
            port=self.port,
            command=hub_config.listed(tuple(command)),
            role=hub_config.ROLE,
            users=hub_config.USERS,
            tokens=hub_config.TOKENS,
            public=public,
            environment=environment if self.public else "",
            url=URL.format(public=public, comment="" if self.public else "# "),
        )


Folder = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", help="Folder for all published services; default: next to the Hub's folder."
    ),
]
Settings = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Additional configuration file, besides those in Jupyter's folders."
    ),
]


@app.command()
def config(
    state_dir: Folder = None,
    settings: Settings = None,
    public_url: Annotated[
        str, typer.Option(help="URL at which users and nodes reach the Hub.")
    ] = "",
    port: Annotated[int, typer.Option(help="Port of the service.")] = PORT,
    ip: Annotated[str, typer.Option(help="IP address of the service.")] = "127.0.0.1",
) -> None:
    """Print what to add to jupyterhub_config.py."""
    output.line(HubOptions(state_dir, settings, ip, port, public_url).block())
    if settings is not None and not settings.is_file():
        output.message(
            f"Create {settings.absolute()} first; an empty file is enough. Without it the "
            "service fails to start, which stops the Hub."
        )
    output.message("Before you restart the Hub, run: easymlnb hub check jupyterhub_config.py")


@app.command()
@with_target("json")
def check(
    target: CommandTarget,
    hub_config: Annotated[
        Path, typer.Argument(metavar="FILE", help="The Hub's configuration file; it is executed.")
    ] = Path("jupyterhub_config.py"),
) -> None:
    """Check whether the Hub and the service would start; run it on the Hub's machine."""
    from easymlnb.cli.doctor import show
    from easymlnb.cli.hub_check import examine

    show(examine(hub_config.absolute()), json=target.json)


@app.command()
@with_target("url", "token")
def transfer(
    target: CommandTarget,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Current owner of the services.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="New owner, a user of the Hub.")],
) -> None:
    """Transfer all services of a user to another, for example after a user was renamed."""
    with publishing_client(target) as client:
        moved = client.admin.transfer_services(old, new)
    for before, after in moved.items():
        output.line(f"{before} is now {after}")
    if not moved:
        output.message(f"{old} had no services; another user can now use the name.")


@app.command()
@with_target("url", "token", "json")
def ownerless(target: CommandTarget) -> None:
    """List services whose owner is no longer on the Hub, or the user who runs their workers."""
    with publishing_client(target) as client:
        services = client.admin.ownerless()
    if target.json:
        output.as_json(services)
    elif not services:
        output.message("Every service has an owner who is on the Hub.")
    else:
        rows = [{**one, "gone": ", ".join(one["gone"])} for one in services]
        columns = {"name": "NAME", "owner": "OWNER", "account": "WORKERS RUN AS", "gone": "GONE"}
        output.table(rows, columns)
        output.message("To give one to another owner: easymlnb transfer NAME --user USER")


@app.command("remove-user")
@with_target("url", "token")
def remove_user(
    target: CommandTarget,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the former user.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove all services of a user, and the user's access to other services."""
    if not yes:
        typer.confirm(f"Remove all services of {name} and all their versions?", abort=True)
    with publishing_client(target) as client:
        removed = client.admin.remove_user(name)
    for service in removed:
        output.line(f"{service} removed")
    output.message(f"Another user can now use the name {name}.")


@app.command(context_settings={"ignore_unknown_options": True})
def serve(
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of Jupyter and easymlnb.", metavar="OPTION")
    ] = None,
    state_dir: Folder = None,
    settings: Settings = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the settings and report problems.")
    ] = False,
) -> None:
    """Run the shared service; the Hub starts this command."""
    file = [] if settings is None else [f"--config={settings.absolute()}"]
    folder = [] if state_dir is None else [f"--EasyMLNB.state_dir={state_dir.absolute()}"]
    # -P: a file of the package's name in the Hub's folder must not be taken for the package.
    command = [sys.executable, "-P", "-m", MODULE, *folder, *file]
    command += [*(["--check"] if check else []), *(options or [])]
    os.execv(sys.executable, command)
