"""``easymlnb placement``: nodes of a Hub, what runs on them, and kernels in JupyterLab that do."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.options import ONE_SERVER, CommandTarget, with_target

app = typer.Typer(help="Manage kernels and workers on a JupyterHub's nodes.", no_args_is_help=True)

PROVISIONER = "easymlnb-hub"
"""Entry point of the kernel provisioner that starts kernels on nodes."""


def placements_of(target: CommandTarget) -> list[dict[str, Any]]:
    """Return the placements of a server, with their nodes and what runs there."""
    from easymlnb.client import connect

    with connect(target.url, target.token) as client:
        return client.admin.placements()


@app.command("list")
@ONE_SERVER
def list_placements(target: CommandTarget) -> None:
    """List the placements, their nodes, and what runs on each."""
    found = placements_of(target)
    if target.json:
        output.as_json(found)
        return
    if not found:
        output.message(
            "This server has no placements. Its administrator can add them with "
            "c.EasyMLNB.placements."
        )
        return
    users = {placement.get("user", "") for placement in found}
    rows = [
        {"user": placement.get("user", ""), **row}
        for placement in found
        for row in _rows(placement)
    ]
    output.table(
        rows,
        {
            # Administrators of a shared service see the placements of all users.
            **({"user": "USER"} if len(users) > 1 else {}),
            "name": "PLACEMENT",
            "node": "NODE",
            "state": "STATE",
            "kernel": "RUNS",
            "memory": "MEMORY",
        },
    )


def _rows(placement: dict[str, Any]) -> list[dict[str, Any]]:
    from easymlnb.contract import units

    rows = []
    for node in placement["nodes"]:
        start = {"name": placement["name"], "node": node["name"], "state": node["state"]}
        kernels: list[dict[str, Any]] = node["kernels"] or [{}]
        for kernel in kernels:
            what = "worker" if kernel.get("worker") else "kernel"
            runs = f"{what} {kernel.get('label') or kernel['kernel']}" if kernel else None
            rows.append(
                {**start, "kernel": runs, "memory": units.format_size(kernel.get("memory", 0))}
            )
    return rows or [{"name": placement["name"], "state": "no running nodes"}]


@app.command()
@with_target("url", "token")
def install(
    target: CommandTarget,
    name: Annotated[str, typer.Argument(help="Name of the placement.", metavar="NAME")],
    title: Annotated[str, typer.Option(help="Display name in JupyterLab's launcher.")] = "",
    prefix: Annotated[
        Path | None, typer.Option(help="Install for this environment instead of the current user.")
    ] = None,
) -> None:
    """Add a placement to the kernels in JupyterLab."""
    found = {placement["name"]: placement for placement in placements_of(target)}
    if name not in found:
        names = ", ".join(found) or "none"
        raise ValueError(
            f"There is no placement named {name!r} on this server. Its placements: {names}."
        )
    folder = write(name, found[name]["profile"], title, found[name].get("proxy", ""), prefix)
    output.message(f"Installed {folder}. Reload JupyterLab to see the kernel in the launcher.")


def write(name: str, profile: dict[str, Any], title: str, proxy: str, prefix: Path | None) -> Path:
    """Write the kernelspec and return its folder."""
    from jupyter_core.paths import jupyter_data_dir

    shown = title or profile.get("title") or f"Python 3 ({name.upper() if len(name) < 4 else name})"
    base = prefix / "share/jupyter" if prefix is not None else Path(jupyter_data_dir())
    folder = base / "kernels" / f"easymlnb-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    config = {"placement": name, "profile": profile, **({"proxy": proxy} if proxy else {})}
    content = {
        # The node has the kernel's own command; this one is for tools that require a command.
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": shown,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {
            "debugger": True,
            "kernel_provisioner": {"provisioner_name": PROVISIONER, "config": config},
        },
    }
    (folder / "kernel.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder
