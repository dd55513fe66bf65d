"""The packages of an image: those of the notebook and those of the server, all with digests."""

import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from easymlnb.contract import uv
from easymlnb.contract.environment_lock import REQUIREMENTS, pins
from easymlnb.contract.errors import BundleRejected
from easymlnb.contract.installation import PACKAGE
from easymlnb.exporting.models import ExportedBundle
from easymlnb.publishing.bundle import locking
from easymlnb.publishing.bundle.environment import normalized

EXTRA = "container"
"""The extra of easymlnb with what a server for given bundles needs."""

DEBUGGER = "debugpy"
"""ipykernel requires it, but works without it."""

NO_BUILD = (
    "If a package has no wheel: its build would run its code on this machine. Pass --allow-build "
    "to allow that."
)

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,200}[A-Za-z0-9])?\Z")

OVERRIDES = "overrides.txt"
MACHINES = {"AMD64": "x86_64", "arm64": "aarch64"}
"""Names of processors as wheels for Linux have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageOptions:
    """Which packages an image has.

    - ``unlocked``: accept a bundle without a locked environment, with the versions recorded at
      publishing
    - ``debugger``: include debugpy
    - ``allow_build``: build packages that have no wheel on this machine, for their requirements
    """

    unlocked: bool = False
    debugger: bool = False
    allow_build: bool = False


@dataclass(frozen=True, slots=True)
class ImagePackages:
    """The packages of an image.

    - ``python``: version of Python, such as ``3.11``
    - ``lock``: a requirements file with a digest for each file
    - ``count``: number of packages
    """

    python: str
    lock: str
    count: int


def lock_image(exported: ExportedBundle, wheels: Path, options: PackageOptions) -> ImagePackages:
    """Lock the packages of an image; wheels that no index has are written to ``wheels``.

    ``wheels`` is a folder that exists and is empty. Raises ``BundleRejected`` with what to do.
    """
    program = uv.find_uv()
    if not program:
        raise BundleRejected(f"Exporting an image needs {uv.HINT}.")
    versions, python = _versions(exported, wheels, unlocked=options.unlocked)
    for _, wheel in locking.own_wheels(program, [PACKAGE], wheels):
        if (built := wheel.parent) != wheels:
            wheel.replace(wheels / wheel.name)
            shutil.rmtree(built)
    wanted = [f"{PACKAGE}[{EXTRA}]=={metadata.version(PACKAGE)}"]
    wanted += [
        f"{name}=={version}"
        for name, version in versions.items()
        if options.debugger or name != DEBUGGER
    ]
    found = _resolve(program, wanted, wheels, python, options)
    text = "".join(f"{found[name]}\n" for name in sorted(found))
    return ImagePackages(python, text, len(found))


def _versions(
    exported: ExportedBundle, wheels: Path, *, unlocked: bool
) -> tuple[Mapping[str, str], str]:
    """Return the packages of the notebook, and the version of Python."""
    manifest = exported.manifest
    if manifest.lock is not None:
        exported.bundle.extract_lock(wheels)
        lock = wheels / REQUIREMENTS
        text = lock.read_text(encoding="utf-8")
        lock.unlink()
        return _without_easymlnb(pins(text)), manifest.lock.python
    if not unlocked:
        raise BundleRejected(
            "The bundle has no locked environment, so its packages are not known exactly. Publish "
            "the notebook with --locked and export that version, or add --unlocked to use the "
            "versions that were recorded at publishing."
        )
    recorded = manifest.environment
    python = ".".join(recorded.python.split(".")[:2]) or f"3.{sys.version_info[1]}"
    return _without_easymlnb(recorded.packages), python


def _without_easymlnb(found: Mapping[str, str]) -> dict[str, str]:
    """Return the other packages; raises ``BundleRejected`` for what is no name or version."""
    for name, version in found.items():
        if not _NAME.match(name) or not _is_version(version):
            raise BundleRejected(
                f"The bundle names the package {name[:60]!r} with the version {version[:60]!r}, "
                "which is not a valid name and version. Publish the notebook again."
            )
    return {normalized(name): one for name, one in found.items() if normalized(name) != PACKAGE}


def _is_version(text: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _resolve(
    program: str, wanted: list[str], wheels: Path, python: str, options: PackageOptions
) -> dict[str, str]:
    """Return a pin with its digests for each package; raises ``BundleRejected``."""
    overrides = wheels / OVERRIDES
    overrides.write_text("" if options.debugger else f"{DEBUGGER}; python_version < '3'\n")
    given = ["--python-version", python, "--overrides", str(overrides)]
    given += [] if sys.platform == "linux" else ["--python-platform", "linux"]
    # The build of a package runs its code, here and not in the image.
    given += [] if options.allow_build else ["--no-build"]
    try:
        return locking.compile_lock(program, wanted, given, wheels)
    except BundleRejected as error:
        hint = "" if options.allow_build else f" {NO_BUILD}"
        raise BundleRejected(
            "The packages of the notebook and those of the server cannot be installed together, "
            f"or the package index does not have all of them. {error.message}{hint}"
        ) from error
    finally:
        overrides.unlink()


def download(packages: ImagePackages, lock: Path, wheels: Path) -> None:
    """Download all wheels of a lock to a folder, so that an image is built without an index."""
    command = [*_pip(), "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--dest", str(wheels), "--find-links", str(wheels), "--requirement", str(lock)]
    command += ["--only-binary", ":all:", *_platform(packages.python)]
    done = locking.run(command[0], command[1:])
    if done.returncode:
        raise BundleRejected(
            "The wheels of the image could not be downloaded. If a package has no wheel, leave out "
            "--wheels: the build of the image then builds it. pip reports:\n"
            f"{done.stderr.strip()[-locking.SHOWN :]}"
        )


def _pip() -> list[str]:
    if util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    return [uv.find_uv(), "tool", "run", "pip"]


def _platform(python: str) -> list[str]:
    """Return the options that choose wheels for an image, if they are not those for this Python."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.platform == "linux" and python == here:
        return []
    machine = MACHINES.get(platform.machine(), platform.machine())
    tags = [f"manylinux_2_{minor}_{machine}" for minor in (28, 17, 12, 5)]
    tags += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    options = [part for tag in tags for part in ("--platform", tag)]
    abis = [f"cp{python.replace('.', '')}", "abi3", "none"]
    options += [part for abi in abis for part in ("--abi", abi)]
    return [*options, "--python-version", python, "--implementation", "cp"]
