"""``easymlnb provenance``, ``diff`` and ``checkout``: what versions were made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer

from easymlnb.cli import output
from easymlnb.client import Client
from easymlnb.contract.environment_record import Drift

SHORT = 12
"""Characters of a digest."""


def split_version(text: str, required: bool = False) -> tuple[str, str]:
    """Return the name and the version of ``NAME@VERSION``; the version may be missing."""
    name, at, version = text.rpartition("@")
    if not at or "/" in version:  # an owner on a Hub may have an @ in its name
        name, version = text, ""
    elif not (name and version):
        raise ValueError(f"{text!r} is not NAME@VERSION, such as roll@3.")
    if required and not version:
        raise ValueError(f"{text!r} names no version. Use NAME@VERSION, such as {text}@3.")
    return name, version


def version_or_current(client: Client, name: str, version: str) -> str:
    """Return ``version``, or the one that answers now; raises ``ValueError`` for a live service."""
    if version:
        return version
    current = client.admin.service(name).get("version")
    if current is None:
        raise ValueError(f"{name} is a live service without published versions.")
    return str(current)


def show_provenance(found: Mapping[str, Any]) -> None:
    """Print what a version was made from."""
    commit = found.get("commit", "none")
    if found.get("dirty"):
        commit += " (with changes)"
    rows = {
        "Version": f"{found['service']} {found['version']}",
        "Published": f"{str(found['published'])[:19].replace('T', ' ')} by {found['publisher']}",
        "Notebook": found["notebook"],
        "Git commit": commit,
        "Python": f"{found['python']} ({found['platform']})",
        "Environment": found["environment"] + f" {str(found.get('lock') or '')[:SHORT]}",
        "Bundle": str(found["bundle"])[:SHORT],
    }
    for label, value in rows.items():
        output.line(f"{label + ':':<13}{str(value).rstrip()}")
    _list("Files", {path: sha[:SHORT] for path, sha in found["files"].items()})
    inputs = {
        path: f"{one.get('sha256', '')[:SHORT] or 'not read'}  {one['size']:,} bytes"
        for path, one in found["inputs"].items()
    }
    _list("Inputs outside of the bundle", inputs)
    _list("Packages", found["packages"])
    drift = found.get("drift")
    if drift is not None:
        show_drift(drift)


def drift_sentence(drift: Mapping[str, Any]) -> str:
    """Return the packages that changed since publishing in a sentence."""
    return msgspec.convert(drift, Drift).sentence


def show_drift(drift: Mapping[str, Any]) -> None:
    """Print the packages that changed since publishing."""
    changed = {name: f"{old} -> {new}" for name, (old, new) in drift["changed"].items()}
    changed |= {name: f"{old} -> not installed" for name, old in drift["missing"].items()}
    if changed:
        _list("Packages changed since publishing", changed)
    else:
        output.line("No package changed since publishing.")


def checkout(client: Client, name: str, version: str, folder: Path | None, json: bool) -> None:
    """Write a version to a folder, and print what was written."""
    chosen = folder or Path(f"{name.rpartition('/')[2]}-{version}")
    done = client.admin.checkout(name, version, chosen)
    if json:
        output.as_json(
            {
                "folder": str(done.folder),
                "notebook": str(done.notebook),
                "files": list(done.files),
                "install": done.install,
            }
        )
        return
    output.line(f"{name} version {version} is in {done.folder}: {', '.join(done.files)}")
    output.message(f"Its packages: cd {done.folder} && {done.install}")


def save_crate(client: Client, name: str, version: str, file: Path) -> None:
    """Write a version as an RO-Crate."""
    file.write_bytes(client.admin.version_crate(name, version))
    output.message(f"Wrote {file}.")


def show_diff(found: Mapping[str, Any]) -> None:
    """Print the difference of two versions."""
    typer.echo(output.clean(str(found["text"])), nl=False)


def _list(title: str, rows: Mapping[str, str]) -> None:
    if rows:
        output.line(f"{title}:")
    width = max(map(len, rows), default=0)
    for name, value in rows.items():
        output.line(f"  {name:<{min(width, 40)}}  {value}")
