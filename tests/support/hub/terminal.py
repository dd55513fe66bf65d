"""``easymlnb`` as a terminal of a user's server runs it."""

import os
import subprocess
import sys
from pathlib import Path

from support.hub.hub import User

PROGRAM = str(Path(sys.executable).parent / "easymlnb")


def environment(user: User) -> dict[str, str]:
    """Return what a terminal of that user's server has."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")},
        "HOME": str(user.hub.folder / "homes" / user.name),
        "EASYMLNB_URL": user.url,
        "EASYMLNB_TOKEN": user.token,
        "JUPYTERHUB_API_URL": f"{user.hub.url}/hub/api",
        "JUPYTERHUB_USER": user.name,
        "JUPYTERHUB_API_TOKEN": user.token,
        "JUPYTERHUB_PUBLIC_URL": user.url,
        "JUPYTERHUB_SERVICE_PREFIX": f"/user/{user.name}/",
    }


def command(user: User, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [PROGRAM, *words], env=environment(user), capture_output=True, text=True, check=False
    )


def running(user: User, *words: str) -> subprocess.Popen[str]:
    """Begin a command."""
    return subprocess.Popen(
        [PROGRAM, *words],
        env=environment(user),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
