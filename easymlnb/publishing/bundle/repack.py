"""Make a wheel of an installed package that no index has, from the files of its installation."""

import base64
import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackagePath
from pathlib import Path

from easymlnb.contract.errors import BundleRejected

_OF_INSTALLERS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""Files in a package's metadata that describe one installation."""


def repack(found: Distribution, folder: Path) -> Path:
    """Write the wheel of an installed package to ``folder``; the same files give the same bytes.

    Raises ``BundleRejected`` if its installer did not record its files.
    """
    files = found.files
    info = next((f.parts[0] for f in files or () if f.name == "METADATA" and len(f.parts) == 2), "")
    if files is None or not info.endswith(".dist-info"):
        raise BundleRejected(
            f"The package {found.name!r} cannot be locked: its installer did not record its files. "
            "Install the package with pip or uv."
        )
    base = info.removesuffix(".dist-info")
    wheel = folder / f"{base}-{_tag(found)}.whl"
    contents = dict(_contents(found, files, info, base))
    record = "".join(f"{path},{_hash(data)},{len(data)}\n" for path, data in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in contents.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
            archive.writestr(entry, data)
    return wheel


def _contents(
    found: Distribution, files: list[PackagePath], info: str, base: str
) -> Iterator[tuple[str, bytes]]:
    """Yield the path in the wheel and the content of each file, sorted."""
    scripts = {point.name for point in found.entry_points if point.group.endswith("_scripts")}
    for file in sorted(files):
        if file.suffix == ".pyc" or (file.parts[0] == info and file.name in _OF_INSTALLERS):
            continue
        path = file.as_posix()
        source = Path(os.path.normpath(str(found.locate_file(file))))
        if file.parts[0] == "..":
            if source.stem in scripts:
                continue  # made from the entry points again
            path = f"{base}.data/{_place(source)}"
        try:
            yield path, source.read_bytes()
        except OSError as error:
            raise BundleRejected(
                f"The package {found.name!r} cannot be locked: its file {path!r} cannot be read "
                f"({error.strerror}). Install the package again."
            ) from error


def _place(source: Path) -> str:
    """Return the path below a wheel's ``.data`` of a file outside of ``site-packages``."""
    below = source.relative_to(sys.prefix) if source.is_relative_to(sys.prefix) else source.name
    path = Path(below)
    if path.parts[0] in ("bin", "Scripts"):
        return f"scripts/{path.name}"
    return f"data/{path.as_posix()}"


def _tag(found: Distribution) -> str:
    """Return the compressed tag of the wheel that was installed."""
    lines = (found.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(":")[2].strip() for line in lines if line.startswith("Tag:")]
    parts = [tag.split("-") for tag in tags if tag.count("-") == 2] or [["py3", "none", "any"]]
    return "-".join(".".join(dict.fromkeys(column)) for column in zip(*parts, strict=True))


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={digest.decode().rstrip('=')}"
