"""Write a version's notebook, files and packages to a folder."""

import errno
import json
from dataclasses import dataclass
from pathlib import Path

from easymlnb.contract.bundle import Bundle, open_bundle
from easymlnb.contract.environment_lock import REQUIREMENTS
from easymlnb.contract.errors import BundleRejected

LOCK_FILE = "requirements.lock"
WHEELS = "wheels"
"""Names in the folder, unless the version has files of these names."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A version that was written to a folder.

    - ``folder``, ``notebook``: their paths
    - ``files``: the paths of all files, relative to the folder
    - ``install``: the command that installs the packages of the version
    """

    folder: Path
    notebook: Path
    files: tuple[str, ...]
    install: str


def check_empty(folder: Path) -> None:
    """Raise ``FileExistsError`` unless ``folder`` is empty or does not exist."""
    if folder.is_symlink() and not folder.exists():
        raise _unusable("Choose another folder; this is a broken link", folder)
    if folder.exists() and not folder.is_dir():
        raise _unusable("Choose another folder; this is a file", folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise _unusable("Choose an empty or a new folder; this one is not empty", folder)


def _unusable(text: str, folder: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, text, str(folder))


def write_checkout(data: bytes, folder: Path) -> Checkout:
    """Write a bundle to ``folder``, which is empty or does not exist.

    Raises ``BundleRejected`` for an invalid bundle, ``FileExistsError`` if the folder is not empty.
    """
    bundle = open_bundle(data)
    check_empty(folder)
    bundle.extract(folder)
    notebook = folder / bundle.manifest.notebook
    text = json.dumps(bundle.notebook, indent=1, ensure_ascii=False) + "\n"
    try:
        with notebook.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise BundleRejected(f"{notebook.name!r} collides with another file.") from error
    install = _write_packages(bundle, folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    kept = tuple(path for path in files if (folder / path).is_file())
    return Checkout(folder, notebook, kept, install)


def _write_packages(bundle: Bundle, folder: Path) -> str:
    """Write the requirements and the exact versions; return the command that installs them."""
    manifest = bundle.manifest
    lines = "".join(f"{line}\n" for line in manifest.requirements)
    if lines:
        _write_new(folder / REQUIREMENTS, lines)
    if manifest.lock is None:
        pinned = "".join(f"{name}=={v}\n" for name, v in manifest.environment.packages.items())
        head = f"# Packages at publishing, with Python {manifest.environment.python}\n"
        name = _write_new(folder / LOCK_FILE, head + pinned)
        return f"pip install -r {name}"
    wheels = folder / WHEELS
    if wheels.exists():
        raise BundleRejected(f"The bundle has a file or folder {WHEELS!r} of its own.")
    bundle.extract_lock(wheels)
    name = _write_new(folder / LOCK_FILE, (wheels / REQUIREMENTS).read_text(encoding="utf-8"))
    (wheels / REQUIREMENTS).unlink()
    if any(wheels.iterdir()):
        return f"pip install --no-deps --find-links {WHEELS} -r {name}"
    wheels.rmdir()
    return f"pip install --no-deps -r {name}"


def _write_new(file: Path, text: str) -> str:
    """Write a file unless the version has one of that name; return its name."""
    if not file.exists():
        file.write_text(text, encoding="utf-8")
    return file.name
