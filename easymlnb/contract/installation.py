"""Missing packages of this environment, and messages on what to install."""

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from easymlnb._version import PROTOCOL, __version__

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = "easymlnb"
SERVER = "server"
"""The extra that a Jupyter server with the extension needs."""

NAMED = 3
"""Number of missing packages in a message."""

PACKAGES = {"PIL": "pillow", "detect_secrets": "detect-secrets", "yaml": "pyyaml"}
"""Package names of modules with another name."""


def missing(*modules: str) -> tuple[str, ...]:
    """Return the packages of the modules that are not installed, without importing any."""
    return tuple(
        PACKAGES.get(module, module)
        for module in modules
        if sys.modules.get(module) is None and find_spec(module) is None
    )


def install_hint(purpose: str, *packages: str) -> str:
    """Return a sentence on the packages that ``purpose`` needs, without its period."""
    verb = "is" if len(packages) == 1 else "are"
    return (
        f"{purpose} needs {' and '.join(packages)}, which {verb} not installed in this "
        f"environment: pip install {' '.join(packages)}"
    )


def require(purpose: str, *modules: str) -> None:
    """Raise ``ImportError`` unless the modules that ``purpose`` needs are installed."""
    packages = missing(*modules)
    if packages:
        raise ImportError(install_hint(purpose, *packages))


def unmet_requirements(extra: str = "") -> Iterator[tuple[str, str]]:
    """Yield the unmet requirements of easymlnb, or of one extra, with the installed version.

    The version is empty if the package is missing.
    """
    # A decorated cell does not need this slow import.
    from importlib import metadata

    for item in _requirements(extra):
        try:
            installed = metadata.version(item.name)
        except metadata.PackageNotFoundError:
            installed = ""
        if not installed or not item.specifier.contains(installed, prereleases=True):
            yield f"{item.name}{item.specifier}", installed


def _requirements(extra: str) -> Iterator["Requirement"]:
    from importlib import metadata

    from packaging.requirements import Requirement

    for item in map(Requirement, metadata.requires(PACKAGE) or ()):
        if _applies(item, extra) and not (extra and _applies(item, "")):
            yield item


def _applies(item: "Requirement", extra: str) -> bool:
    return item.marker is None or item.marker.evaluate({"extra": extra})


def version_skew(kernel: str, version: str, protocol: str) -> str:
    """Return a message if a kernel's version does not work with this one, else an empty text."""
    if protocol == str(PROTOCOL):
        return ""
    theirs = f"easymlnb {version} (protocol {protocol})" if version else "an unknown easymlnb"
    return (
        f"{kernel} has {theirs} and its server has easymlnb {__version__} (protocol {PROTOCOL}), "
        "which do not work together: install the same version in both environments, and restart "
        "kernel and server."
    )


def listed(unmet: Sequence[tuple[str, str]]) -> str:
    """Return a list of unmet requirements for a message."""
    names = [
        f"{wanted} (here: {installed})" if installed else wanted for wanted, installed in unmet
    ]
    more = f" and {len(names) - NAMED} more packages" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def no_server(unmet: Sequence[tuple[str, str]]) -> str:
    """Return the message for a server without its requirements."""
    return (
        f"The server's part of easymlnb is not installed ({listed(unmet)} missing): "
        f"pip install '{PACKAGE}[{SERVER}]'"
    )
