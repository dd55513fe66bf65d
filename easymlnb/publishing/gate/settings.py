"""The author's settings of the gate: a file next to the notebook, or ``pyproject.toml``."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.quality import check_severities

FILE = "easymlnb-gate.toml"
PROJECT = "pyproject.toml"
KEYS = ("severity", "advisories")


@dataclass(frozen=True, slots=True)
class AuthorSettings:
    """severity: by check or rule; advisories: a local file with known vulnerabilities."""

    severity: dict[str, str] = field(default_factory=dict)
    advisories: Path | None = None


def read_settings(notebook: Path) -> AuthorSettings:
    """Return the settings for a notebook; raises ``BadRequest`` that names the file.

    They are in ``easymlnb-gate.toml`` next to it, else under ``[tool.easymlnb.gate]`` of the
    nearest ``pyproject.toml`` that has this table.
    """
    folder = notebook.resolve().parent
    own = folder / FILE
    if own.is_file():
        return _settings(_toml(own), own)
    for parent in (folder, *folder.parents):
        project = parent / PROJECT
        if project.is_file():
            table: Any = _toml(project)
            for key in ("tool", "easymlnb", "gate"):
                table = table.get(key) if isinstance(table, dict) else None
            if table is not None:
                return _settings(table, project)
        if (parent / ".git").exists():
            break
    return AuthorSettings()


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRequest(f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{file} is not valid TOML: {str(error)[:200]}.") from error


def _settings(table: Any, file: Path) -> AuthorSettings:
    if not isinstance(table, dict):
        raise BadRequest(f"{file}: the settings of the gate must be a table.")
    unknown = next((key for key in table if key not in KEYS), None)
    if unknown is not None:
        raise BadRequest(f"{file}: the gate has no setting {unknown!r}. Known: {', '.join(KEYS)}.")
    advisories = table.get("advisories")
    if advisories is not None and not isinstance(advisories, str):
        raise BadRequest(f"{file}: advisories must be the path of a file.")
    try:
        severity = check_severities(table.get("severity", {}), str(file))
    except ValueError as error:
        raise BadRequest(str(error)) from error
    return AuthorSettings(severity, file.parent / advisories if advisories else None)
