"""Metadata of services from outside of their code: notebook metadata and a YAML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easymlnb.contract import installation, metadata
from easymlnb.contract.errors import BundleRejected
from easymlnb.contract.metadata import SERVICES, Problem

KEY = "easymlnb"
"""Where a notebook's metadata has it."""

MAX_FILE = 256 * 1024
"""Limit of a YAML file in bytes."""


def names(notebook: str) -> tuple[str, str]:
    """Return the YAML files of a notebook of that name; the first one there is counts."""
    return f"{notebook.removesuffix('.ipynb')}.easymlnb.yaml", "easymlnb.yaml"


def said(path: Path, notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said about the services of the notebook at ``path``, checked.

    The notebook's own metadata count more than the YAML file. Raises ``BundleRejected``: each entry
    of its ``details`` has the ``field`` and a ``message``.
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    own = (notebook.get("metadata") or {}).get(KEY)
    file = next((one for name in names(path.name) if (one := path.parent / name).is_file()), None)
    told = [(file.name, _yaml(file))] if file else []
    for place, fields in [*told, (f"The metadata of {path.name}", own)]:
        if fields is None:
            continue
        checked, wrong = metadata.read(_with_pictures(fields, path.parent))
        problems += [Problem(one.field, f"{one.message} ({place})") for one in wrong]
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
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BundleRejected(f"{file.name} is not valid YAML{where}.") from error


def _with_pictures(told: Any, folder: Path) -> Any:
    """Return the fields with the thumbnails read from the files they name."""
    if not isinstance(told, Mapping):
        return told
    found = dict(told)
    name = found.get("thumbnail")
    if isinstance(name, str) and not name.startswith("data:"):
        found["thumbnail"] = _picture(folder, name)
    if isinstance(services := found.get(SERVICES), Mapping):
        found[SERVICES] = {one: _with_pictures(fields, folder) for one, fields in services.items()}
    return found


def _picture(folder: Path, name: str) -> str:
    from easymlnb.services import thumbnail

    try:
        return thumbnail.of_file(folder / name)
    except ValueError as error:
        raise metadata.rejected([Problem("thumbnail", str(error))]) from error
