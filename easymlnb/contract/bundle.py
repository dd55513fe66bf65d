"""A bundle: the immutable snapshot of a notebook that is published, as one zip.

::

    manifest.json         what it is (``Manifest``)
    notebook.ipynb        nbformat 4, without outputs
    files/<path>          local modules and data, by their path relative to the notebook
    lock/<name>           the locked environment, if any: requirements.txt and wheels

Its id is a hash of the cells' source and tags, the files, the requirements, the kernel and the
locked environment. It does not depend on outputs, execution counts, the notebook's name, the
requested names or the environment record, so that publishing the same notebook again gives the same
id on any machine.
"""

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract import metadata
from easymlnb.contract.archive import MAX_UNPACKED, MAX_ZIP, Archive, check_path, check_size
from easymlnb.contract.environment_lock import EnvironmentLock
from easymlnb.contract.errors import BundleRejected, DefinitionError
from easymlnb.contract.notebook import check_notebook, strip, tags_of, text_of
from easymlnb.contract.resources import Gpu, check_gpu
from easymlnb.contract.spec import NAME

FORMAT = 1
MAX_NOTEBOOK = 50 * 2**20
"""Limit of a notebook without outputs, in bytes."""

MANIFEST = "manifest.json"
NOTEBOOK = "notebook.ipynb"
FILES = "files/"
LOCK = "lock/"

_MAX_MANIFEST = 10 * 2**20
_KERNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_SHA = re.compile(r"[0-9a-f]{64}\Z")


class InputFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that the code names and that is not in the bundle, as it was at publishing.

    - ``size``: in bytes
    - ``sha256``: empty if the file was too large to read
    """

    size: int
    sha256: str = ""


class Environment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a bundle was made: a record for people, not part of the id.

    - ``packages``: versions of the packages that the notebook needs, with their dependencies
    - ``commit``, ``dirty``: the state of the git repository; empty without one
    - ``inputs``: data and models outside of the bundle, by the path in the code
    """

    python: str = ""
    platform: str = ""
    packages: dict[str, str] = {}
    commit: str = ""
    dirty: bool = False
    created: str = ""
    inputs: dict[str, InputFile] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The description of a bundle.

    - ``notebook``: the notebook's file name, a label.
    - ``kernel``: its kernelspec.
    - ``files``: the SHA-256 of each path.
    - ``requirements``: pip requirements.
    - ``services``: names of the services to publish, empty for all.
    - ``metadata``: metadata of the services outside of the code (``contract.metadata``).
    - ``gpu``, ``placement``: required before a worker runs the code, found by static analysis.
    - ``defines``: the services that the code defines, found by static analysis; the new versions
      replace theirs.
    - ``lock``: the packages that workers run with; ``None`` for those of the kernel.
    """

    notebook: str
    kernel: str = "python3"
    files: dict[str, str] = {}
    requirements: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    environment: Environment = Environment()
    metadata: dict[str, Any] = {}
    gpu: Gpu = 0.0
    placement: str = ""
    lock: EnvironmentLock | None = None
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Manifest":
        """Read what ``to_dict`` wrote; raises ``BundleRejected`` on anything else."""
        if (version := data.get("format")) != FORMAT:
            raise BundleRejected(
                f"The bundle has format {version!r:.20}, but this easymlnb reads format {FORMAT}. "
                "Install the same version on both sides."
            )
        try:
            manifest = msgspec.convert(data, cls)
        except msgspec.ValidationError as error:
            raise BundleRejected(f"The bundle's {MANIFEST} is invalid: {error}.") from error
        _check_manifest(manifest)
        return manifest


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that passed all checks."""

    id: str
    manifest: Manifest
    notebook: dict[str, Any] = field(repr=False)
    _data: bytes | Path = field(repr=False)

    def extract(self, folder: Path) -> None:
        """Write the files (not the notebook) to ``folder``, which is created if missing.

        Existing files are not overwritten. Files are readable by their owner only. Raises
        ``BundleRejected`` if a file has another checksum or collides with another file.
        """
        self._extract(folder, FILES, self.manifest.files)

    def extract_lock(self, folder: Path) -> None:
        """Write the files of the locked environment to ``folder``, as ``extract`` does."""
        if self.manifest.lock is not None:
            self._extract(folder, LOCK, self.manifest.lock.files)

    def _extract(self, folder: Path, prefix: str, files: Mapping[str, str]) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with Archive(self._data) as archive:
            for path, sha in files.items():
                target = folder.joinpath(*check_path(path).split("/"))
                try:
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    with open(target, "xb", opener=partial(os.open, mode=0o600)) as file:
                        file.writelines(_checked(archive, prefix + path, sha))
                except (FileExistsError, NotADirectoryError) as error:
                    raise BundleRejected(f"{path[:80]!r} collides with another file.") from error


def open_bundle(data: bytes | Path, *, verify: bool = True) -> Bundle:
    """Read a bundle and check all of it.

    ``verify=False`` skips the checksums of the files, which ``extract`` always compares, for a zip
    that was checked before. Raises ``BundleRejected`` or ``TooLarge``.
    """
    with Archive(data) as archive:
        if MANIFEST not in archive.sizes:
            raise BundleRejected(f"The zip is not a bundle: {MANIFEST} is missing.")
        manifest = Manifest.from_dict(_json(archive.read(MANIFEST, _MAX_MANIFEST), MANIFEST))
        if NOTEBOOK not in archive.sizes:
            raise BundleRejected(f"The bundle contains no {NOTEBOOK}.")
        notebook = check_notebook(_json(archive.read(NOTEBOOK, MAX_NOTEBOOK), NOTEBOOK))
        _check_listing(manifest, set(archive.sizes) - {MANIFEST, NOTEBOOK})
        if verify:
            for path, sha in _listed(manifest).items():
                for _ in _checked(archive, path, sha):
                    pass
    return Bundle(identify(manifest, notebook), manifest, notebook, data)


def write(
    manifest: Manifest,
    notebook: Mapping[str, Any],
    files: Mapping[str, bytes | Path],
    lock: Mapping[str, bytes | Path] | None = None,
) -> bytes:
    """Return the zip; the manifest's digests are filled in, and the notebook is stripped.

    ``lock`` are the files of ``manifest.lock``. The same arguments give the same bytes: entries are
    sorted, dates and modes fixed. Raises ``BundleRejected`` or ``TooLarge``.
    """
    stripped = strip(check_notebook(dict(notebook)))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        shas, total = _add(archive, FILES, files, 0)
        complete = msgspec.structs.replace(manifest, files=shas)
        if manifest.lock is not None:
            locked, _ = _add(archive, LOCK, lock or {}, total)
            whole = msgspec.structs.replace(manifest.lock, files=locked)
            complete = msgspec.structs.replace(complete, lock=whole)
        try:
            text = msgspec.json.encode(stripped, order="sorted")
        except (UnicodeEncodeError, TypeError) as error:
            raise BundleRejected("The notebook contains text that is not valid Unicode.") from error
        check_size(len(text), MAX_NOTEBOOK, "The notebook without its outputs")
        archive.writestr(_entry(NOTEBOOK), text)
        _check_manifest(complete)
        archive.writestr(_entry(MANIFEST), msgspec.json.encode(complete, order="sorted"))
    data = target.getvalue()
    check_size(len(data), MAX_ZIP, "The zip")
    return data


def _add(
    archive: zipfile.ZipFile, prefix: str, files: Mapping[str, bytes | Path], total: int
) -> tuple[dict[str, str], int]:
    """Add files below ``prefix``; return their digests, and the new total size."""
    shas: dict[str, str] = {}
    for path in sorted(files):
        content = _content(path, files[check_path(path)], MAX_UNPACKED - total)
        total += len(content)
        shas[path] = hashlib.sha256(content).hexdigest()
        archive.writestr(_entry(prefix + path), content)
    return shas, total


def identify(manifest: Manifest, notebook: Mapping[str, Any]) -> str:
    """Return the bundle's id: 64 hex digits."""
    content: dict[str, Any] = {
        "format": manifest.format,
        "kernel": manifest.kernel,
        "files": manifest.files,
        "requirements": manifest.requirements,
        "cells": [
            {"type": cell["cell_type"], "source": text_of(cell["source"]), "tags": tags_of(cell)}
            for cell in notebook["cells"]
        ],
    }
    if manifest.metadata:
        content["metadata"] = manifest.metadata
    if manifest.lock is not None:
        content["lock"] = manifest.lock.id
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _check_manifest(manifest: Manifest) -> None:
    if "/" in check_path(manifest.notebook):
        raise BundleRejected("The bundle's notebook has a path as its name. Use a file name.")
    if not _KERNEL.match(manifest.kernel):
        raise BundleRejected(f"Invalid kernelspec name {manifest.kernel[:80]!r}.")
    for name in (*manifest.services, *manifest.defines):
        if not NAME.match(name):
            raise BundleRejected(f"Invalid service name {name[:80]!r}.")
    for line in manifest.requirements:
        if not line.strip() or len(line) > 1000 or not line.isprintable():
            raise BundleRejected(f"Invalid requirement {line[:80]!r}.")
    metadata.check(manifest.metadata)
    try:
        check_gpu(manifest.gpu)
    except DefinitionError as error:
        raise BundleRejected(f"The bundle's {MANIFEST} is invalid: {error.message}") from error
    locked = manifest.lock.files if manifest.lock is not None else {}
    if manifest.lock is not None:
        manifest.lock.check()
    for path, sha in (*manifest.files.items(), *locked.items()):
        check_path(path)
        if not _SHA.match(sha):
            raise BundleRejected(f"The bundle's {MANIFEST} has no SHA-256 for {path[:80]!r}.")


def _listed(manifest: Manifest) -> dict[str, str]:
    """Return the digest of each listed file by its path in the zip."""
    found = {FILES + path: sha for path, sha in manifest.files.items()}
    if manifest.lock is not None:
        found |= {LOCK + path: sha for path, sha in manifest.lock.files.items()}
    return found


def _check_listing(manifest: Manifest, held: set[str]) -> None:
    listed = {*_listed(manifest)}
    if missing := sorted(listed - held):
        raise BundleRejected(
            f"The bundle's {MANIFEST} lists {missing[0][:80]!r}, but the file is missing."
        )
    if more := sorted(held - listed):
        raise BundleRejected(
            f"The bundle contains {more[0][:80]!r}, which its {MANIFEST} does not list."
        )


def _checked(archive: Archive, path: str, sha: str) -> Iterator[bytes]:
    """Yield a file's content; raises ``BundleRejected`` at its end for another checksum."""
    digest = hashlib.sha256()
    for chunk in archive.chunks(path):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sha:
        raise BundleRejected(
            f"The SHA-256 of {path[:80]!r} does not match the bundle's {MANIFEST}."
        )


def _json(data: bytes, name: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleRejected(f"The bundle's {name} is not valid JSON.") from error
    if not isinstance(value, dict):
        raise BundleRejected(f"The bundle's {name} is not a JSON object.")
    return value


def _content(path: str, source: bytes | Path, left: int) -> bytes:
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size > left:
            check_size(MAX_UNPACKED - left + size, MAX_UNPACKED, "The unpacked bundle")
        return source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise BundleRejected(f"The file {path!r} cannot be read ({error.strerror}).") from error


def _entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
