"""What models, versions and aliases may be called and contain. Pure functions."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import msgspec

from easymlnb.contract.archive import check_path
from easymlnb.contract.errors import BadRequest, BundleRejected
from easymlnb.contract.model_names import ALIAS, LATEST, MODEL
from easymlnb_server.model_registry.models import Row, VersionDocument
from easymlnb_server.store.model_records import MetricPoint, ModelFile

MAX_DOCUMENT = 8 * 2**20
"""Bytes of the description of a version."""

MAX_POINTS = 200_000
"""Values in the learning curves of a version."""

MAX_LABEL = 200
MAX_FILES = 2000

RUNS_CODE = frozenset(("joblib", "pickle", "mlflow"))
"""Formats whose files can run code when they are opened."""


def check_name(name: str) -> str:
    """Return the short name of a new model; raises ``BadRequest``."""
    if not MODEL.match(name) or name == "page":
        raise BadRequest(
            f"Invalid model name {name[:80]!r}: use a letter, followed by letters, digits, _ and - "
            "(at most 63). 'page' is reserved."
        )
    return name


def check_alias(alias: str) -> str:
    """Return the name of an alias; raises ``BadRequest``."""
    if not ALIAS.match(alias) or alias == LATEST or re.match(r"v[0-9]+\Z", alias):
        raise BadRequest(
            f"Invalid alias {alias[:80]!r}: use a letter, followed by letters, digits, _ and - (at "
            "most 63). 'latest' and names such as 'v1' are reserved."
        )
    return alias


def check_files(files: Iterable[ModelFile]) -> tuple[ModelFile, ...]:
    """Return the files of a version; raises ``BadRequest`` for an invalid or repeated path."""
    found = tuple(files)
    if not found:
        raise BadRequest("The version has no files.")
    if len(found) > MAX_FILES:
        raise BadRequest(f"The version has {len(found):,} files; at most {MAX_FILES:,} are stored.")
    for file in found:
        try:
            check_path(file.path)
        except BundleRejected as error:
            raise BadRequest(f"Invalid path {file.path[:80]!r} of a file.") from error
    if len({file.path for file in found}) < len(found):
        raise BadRequest("Two files of the version have the same path.")
    return found


def check_document(document: VersionDocument, files: Iterable[ModelFile]) -> None:
    """Raise ``BadRequest`` if the description of a version is not valid."""
    main = document.flavor.get("main", "")
    if not isinstance(main, str) or (main and main not in {file.path for file in files}):
        raise BadRequest(f"The main file {str(main)[:80]!r} is not among the files of the version.")
    for kind, names in (
        ("metric", {*document.metrics, *(name for name, _, _ in document.curves)}),
        ("parameter", document.params),
        ("tag", document.tags),
    ):
        for name in names:
            if not 0 < len(name) <= MAX_LABEL or not name.isprintable():
                raise BadRequest(
                    f"A {kind} must have a name with 1 to {MAX_LABEL} printable characters, not "
                    f"{name[:80]!r}."
                )
    values = [*document.metrics.values(), *(value for _, _, value in document.curves)]
    if not all(map(isfinite, values)):
        raise BadRequest("Metrics must be finite numbers.")
    if len(document.curves) > MAX_POINTS:
        raise BadRequest(f"The learning curves have over {MAX_POINTS:,} values.")
    if any(not 0 <= step < 2**63 for _, step, _ in document.curves):
        raise BadRequest("The steps of metrics must be whole numbers from 0 on.")


def points(document: VersionDocument, now: float) -> tuple[MetricPoint, ...]:
    """Return the learning curves of a description."""
    return tuple(MetricPoint(name, step, value, now) for name, step, value in document.curves)


def runs_code(format: str, flavor: Mapping[str, Any]) -> bool:
    """Return whether opening a version can run code."""
    return format in RUNS_CODE or bool(flavor.get("types"))


def rows_of(values: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the values of each name side by side, those that differ first."""
    given = list(values)
    names = dict.fromkeys(name for one in given for name in one)
    rows = []
    for name in names:
        found = [one.get(name) for one in given]
        distinct = {msgspec.json.encode(value) for value in found}
        rows.append(Row(name=name, values=found, same=len(distinct) == 1))
    return sorted(rows, key=lambda row: row.same)
