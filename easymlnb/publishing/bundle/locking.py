"""Lock the packages of a notebook: exact versions with digests, and wheels that no index has."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from easymlnb.contract import uv
from easymlnb.contract.environment_lock import (
    INDEX_ENV,
    KERNEL,
    LOCKED,
    REQUIRE_ENV,
    REQUIREMENTS,
    WHEELHOUSE_ENV,
    EnvironmentLock,
    check_choice,
)
from easymlnb.contract.errors import BundleRejected
from easymlnb.publishing.bundle.repack import repack

TIMEOUT = 600.0
"""Seconds for one run of uv."""

SHOWN = 1500
"""Characters of uv's last output in an error."""

CONDA = "conda"
"""What conda and mamba call themselves in the metadata of packages that they install."""

EPOCH = "315532800"
"""The date in built wheels (1980), so that the same source gives the same wheel."""


@dataclass(frozen=True, slots=True)
class LockedPackages:
    """A lock with its files, and notes for the author."""

    lock: EnvironmentLock
    files: dict[str, bytes | Path]
    notes: tuple[str, ...]


def chosen_environment(given: str | None, in_code: bool) -> str:
    """Return the environment to publish with: as given, else from the code or the server."""
    if given is not None:
        return check_choice(given)
    return LOCKED if in_code or os.environ.get(REQUIRE_ENV) else KERNEL


def lock_packages(packages: Mapping[str, str], folder: Path) -> LockedPackages:
    """Lock installed packages in their versions; ``folder`` is for wheels.

    easymlnb itself is not locked: workers run with that of their server. Raises ``BundleRejected``
    with what to do.
    """
    program = uv.find_uv()
    if not program:
        raise BundleRejected(f"environment='locked' needs {uv.HINT}.")
    versions = {name: version for name, version in packages.items() if name != "easymlnb"}
    wheels = dict(own_wheels(program, versions, folder))
    pinned = [f"{name}=={version}" for name, version in versions.items() if name not in wheels]
    lines = [*_compile(program, pinned)]
    for name, wheel in wheels.items():
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        version = wheel.name.split("-")[1]
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}")
    text = "".join(f"{line}\n" for line in sorted(lines))
    files: dict[str, bytes | Path] = {wheel.name: wheel for wheel in wheels.values()}
    files[REQUIREMENTS] = text.encode()
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return LockedPackages(EnvironmentLock(python=python), files, tuple(_notes(versions, wheels)))


def _notes(versions: dict[str, str], wheels: dict[str, Path]) -> list[str]:
    notes = [f"The environment is locked: Python and {len(versions)} packages."]
    if wheels:
        notes.append(f"The bundle contains wheels of {', '.join(sorted(wheels))}.")
    if (Path(sys.prefix) / "conda-meta").is_dir():
        notes.append(
            "This kernel runs in a conda environment. Only Python packages are locked, as pip "
            "packages of the same versions; Python itself and libraries from conda are not."
        )
    return notes


def own_wheels(program: str, versions: Iterable[str], folder: Path) -> Iterable[tuple[str, Path]]:
    """Yield a wheel of each package that was not installed from an index."""
    for name in versions:
        found = metadata.distribution(name)
        origin = _origin(found)
        if origin is None:
            continue
        if origin.get("dir_info", {}).get("editable"):
            yield name, _build(program, name, str(origin.get("url", "")), folder)
        else:
            yield name, repack(found, folder)


def _origin(found: metadata.Distribution) -> dict[str, dict[str, object]] | None:
    """Return the address that a package was installed from; ``None`` for an index.

    conda records where a package was built, which exists nowhere else. Its files need libraries of
    the conda environment, so the index must have the package.
    """
    text = found.read_text("direct_url.json")
    if not text or (found.read_text("INSTALLER") or "").strip() == CONDA:
        return None
    try:
        origin = json.loads(text)
    except ValueError:
        return None
    return origin if isinstance(origin, dict) else None


def _build(program: str, name: str, url: str, folder: Path) -> Path:
    """Build the wheel of an editable package from its source."""
    source = Path(url2pathname(unquote(urlsplit(url).path)))
    out = folder / f"build-{name}"
    command = ["build", "--wheel", "--python", sys.executable, "--out-dir", str(out), str(source)]
    first = run(program, [*command, *_index()])
    if first.returncode:
        # Without an index the build backend may be here, in this environment.
        second = run(program, [*command, "--no-build-isolation", *_index()])
        if second.returncode:
            raise BundleRejected(
                f"The wheel of the editable package {name!r} in {str(source)!r} could not be "
                f"built:\n{first.stderr.strip()[-SHOWN:]}"
            )
    (wheel,) = out.glob("*.whl")
    return wheel


def _compile(program: str, pinned: list[str]) -> Iterable[str]:
    """Return the pins with the digests of their files; raises ``BundleRejected``."""
    try:
        return compile_lock(program, pinned, ["--no-deps"]).values()
    except BundleRejected as error:
        raise BundleRejected(
            "The packages cannot be locked, because the package index does not have all of them. "
            "Set UV_INDEX or UV_FIND_LINKS for this kernel, or EasyMLNB.environment_index_url or "
            f"environment_wheelhouse for its server. {error.message}"
        ) from error


def compile_lock(
    program: str, wanted: Iterable[str], options: Iterable[str], wheels: Path | None = None
) -> dict[str, str]:
    """Return a pin with the digests of its files for each package, by its name.

    ``options`` are uv's, and ``wheels`` is a folder with packages that no index has. Raises
    ``BundleRejected`` with what uv reports.
    """
    folders = [wheels] if wheels is not None else []
    options = [*options, *(part for one in folders for part in ("--find-links", str(one)))]
    command = ["pip", "compile", "-", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--quiet", *options, "--python", sys.executable, *_index()]
    done = run(program, command, "\n".join(wanted))
    if done.returncode:
        raise BundleRejected(f"uv reports:\n{done.stderr.strip()[-SHOWN:]}")
    lines = done.stdout.replace("\r\n", "\n").strip("\n")
    # A requirement and the lines of its digests, which are indented, stay together.
    parts = lines.replace("\n ", "\0 ").split("\n")
    found = (part.replace("\0", "\n").strip() for part in parts if part.strip())
    folders += _local_folders()
    pins = (pin if "--hash=" in pin else _with_digests(pin, folders) for pin in found)
    return {pin.partition("==")[0]: pin for pin in pins}


def _with_digests(pin: str, folders: Iterable[Path]) -> str:
    """Return a pin with the digests of its wheels in local folders, which uv does not read."""
    from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

    name, _, version = pin.partition("==")
    digests = []
    for folder in folders:
        for wheel in sorted(folder.glob("*.whl")):
            try:
                found, release, *_ = parse_wheel_filename(wheel.name)
            except InvalidWheelFilename:
                continue
            if (found, str(release)) == (canonicalize_name(name), version):
                digests.append(hashlib.sha256(wheel.read_bytes()).hexdigest())
    if not digests:
        raise BundleRejected(
            f"The package index has no digest of {pin}, so the environment cannot be locked. Use "
            "an index with digests, or a folder with wheels."
        )
    return " \\\n    ".join([pin, *(f"--hash=sha256:{one}" for one in dict.fromkeys(digests))])


def _local_folders() -> list[Path]:
    texts = [os.environ.get(WHEELHOUSE_ENV, ""), *os.environ.get("UV_FIND_LINKS", "").split(",")]
    paths = [Path(text.strip().removeprefix("file://")) for text in texts if text.strip()]
    return [path for path in paths if path.is_dir()]


def run(program: str, command: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program, *command],
            input=given,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH, "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise BundleRejected(f"uv did not end within {TIMEOUT:g} s. Try again.") from error
    except OSError as error:
        raise BundleRejected(f"uv at {program!r} cannot be run ({error.strerror}).") from error


def _index() -> list[str]:
    return uv.index_options(os.environ.get(INDEX_ENV, ""), os.environ.get(WHEELHOUSE_ENV, ""))
