"""What is installed in this environment, and what to install where a part is missing."""

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
"""Missing packages of a server that a sentence names."""

PACKAGES = {"PIL": "pillow", "yaml": "pyyaml"}
"""Names on the package index of modules that are called otherwise."""


def missing(*modules: str) -> tuple[str, ...]:
    """Return the packages of those modules that are not installed here; imports none of them."""
    return tuple(
        PACKAGES.get(module, module)
        for module in modules
        if sys.modules.get(module) is None and find_spec(module) is None
    )


def install_hint(purpose: str, *packages: str) -> str:
    """Return a sentence on packages that ``purpose`` needs, without its full stop."""
    verb = "is" if len(packages) == 1 else "are"
    return (
        f"{purpose} needs {' and '.join(packages)}, which {verb} not installed in this "
        f"environment: pip install {' '.join(packages)}"
    )


def require(purpose: str, *modules: str) -> None:
    """Raise ``ImportError`` with a sentence unless the modules that ``purpose`` needs are there."""
    packages = missing(*modules)
    if packages:
        raise ImportError(install_hint(purpose, *packages))


def unmet_requirements(extra: str = "") -> Iterator[tuple[str, str]]:
    """Yield the requirements of easymlnb, or those that an extra adds, that are not met here.

    Each comes with the version that is installed instead, an empty text where there is none.
    """
    # Not at the top: it loads much, and a decorated cell needs none of it.
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
    """Return a sentence where a kernel cannot talk to this side's version, else an empty text."""
    if protocol == str(PROTOCOL):
        return ""
    theirs = f"easymlnb {version} (protocol {protocol})" if version else "an unknown easymlnb"
    return (
        f"{kernel} has {theirs} and its server has easymlnb {__version__} (protocol {PROTOCOL}), "
        "which do not work together: install the same version in both environments, and restart "
        "kernel and server."
    )


def listed(unmet: Sequence[tuple[str, str]]) -> str:
    """Return unmet requirements as text, the first of them by name."""
    names = [f"{wanted} (here: {found})" if found else wanted for wanted, found in unmet]
    more = f" and {len(names) - NAMED} more packages" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def no_server(unmet: Sequence[tuple[str, str]]) -> str:
    """Return a sentence on a server whose requirements are not met."""
    return (
        f"The server's part of easymlnb is not installed ({listed(unmet)} missing): "
        f"pip install '{PACKAGE}[{SERVER}]'"
    )
