"""``easymlnb logs``: show the last calls, and with ``--follow`` new ones as they end."""

import json as jsonlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import typer

from easymlnb.cli import output
from easymlnb.client import Client

FOLLOW_SECONDS = 1.0
"""Time between two requests for new calls."""


def show_log(
    client: Client,
    name: str,
    *,
    follow: bool = False,
    json: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Print the entries of a service's log; following ends with an interrupt or an error."""
    entries = client.admin.log(name)
    if json and not follow:
        output.as_json(entries)
        return
    if not entries and not follow:
        output.message(f"No calls of {name} since the server started.")
    seen = _show(entries, set(), json)
    while follow:
        wait(FOLLOW_SECONDS)
        seen = _show(client.admin.log(name), seen, json)


def _show(entries: Iterable[dict[str, Any]], seen: set[str], json: bool) -> set[str]:
    """Print the new entries, and return the keys of all."""
    now = set()
    for entry in entries:
        key = f"{entry.get('time')} {entry.get('request_id')}"
        now.add(key)
        if key not in seen:
            typer.echo(jsonlib.dumps(entry) if json else text(entry))
    return now


def text(entry: dict[str, Any]) -> str:
    """Return one entry as lines for a terminal."""
    moment = str(entry.get("time", ""))[:19].replace("T", " ")
    status = "stopped" if entry.get("outcome") == "stopped" else entry.get("status")
    head = (
        f"{moment}  {status}  {entry.get('seconds', 0):.3f} s  "
        f"v{entry.get('version')}  {entry.get('request_id')}"
    ).replace("vlive", "live")
    texts = [str(entry.get("log") or ""), str(entry.get("trace") or "")]
    lines = [line for block in texts for line in block.rstrip("\n").splitlines()]
    return output.clean("\n".join([head, *(f"    {line}" for line in lines)]))
