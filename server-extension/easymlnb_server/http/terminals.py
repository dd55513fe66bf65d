"""Terminals of a server on a Hub: put the environment's programs on the PATH."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHELLS = ("bash", "dash", "ksh", "sh", "zsh")
"""Shells that understand what is said to them below."""


def command(shell: list[str], folder: str) -> list[str]:
    """Return how to start a terminal's shell so that programs in ``folder`` are found, too.

    Jupyter starts a login shell, which on many systems sets ``PATH`` anew. What it finds by that
    goes first.
    """
    if len(shell) != 2 or shell[1] != "-l" or Path(shell[0]).name not in SHELLS:
        return shell
    path, name = shlex.quote(folder), shlex.quote(shell[0])
    return [*shell, "-c", f'PATH="$PATH":{path}; export PATH; exec {name}']


def keep_path(settings: Mapping[str, Any]) -> None:
    """Have a server's terminals find what is installed where the server is."""
    manager = settings.get("terminal_manager")
    if manager is not None:
        manager.shell_command = command(
            list(manager.shell_command), str(Path(sys.executable).parent)
        )
