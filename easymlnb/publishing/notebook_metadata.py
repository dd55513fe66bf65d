"""Metadata of services outside their code: notebook metadata and a YAML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easymlnb.contract import installation, metadata
from easymlnb.contract.errors import BundleRejected
from easymlnb.contract.metadata import SERVICES, Problem

KEY = "easymlnb"
"""The key in a notebook's metadata."""

MAX_FILE = 256 * 1024
"""Limit of a YAML file in bytes."""


def metadata_files(notebook: str) -> tuple[str, str]:
    """Return the possible YAML files of a notebook; the first one that exists counts."""
    return f"{notebook.removesuffix('.ipynb')}.easymlnb.yaml", "easymlnb.yaml"


def read_metadata(path: Path, notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validated metadata of the services of the notebook at ``path``.

    The notebook's own metadata override the YAML file. Raises ``BundleRejected``: each entry of its
    ``details`` has the ``field`` and a ``message``.
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    own = (notebook.get("metadata") or {}).get(KEY)
    files = (path.parent / name for name in metadata_files(path.name))
    file = next((file for file in files if file.is_file()), None)
    sources = [(file.name, _yaml(file))] if file else []
    for source, fields in [*sources, (f"The metadata of {path.name}", own)]:
        if fields is None:
            continue
        checked, wrong = metadata.read(_with_thumbnails(fields, path.parent))
        problems += [Problem(one.field, f"{one.message} ({source})") for one in wrong]
        found = metadata.merged(found, checked)
    if problems:
        raise metadata.rejected(problems)
    return found


def _yaml(file: Path) -> Any:
    if packages := installation.missing("yaml"):
        raise BundleRejected(f"{installation.install_hint(file.name, *packages)}.")
    import yaml

    try:
        data = file.read_bytes()
        if len(data) > MAX_FILE:
            raise BundleRejected(
                f"{file.name} exceeds the limit of {MAX_FILE // 1024} KB. Shorten the file."
            )
        return yaml.safe_load(data)
    except OSError as error:
        raise BundleRejected(f"{file.name} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BundleRejected(f"{file.name} is not valid YAML{at}.") from error


def _with_thumbnails(fields: Any, folder: Path) -> Any:
    """Return the fields with thumbnails read from their files."""
    if not isinstance(fields, Mapping):
        return fields
    found = dict(fields)
    name = found.get("thumbnail")
    if isinstance(name, str) and not name.startswith("data:"):
        found["thumbnail"] = _thumbnail(folder, name)
    if isinstance(services := found.get(SERVICES), Mapping):
        found[SERVICES] = {name: _with_thumbnails(own, folder) for name, own in services.items()}
    return found


def _thumbnail(folder: Path, name: str) -> str:
    from easymlnb.services import thumbnail

    try:
        return thumbnail.of_file(folder / name)
    except ValueError as error:
        raise metadata.rejected([Problem("thumbnail", str(error))]) from error
