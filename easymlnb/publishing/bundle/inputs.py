"""Find the data and models that a notebook's code names and that its bundle does not contain."""

import hashlib
import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from easymlnb.contract.bundle import InputFile
from easymlnb.publishing.bundle.file_collector import is_private

MAX_HASHED = 4 * 2**30
"""Bytes of all files together whose digests are computed."""

MAX_INPUTS = 200
_CHUNK = 1 << 20


def input_files(
    root: Path, texts: Iterable[str], bundled: Collection[str]
) -> tuple[dict[str, InputFile], list[str]]:
    """Return the files outside of a bundle by the path in the code, and notes.

    ``texts`` are literals in the code, relative to the folder ``root``. Files that may contain
    secrets are left out.
    """
    found: dict[str, InputFile] = {}
    notes = []
    left = MAX_HASHED
    for text in sorted(texts):
        file = _file(root, text, bundled)
        if file is None or len(found) == MAX_INPUTS:
            continue
        size = file.stat().st_size
        if size > left:
            notes.append(f"{text!r} is too large, so the version records no digest of it.")
            found[text] = InputFile(size=size)
            continue
        left -= size
        try:
            found[text] = InputFile(size=size, sha256=_digest(file))
        except OSError:
            continue  # not readable by this account
    return found, notes


def _file(root: Path, text: str, bundled: Collection[str]) -> Path | None:
    if not 0 < len(text) <= 1024 or not text.isprintable() or "://" in text:
        return None
    path = Path(os.path.normpath(root / os.path.expanduser(text)))
    inside = path.is_relative_to(root) and path.relative_to(root).as_posix() in bundled
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    if inside or not stat.S_ISREG(mode) or is_private(path.name) or path.suffix == ".ipynb":
        return None
    return path


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
