"""Build a bundle from a notebook on disk."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from easymlnb.contract import bundle as contract
from easymlnb.contract import installation
from easymlnb.contract.archive import check_path, check_size
from easymlnb.contract.bundle import Manifest
from easymlnb.contract.environment_lock import LOCKED
from easymlnb.contract.errors import BundleRejected
from easymlnb.contract.notebook import check_notebook, strip
from easymlnb.contract.options import named_options
from easymlnb.contract.spec import NAME
from easymlnb.publishing.bundle.environment import (
    imported_packages,
    pinned_packages,
    read_requirements,
    record,
)
from easymlnb.publishing.bundle.file_collector import FileCollector, matches
from easymlnb.publishing.bundle.inputs import input_files
from easymlnb.publishing.bundle.locking import chosen_environment, lock_packages
from easymlnb.publishing.bundle.static_analysis import SourceFacts, read_cells, read_module
from easymlnb.publishing.notebook_metadata import read_metadata

SHOWN_FILES = 10
MAX_FILE = 200 * 2**20
"""Limit of a notebook with its outputs, in bytes."""


@dataclass(frozen=True, slots=True)
class BuiltBundle:
    """A bundle that is ready to be sent.

    services: the names that the notebook seems to define.
    notes: sentences about files that were left out or could not be detected.
    """

    id: str
    manifest: Manifest
    services: tuple[str, ...]
    notes: tuple[str, ...]
    data: bytes = field(repr=False)

    def summary(self) -> Iterator[str]:
        """Yield sentences about what is published."""
        files = sorted(self.manifest.files)
        more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
        shown = ", ".join(files[:SHOWN_FILES]) + more or "no other files"
        yield f"Publishing {self.manifest.notebook} ({len(self.data) / 1000:,.0f} kB) with {shown}."
        yield from (f"Note: {note}" for note in self.notes)


@named_options
def build_bundle(
    notebook: str | Path,
    *,
    names: Iterable[str] = (),
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    requirements: Iterable[str] | str | Path | None = None,
    root: str | Path | None = None,
    environment: str | None = None,
) -> BuiltBundle:
    """Build the bundle of a notebook, with its local modules and the files that its code names.

    names: the services to publish; default: all that the notebook defines.
    include: more files, as paths or globs relative to the notebook's folder.
    exclude: files to leave out, in the same form; it takes precedence.
    requirements: pip requirements or a file; default: from ``requirements.txt``, else the imports.
    root: a folder that must contain the notebook.
    environment: ``"kernel"`` or ``"locked"``; default: from the decorators, else from the server.

    Raises ``BundleRejected`` or ``TooLarge``.
    """
    path = _checked_path(Path(notebook), None if root is None else Path(root))
    content = _read(path)
    stripped = strip(content)
    code = read_cells(stripped["cells"])
    folder = FileCollector(path.parent)
    found = folder.needed(code, path.name) | folder.matching(_patterns(include), path.name)
    out = _patterns(exclude)
    files = {name: file for name, file in found.items() if not matches(name, out)}
    imports, texts = _read_all(code, folder, files)
    imported, missing = imported_packages(imports)
    required, notes = _requirements(requirements, folder, imported, missing)
    inputs, more = input_files(folder.root, texts, files)
    manifest = Manifest(
        notebook=path.name,
        kernel=_kernel(content),
        requirements=required,
        services=tuple(sorted(set(names))),
        defines=tuple(sorted(name for name in code.services if NAME.match(name))),
        gpu=code.gpu,
        placement=code.placement,
        environment=record(path, required, imported, inputs),
        metadata=read_metadata(path, content),
    )
    locked = chosen_environment(environment, code.locked) == LOCKED
    data, said = _written(manifest, stripped, files, locked=locked)
    return _built(data, code, (*folder.notes, *notes, *more, *said))


def _written(
    manifest: Manifest, notebook: dict[str, Any], files: dict[str, Path], *, locked: bool
) -> tuple[bytes, tuple[str, ...]]:
    """Return the zip, on request with a locked environment, and notes."""
    if not locked:
        return contract.write(manifest, notebook, files), ()
    with TemporaryDirectory() as wheels:
        made = lock_packages(manifest.environment.packages, Path(wheels))
        manifest = msgspec.structs.replace(manifest, lock=made.lock)
        return contract.write(manifest, notebook, files, made.files), made.notes


def _read_all(
    code: SourceFacts, folder: FileCollector, files: dict[str, Path]
) -> tuple[set[str], set[str]]:
    """Return what the notebook and its modules import, without local modules, and their texts."""
    imports, texts = set(code.imports), set(code.texts)
    for name, file in files.items():
        if name.endswith(".py"):
            facts = read_module(file.read_text(encoding="utf-8", errors="replace"))
            imports |= facts.imports
            texts |= facts.texts
    known = {
        name
        for name in imports
        if not folder.local(name) and name.partition(".")[0] not in folder.explained
    }
    return known, texts


def _built(data: bytes, code: SourceFacts, notes: Iterable[str]) -> BuiltBundle:
    bundle = contract.open_bundle(data)
    unread = (
        f"Cell {n} is not valid Python; its imports and files are not detected."
        for n in code.unread
    )
    return BuiltBundle(bundle.id, bundle.manifest, code.services, (*unread, *notes), data)


def _checked_path(path: Path, root: Path | None) -> Path:
    shown = repr(str(path))
    try:
        resolved = path.expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BundleRejected(f"There is no notebook {shown}. Check the path.") from error
    if root is not None and not resolved.is_relative_to(root.resolve()):
        raise BundleRejected(
            f"The notebook {shown} is outside the folder {str(root)!r}. Move it into that folder."
        )
    if not resolved.is_file():
        raise BundleRejected(f"{shown} is not a file. Give the path of a notebook.")
    if resolved.suffix != ".ipynb":
        raise BundleRejected(f"{shown} is not a notebook: its name does not end with .ipynb.")
    check_path(resolved.name)
    check_size(resolved.stat().st_size, MAX_FILE, f"The notebook {resolved.name!r}")
    return resolved


def _read(path: Path) -> Any:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BundleRejected(
            f"{path.name!r} is not a notebook: the file is not valid JSON."
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("nbformat"), int):
        raise BundleRejected(f"{path.name!r} is valid JSON, but not a notebook.")
    content = check_notebook(_upgraded(found) if found["nbformat"] < 4 else found)
    _check_language(content)
    return content


def _upgraded(old: dict[str, Any]) -> Any:
    if packages := installation.missing("nbformat"):
        purpose = f"Publishing a notebook of the old nbformat {old['nbformat']}"
        raise BundleRejected(f"{installation.install_hint(purpose, *packages)}.")
    import nbformat

    try:
        return nbformat.convert(nbformat.from_dict(old), 4)
    except Exception as error:  # nbformat's converters raise any exception
        raise BundleRejected(
            f"The notebook has the old nbformat {old['nbformat']} and cannot be upgraded. Open "
            "and save it in JupyterLab."
        ) from error


def _kernel(notebook: dict[str, Any]) -> str:
    spec = notebook.get("metadata", {}).get("kernelspec")
    name = spec.get("name") if isinstance(spec, dict) else None
    return name if isinstance(name, str) and name else "python3"


def _check_language(notebook: dict[str, Any]) -> None:
    info = notebook.get("metadata", {}).get("language_info")
    language = info.get("name") if isinstance(info, dict) else None
    if isinstance(language, str) and language.lower() not in ("", "python", "ipython"):
        raise BundleRejected(
            f"The notebook's language is {language[:40]}. Services must be written in Python."
        )


def _requirements(
    given: Iterable[str] | str | Path | None,
    folder: FileCollector,
    imported: Iterable[str],
    missing: Iterable[str],
) -> tuple[tuple[str, ...], list[str]]:
    default = folder.root / "requirements.txt"
    if isinstance(given, str | Path):
        return read_requirements(Path(given).expanduser())
    if given is not None:
        return tuple(given), []
    if default.is_file():
        return read_requirements(default)
    return pinned_packages(imported, missing)


def _patterns(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
