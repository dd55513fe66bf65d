"""Known vulnerabilities of packages, from a local file: OSV records, or a report of pip-audit."""

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.quality import Finding, Severity

MAX_BYTES = 2**30
"""Unpacked bytes of a file with advisories."""

LEVELS: dict[str, Severity] = {"LOW": "info", "MODERATE": "warning", "MEDIUM": "warning"}
"""A record's own severity -> ours; without one, and above, it is an error."""

NOT_ADVISORIES = (
    "The file {path} has no advisories. Give OSV records (one, a list, or the ZIP of "
    "an ecosystem) or the JSON report of pip-audit."
)


@dataclass(frozen=True, slots=True)
class Advisories:
    """Advisories by the normalized names of packages.

    day: when the file was written.
    count: records for Python packages.
    """

    by_package: Mapping[str, tuple[Mapping[str, Any], ...]]
    day: str
    count: int

    def findings(self, packages: Mapping[str, str]) -> Iterator[Finding]:
        """Yield a finding for each known vulnerability of the packages, by name and version."""
        for name, version in sorted(packages.items()):
            reported = set[str]()
            for record in self.by_package.get(canonicalize_name(name), ()):
                names = {str(record.get("id")), *map(str, _list(record.get("aliases")))}
                if _affects(record, name, version) and not names & reported:
                    reported |= names
                    yield _finding(record, name, version)


def read(path: Path) -> Advisories:
    """Read a file; raises ``BadRequest`` that names it."""
    shown = repr(str(path))
    by_package: dict[str, list[Mapping[str, Any]]] = {}
    count = 0
    try:
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
        for record in _records(path):
            names = {canonicalize_name(name) for name in _packages(record)}
            count += bool(names)
            for name in names:
                by_package.setdefault(name, []).append(record)
    except OSError as error:
        why = error.strerror or "not a file"
        raise BadRequest(f"The advisories {shown} cannot be read ({why}).") from error
    except (ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        why = " ".join(str(error).split())[:200]
        raise BadRequest(f"The advisories {shown} are not valid JSON: {why}.") from error
    if not count:
        raise BadRequest(NOT_ADVISORIES.format(path=shown))
    return Advisories({name: tuple(found) for name, found in by_package.items()}, day, count)


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".json")]
            if sum(one.file_size for one in members) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
            for member in members:
                yield from _unpacked(json.loads(archive.read(member)))
        return
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    yield from _unpacked(json.loads(path.read_bytes()))


def _unpacked(document: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the records of a document: one, a list, OSV's answers, or pip-audit's report."""
    if isinstance(document, list):
        for one in document:
            yield from _unpacked(one)
    elif isinstance(document, dict) and isinstance(document.get("dependencies"), list):
        for package in document["dependencies"]:
            if isinstance(package, dict):
                yield from _of_pip_audit(package)
    elif isinstance(document, dict):
        for key in ("vulns", "results"):
            yield from _unpacked(_list(document.get(key)))
        if isinstance(document.get("id"), str) and not document.get("withdrawn"):
            yield document


def _of_pip_audit(package: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield pip-audit's findings on a package as OSV records for that one version."""
    name, version = package.get("name"), package.get("version")
    for one in _list(package.get("vulns")):
        if isinstance(one, dict) and isinstance(one.get("id"), str):
            affected = {
                "package": {"ecosystem": "PyPI", "name": name},
                "versions": [version],
                "fixed": _list(one.get("fix_versions")),
            }
            yield {
                "id": one["id"],
                "aliases": _list(one.get("aliases")),
                "summary": one.get("description"),
                "affected": [affected],
            }


def _packages(record: Mapping[str, Any]) -> Iterator[str]:
    for affected in _affected(record):
        package = affected.get("package")
        if isinstance(package, dict) and str(package.get("ecosystem")).lower() == "pypi":
            yield str(package.get("name"))


def _affected(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in _list(record.get("affected")) if isinstance(one, dict)]


def _concerning(record: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    wanted = canonicalize_name(name)
    for affected in _affected(record):
        if wanted in {canonicalize_name(one) for one in _packages({"affected": [affected]})}:
            yield affected


def _affects(record: Mapping[str, Any], name: str, version: str) -> bool:
    known = _version(version)
    for affected in _concerning(record, name):
        if version in _list(affected.get("versions")):
            return True
        for scope in _list(affected.get("ranges")):
            ordered = isinstance(scope, dict) and scope.get("type") in ("ECOSYSTEM", "SEMVER")
            if ordered and known is not None and _is_within(known, _list(scope.get("events"))):
                return True
    return False


def _is_within(version: Version, events: Iterable[Any]) -> bool:
    """Return whether a version is affected by a range, whose events are sorted first."""
    marks = []
    for event in events:
        for kind in ("introduced", "fixed", "last_affected") if isinstance(event, dict) else ():
            if kind in event:
                at = Version("0.dev0") if event[kind] == "0" else _version(event[kind])
                if at is not None:
                    marks.append((at, kind))
    inside = False
    for at, kind in sorted(marks, key=lambda mark: mark[0]):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _finding(record: Mapping[str, Any], name: str, version: str) -> Finding:
    own = record.get("database_specific")
    level = str(own.get("severity", "")) if isinstance(own, dict) else ""
    fixed = sorted(_fixes(record, name), key=lambda text: _version(text) or Version("0"))
    advice = f"Use {name} {fixed[-1]} or later." if fixed else "There is no fixed version."
    about = " ".join(str(record.get("summary") or record.get("details") or "").split())[:200]
    identifier = str(record["id"])
    return Finding(
        check="dependencies",
        code="".join(c for c in identifier if c.isalnum() or c in "_.-")[:60],
        severity=LEVELS.get(level.upper(), "error"),
        message=" ".join(filter(None, (f"{name} {version} is vulnerable.", about, advice))),
        url=f"https://osv.dev/vulnerability/{identifier}",
    )


def _fixes(record: Mapping[str, Any], name: str) -> Iterator[str]:
    for affected in _concerning(record, name):
        yield from (str(one) for one in _list(affected.get("fixed")))
        for scope in _list(affected.get("ranges")):
            if isinstance(scope, dict) and scope.get("type") != "GIT":
                events = [one for one in _list(scope.get("events")) if isinstance(one, dict)]
                yield from (str(one["fixed"]) for one in events if "fixed" in one)


def _version(text: Any) -> Version | None:
    try:
        return Version(str(text))
    except InvalidVersion:
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
