"""Known vulnerabilities from local files."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.errors import BadRequest
from easymlnb.publishing.gate.advisories import read


def record(id: str = "GHSA-1", **more: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": "Some_Package"}
    events = [{"introduced": "0"}, {"fixed": "1.4"}, {"introduced": "2.0"}, {"fixed": "2.0.3"}]
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    affected = [{"package": package, "ranges": ranges}]
    return {"id": id, "summary": "It leaks.", "affected": affected, **more}


def codes(path: Path, **packages: str) -> list[tuple[str, str]]:
    named = {name.replace("_", "-"): version for name, version in packages.items()}
    return [(one.code, one.severity) for one in read(path).findings(named)]


def written(folder: Path, document: Any) -> Path:
    path = folder / "advisories.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("0.1", True), ("1.3.9", True), ("1.4rc1", True), ("1.4", False), ("1.9", False),
        ("2.0", True), ("2.0.2", True), ("2.0.3", False), ("not a version", False),
    ],
)  # fmt: skip
def test_ranges(tmp_path: Path, version: str, affected: bool) -> None:
    found = codes(written(tmp_path, [record()]), some_package=version, other="1")
    assert found == ([("GHSA-1", "error")] if affected else [])


def test_listed_versions_and_last_affected(tmp_path: Path) -> None:
    package = {"ecosystem": "PyPI", "name": "a"}
    last = {"type": "ECOSYSTEM", "events": [{"introduced": "1"}, {"last_affected": "3"}]}
    document = [
        {"id": "A", "affected": [{"package": package, "versions": ["1.0-weird"]}]},
        {"id": "B", "affected": [{"package": package, "ranges": [last]}]},
        {
            "id": "C",
            "affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["3"]}],
        },
        {"id": "D", "withdrawn": "2024", "affected": [{"package": package, "versions": ["3"]}]},
    ]
    path = written(tmp_path, document)
    assert codes(path, a="1.0-weird") == [("A", "error")]
    assert codes(path, a="3") == [("B", "error")]
    assert codes(path, a="3.1") == []


def test_severities_fixes_and_aliases(tmp_path: Path) -> None:
    first = record(database_specific={"severity": "MODERATE"}, aliases=["CVE-1"])
    path = written(tmp_path, [first, record("PYSEC-1", aliases=["CVE-1"])])
    (found,) = read(path).findings({"some-package": "1.0"})
    assert (found.severity, found.code) == ("warning", "GHSA-1")
    assert (
        found.message
        == "some-package 1.0 is vulnerable. It leaks. Use some-package 2.0.3 or later."
    )


def test_zips_of_osv_and_reports_of_pip_audit(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("GHSA-1.json", json.dumps(record()))
        archive.writestr("readme.txt", "no")
    assert (read(path).count, codes(path, some_package="1")) == (1, [("GHSA-1", "error")])
    vulnerable = {"id": "PYSEC-2", "fix_versions": ["3.2"], "aliases": [], "description": "Bad."}
    report = {"dependencies": [{"name": "flask", "version": "0.5", "vulns": [vulnerable]}]}
    path = written(tmp_path, report)
    (found,) = read(path).findings({"Flask": "0.5", "django": "1"})
    assert found.message == "Flask 0.5 is vulnerable. Bad. Use Flask 3.2 or later."
    assert codes(path, flask="0.6") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"{}", "has no advisories"),
        (b'[3, null, {"id": 4}, {"id": "x", "affected": 3}]', "has no advisories"),
        (b'{"dependencies": [{"name": 3, "vulns": 4}, 5]}', "has no advisories"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "advisories.json"
    path.write_bytes(content)
    with pytest.raises(BadRequest, match=rf"advisories\.json'? .*{said}|{said}"):
        read(path)


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        read(tmp_path / "nothing.json")
    with pytest.raises(BadRequest, match="cannot be read"):
        read(tmp_path)
