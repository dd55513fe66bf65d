"""MLflow's words for models: names, filters and entities. Pure functions.

MLflow's names have no slash, so ``alice/forest`` is ``alice.forest`` there.
"""

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from easymlnb.contract.errors import BadRequest
from easymlnb_server.store.model_records import ModelOverview, ModelVersionRow

PROMPTS = "tag.`mlflow.prompt.is_prompt`"
"""What MLflow's clients add to a search: they do not want prompts, which we do not have."""

_CLAUSE = re.compile(
    r"\s*(?P<field>name|tags?\.`?[\w.]+`?)\s*(?P<sign>!=|=|I?LIKE)\s*'(?P<text>[^']*)'\s*", re.I
)


def to_mlflow(name: str) -> str:
    """Return a model's name in MLflow."""
    return name.replace("/", ".")


def from_mlflow(name: str) -> str:
    """Return the name of a model that MLflow names; without an owner it is the caller's own."""
    owner, dot, short_name = name.rpartition(".")
    return f"{owner}/{short_name}" if dot else name


def name_filter(text: str) -> Callable[[str], bool]:
    """Return what a filter of MLflow says about names; raises ``BadRequest`` for another one."""
    checks: list[Callable[[str], bool]] = []
    for clause in re.split(r"\sAND\s", text, flags=re.I) if text.strip() else ():
        found = _CLAUSE.fullmatch(clause)
        if found is None or (found["field"].lower() != "name" and PROMPTS not in clause):
            raise BadRequest(
                f"Unsupported filter {clause[:200]!r}. Use name = 'x', name LIKE 'x%' or "
                "name ILIKE 'x%'."
            )
        if found["field"].lower() == "name":
            checks.append(_check(found["sign"].upper(), found["text"]))
    return lambda name: all(check(name) for check in checks)


def _check(sign: str, text: str) -> Callable[[str], bool]:
    if sign in ("=", "!="):
        return lambda name: (name == text) is (sign == "=")
    escaped = re.sub(r"([\[\]*?])", r"[\1]", text).replace("%", "*").replace("_", "?")
    if sign == "ILIKE":
        return lambda name: fnmatchcase(name.lower(), escaped.lower())
    return lambda name: fnmatchcase(name, escaped)


def registered_model(found: ModelOverview, latest: ModelVersionRow | None) -> dict[str, Any]:
    """Return a model as MLflow describes it."""
    model = found.model
    return {
        "name": to_mlflow(model.name),
        "creation_timestamp": _milliseconds(model.created),
        "last_updated_timestamp": _milliseconds(model.changed),
        "description": model.description or model.title,
        "tags": _tags(model.tags),
        "aliases": [
            {"alias": alias, "version": str(number)} for alias, number in found.aliases.items()
        ],
        "latest_versions": [] if latest is None else [model_version(latest, found.aliases)],
    }


def model_version(row: ModelVersionRow, aliases: dict[str, int]) -> dict[str, Any]:
    """Return a version as MLflow describes it."""
    created = _milliseconds(row.created)
    return {
        "name": to_mlflow(row.model),
        "version": str(row.number),
        "creation_timestamp": created,
        "last_updated_timestamp": created,
        "user_id": row.author,
        "current_stage": "None",
        "description": row.note,
        "source": download_uri(row),
        "run_id": str(row.lineage.get("mlflow_run") or row.job or ""),
        "status": "READY",
        "tags": _tags(row.tags),
        "aliases": [alias for alias, number in aliases.items() if number == row.number],
    }


def download_uri(row: ModelVersionRow) -> str:
    """Return where MLflow finds the files of a version: below its tracking URI."""
    return f"mlflow-artifacts:/models/{to_mlflow(row.model)}/{row.number}"


def listing(paths: Iterable[tuple[str, int]], folder: str) -> list[dict[str, Any]]:
    """Return what is directly in a folder of a version, whose files have these paths and sizes."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for path, size in paths:
        if not path.startswith(prefix):
            continue
        name, slash, _ = path.removeprefix(prefix).partition("/")
        found[name] = (
            {"path": name, "is_dir": True}
            if slash
            else {"path": name, "is_dir": False, "file_size": size}
        )
    return [found[name] for name in sorted(found)]


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
