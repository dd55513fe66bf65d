"""Bandit: insecure code in the cells and modules."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from easymlnb.contract.quality import Finding, Severity
from easymlnb.publishing.gate import tools
from easymlnb.publishing.gate.literals import without_numbers
from easymlnb.publishing.gate.sources import SourceFile

SEVERITIES: dict[str, Severity] = {"HIGH": "error", "MEDIUM": "warning", "LOW": "info"}

# Secrets are another check, and asserts are no risk in a notebook.
SKIPPED = "B101,B105,B106,B107"


def run(folder: Path, sources: Iterable[SourceFile], *, comments: bool) -> list[Finding]:
    """Return the findings of bandit in the sources, which are written below the folder."""
    known = {source.name: source for source in sources if source.lines}
    if not known:
        return []
    inner = folder / "bandit"
    inner.mkdir()
    for source in known.values():
        without_numbers(source).write(inner)
    options = ["--format", "json", "--quiet", "--exit-zero", "--skip", SKIPPED]
    options += [] if comments else ["--ignore-nosec"]
    try:
        found = tools.run_module("bandit", [*options, *known], inner)
    except tools.TimeIsOver as error:
        return [
            Finding(check="bandit", code="not-checked", severity="error", message=error.message)
        ]
    report = found if isinstance(found, dict) else {}
    skipped = [_skipped(one, known) for one in tools.whole(report.get("errors", []))]
    return [*skipped, *(_finding(one, known) for one in tools.whole(report.get("results", [])))]


def _skipped(one: Mapping[str, Any], sources: Mapping[str, SourceFile]) -> Finding:
    source = sources[Path(str(one.get("filename"))).name]
    return Finding(
        check="bandit",
        code="not-checked",
        severity="error",
        message=f"The code was not checked ({tools.text(one.get('reason'), 200)}). Correct it.",
        file=str(source.place(1).get("file", "")),
    )


def _finding(one: Mapping[str, Any], sources: Mapping[str, SourceFile]) -> Finding:
    severity = SEVERITIES.get(str(one.get("issue_severity")), "warning")
    if one.get("issue_confidence") == "LOW" and severity == "error":
        severity = "warning"
    source = sources[Path(str(one.get("filename"))).name]
    return Finding(
        check="bandit",
        code=str(one.get("test_id")),
        severity=severity,
        message=tools.text(one.get("issue_text")),
        url=str(one.get("more_info") or ""),
        **source.place(int(one.get("line_number") or 1)),
    )
