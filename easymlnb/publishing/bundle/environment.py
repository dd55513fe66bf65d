"""Record the environment of a bundle: packages, Python, and the state of the sources."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from easymlnb._version import __version__
from easymlnb.contract.bundle import Environment
from easymlnb.contract.errors import BundleRejected

GIT_SECONDS = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def required(imports: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return ``name==version`` of the imported packages, and notes.

    Without Python's own modules, and without easymlnb, which every server has.
    """
    tops = {name.partition(".")[0] for name in imports} - sys.stdlib_module_names - {"easymlnb"}
    if not tops:
        return (), []
    known = metadata.packages_distributions()
    names = {name for top in tops for name in known.get(top, ())}
    missing = sorted(top for top in tops if top not in known)
    notes = [
        f"{name!r} is imported but not installed, so it is missing from the requirements."
        for name in missing
    ]
    # The part after "+" is a build, such as torch's for CPUs; the environment record has it.
    pinned = {f"{_normalized(name)}=={metadata.version(name).partition('+')[0]}" for name in names}
    return tuple(sorted(pinned)), notes


def read_requirements(file: Path) -> tuple[tuple[str, ...], list[str]]:
    """Return the requirements of a pip file without comments, and notes about options of pip."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleRejected(f"Cannot read the requirements file {file.name!r}.") from error
    lines = [
        re.sub(r"(^|\s)#.*", "", line).strip() for line in text.replace("\\\n", " ").splitlines()
    ]
    options = [line for line in lines if line.startswith("-")]
    notes = [f"Skipped {line!r} in {file.name}: the line is not a requirement." for line in options]
    return tuple(line for line in lines if line and not line.startswith("-")), notes


def record(folder: Path, requirements: Sequence[str]) -> Environment:
    """Return the current environment record of a bundle from ``folder``."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no") if commit else ""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages={"easymlnb": __version__} | _versions(requirements),
        commit=commit,
        dirty=bool(changed),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _versions(requirements: Sequence[str]) -> dict[str, str]:
    found = {}
    for line in requirements:
        if name := _NAME.match(line):
            try:
                found[_normalized(name[0])] = metadata.version(name[0])
            except metadata.PackageNotFoundError:
                continue
    return found


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _git(folder: Path, *arguments: str) -> str:
    """Return git's output; empty without git, or without a repository that git trusts."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()
