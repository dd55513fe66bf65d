"""Terminals of a server on a Hub: put the environment's programs on the PATH."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHELLS = ("bash", "dash", "ksh", "sh", "zsh")
"""Shells that understand the command of ``command``."""


def command(shell: list[str], folder: str) -> list[str]:
    """Return the command that starts a terminal's shell with ``folder`` at the end of ``PATH``.

    Jupyter starts a login shell, which resets ``PATH`` on many systems.
    """
    if len(shell) != 2 or shell[1] != "-l" or Path(shell[0]).name not in SHELLS:
        return shell
    path, name = shlex.quote(folder), shlex.quote(shell[0])
    return [*shell, "-c", f'PATH="$PATH":{path}; export PATH; exec {name}']


def extend_path(settings: Mapping[str, Any]) -> None:
    """Add the server's environment to the ``PATH`` of its terminals."""
    manager = settings.get("terminal_manager")
    if manager is not None:
        manager.shell_command = command(
            list(manager.shell_command), str(Path(sys.executable).parent)
        )
