"""Record the environment of a bundle: packages, Python, and the state of the sources."""

import contextlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from easymlnb._version import __version__
from easymlnb.contract.bundle import Environment, InputFile
from easymlnb.contract.errors import BundleRejected

GIT_SECONDS = 10.0
COMPAT = "easymlnb.compat."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def imported_packages(imports: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return the packages of some imports, and the imports that are not installed.

    Without Python's own modules, and without easymlnb, which every server has, and the packages
    that its ``compat`` replaces.
    """
    names = list(imports)
    stand_ins = {n.removeprefix(COMPAT).partition(".")[0] for n in names if n.startswith(COMPAT)}
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"easymlnb"}
    tops -= stand_ins
    if not tops:
        return set(), []
    known = metadata.packages_distributions()
    packages = {normalized(name) for top in tops for name in known.get(top, ())}
    return packages, sorted(top for top in tops if top not in known)


def pinned_packages(
    names: Iterable[str], missing: Iterable[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return ``name==version`` of the imported packages, and notes on what is ``missing``."""
    notes = [
        f"{name!r} is imported but not installed, so it is missing from the requirements."
        for name in missing
    ]
    # The part after "+" is a build, such as torch's for CPUs; the environment record has it.
    pinned = {f"{name}=={metadata.version(name).partition('+')[0]}" for name in names}
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


def record(
    notebook: Path,
    requirements: Sequence[str],
    imported: Iterable[str] = (),
    inputs: Mapping[str, InputFile] | None = None,
) -> Environment:
    """Return the current environment record of the bundle of ``notebook``."""
    folder = notebook.parent
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages=needed_packages(requirements, imported),
        commit=commit,
        dirty=bool(commit) and _is_dirty(notebook),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        inputs=dict(inputs or {}),
    )


def needed_packages(requirements: Sequence[str], imported: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of what a notebook needs, with all dependencies.

    ``imported`` are names of packages. Requirements that are not installed are left out.
    """
    # A decorated cell does not need this import.
    from packaging.requirements import InvalidRequirement, Requirement

    left = [Requirement(name) for name in sorted({"easymlnb", *imported})]
    for line in requirements:
        try:
            left.append(Requirement(line))
        except InvalidRequirement:
            if name := _NAME.match(line):
                left.append(Requirement(name[0]))
    return {"easymlnb": __version__} | dict(sorted(_closure(left)))


def _closure(left: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield the installed packages that some requirements need, with their versions."""
    done: set[tuple[str, str]] = set()
    while left:
        item = left.pop()
        name = normalized(item.name)
        for extra in {"", *item.extras}:
            if (name, extra) in done:
                continue
            done.add((name, extra))
            try:
                found = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue
            if not extra:
                yield name, found.version
            left += [one for one in _requires(found) if _applies(one, extra)]


def _requires(found: metadata.Distribution) -> Iterator[Any]:
    from packaging.requirements import InvalidRequirement, Requirement

    for line in found.requires or ():
        with contextlib.suppress(InvalidRequirement):
            yield Requirement(line)


def _applies(item: Any, extra: str) -> bool:
    return item.marker is None or bool(item.marker.evaluate({"extra": extra}))


def normalized(name: str) -> str:
    """Return a package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_dirty(notebook: Path) -> bool:
    """Return whether the notebook or a tracked file differs from the commit."""
    folder = notebook.parent
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return bool(changed) or not _git(folder, "ls-files", "--", notebook.name)


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
