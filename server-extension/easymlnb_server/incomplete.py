"""Replaces the extension in an environment that has only the kernel side of easymlnb.

Installing easymlnb enables the extension for every Jupyter server of the environment. One without
the packages of ``easymlnb[server]`` gets a sentence in its log, and runs without the extension.
"""

from typing import Any

from easymlnb.contract import installation


def sentence() -> str:
    """Return what this environment lacks and what to install; empty when nothing is missing."""
    unmet = list(installation.unmet_requirements(installation.SERVER))
    return f"{installation.no_server(unmet)}." if unmet else ""


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Say what is missing (called by name)."""
    serverapp.log.error("easymlnb is off. %s", sentence())
