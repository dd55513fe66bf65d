"""The quality report of a notebook: findings, their severities, and who decides on these."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import QualityGateFailed

Severity = Literal["error", "warning", "info"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the worst; an error stops publishing."""

IGNORE = "ignore"
CHOICES = (*SEVERITIES, IGNORE)

CHECKS = {
    "notebook": "that the notebook has services and is Python",
    "ruff": "defects in the code",
    "bandit": "insecure code",
    "secrets": "passwords and tokens in cells, outputs and files",
    "dependencies": "packages with known vulnerabilities",
    "schema": "types of parameters and results",
    "metadata": "what catalogs need",
    "examples": "examples of each service",
}
"""Name of a check -> what it looks for."""

MAX_FINDINGS = 500
"""Findings that a report lists; the others are counted."""

MAX_RULES = 200
_RULE = re.compile(r"[a-z]{1,20}(:[A-Za-z0-9_.-]{1,60})?\Z")


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finding of a check."""

    check: Annotated[str, Meta(description="Such as `ruff`, `bandit` or `secrets`.")]
    code: Annotated[str, Meta(description="The rule of the check, such as `F821`.")]
    severity: Severity
    message: str
    cell: Annotated[int | None, Meta(description="Index of the cell, from 0.")] = None
    line: Annotated[int | None, Meta(description="Line of the cell or file, from 1.")] = None
    file: Annotated[str, Meta(description="A file of the bundle; empty for a cell.")] = ""
    output: Annotated[bool, Meta(description="Whether it is in an output of the cell.")] = False
    service: Annotated[str, Meta(description="The service, for its metadata.")] = ""
    url: Annotated[str, Meta(description="More about the rule.")] = ""

    @property
    def rule(self) -> str:
        """The name by which settings refer to it."""
        return f"{self.check}:{self.code}"

    @property
    def place(self) -> str:
        """Where it is, for people, who count cells from 1."""
        if self.cell is not None:
            parts = [self.file, f"cell {self.cell + 1}", "output" if self.output else ""]
        else:
            parts = [self.file or self.service]
        parts.append(f"line {self.line}" if self.line is not None else "")
        return ", ".join(filter(None, parts))


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many findings there are of each severity."""

    error: int = 0
    warning: int = 0
    info: int = 0

    @property
    def total(self) -> int:
        return self.error + self.warning + self.info


class QualitySummary(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody may know of a report."""

    checked: Annotated[str, Meta(description="When the checks ran, in ISO 8601.")]
    passed: Annotated[bool, Meta(description="Whether no finding is an error.")]
    counts: Counts


class QualityReport(QualitySummary, frozen=True, kw_only=True):
    """The findings of all checks, the worst first."""

    checks: Annotated[
        dict[str, str], Meta(description="The checks that ran, with versions of their tools.")
    ] = {}
    findings: tuple[Finding, ...] = ()

    @property
    def summary(self) -> QualitySummary:
        return QualitySummary(checked=self.checked, passed=self.passed, counts=self.counts)

    def lines(self) -> list[str]:
        """Return a line for each finding, and one with their number."""
        shown = [
            f"{one.severity:<7}  {one.rule}  {one.place or 'notebook'}: {one.message}"
            for one in self.findings
        ]
        return [*shown, self.sentence()]

    def sentence(self) -> str:
        """Return the result in one sentence."""
        return f"Quality gate {'passed' if self.passed else 'failed'}: {described(self.counts)}."


def described(counts: Counts) -> str:
    """Return numbers of findings in words."""
    numbers = (("error", counts.error), ("warning", counts.warning), ("note", counts.info))
    parts = [f"{n} {word}{'s' if n > 1 else ''}" for word, n in numbers if n]
    return ", ".join(parts) or "no findings"


def report(
    findings: Iterable[Finding], checks: Mapping[str, str], checked: str, *, strict: bool = False
) -> QualityReport:
    """Return the report of findings; ``strict`` fails for warnings, too."""
    ordered = sorted(
        dict.fromkeys(findings),
        key=lambda one: (
            SEVERITIES.index(one.severity),
            *(-1 if n is None else n for n in (one.cell, one.line)),
            one.file,
            one.rule,
        ),
    )
    found = Counter[str](one.severity for one in ordered)
    counts = Counts(**found)
    return QualityReport(
        checked=checked,
        passed=not (counts.error or (strict and counts.warning)),
        counts=counts,
        checks=dict(checks),
        findings=tuple(ordered[:MAX_FINDINGS]),
    )


def combined(code: QualityReport, executed: QualityReport) -> QualityReport:
    """Return one report: of one run what concerns code, of the other what only execution shows.

    The first says where services are defined, the second what they are.
    """
    places = {one.service: (one.cell, one.line) for one in code.findings if one.service}
    kept = [one for one in code.findings if not _of_execution(one)]
    for one in executed.findings:
        if _of_execution(one):
            cell, line = places.get(one.service, (one.cell, one.line))
            kept.append(msgspec.structs.replace(one, cell=cell, line=line))
    checked = max(code.checked, executed.checked)
    return report(kept, {**executed.checks, **code.checks}, checked)


def _of_execution(finding: Finding) -> bool:
    return finding.output or bool(finding.service)


def failed(found: QualityReport) -> QualityGateFailed:
    """Return the error for a report that did not pass."""
    errors = [one for one in found.findings if one.severity == "error"][:3]
    shown = "; ".join(
        f"{one.rule} in {one.place or 'the notebook'}: {one.message}" for one in errors
    )
    message = f"The notebook did not pass the quality gate ({described(found.counts)}). {shown}"
    return QualityGateFailed(message[:2000], details={"quality": msgspec.to_builtins(found)})


def convert(document: Any) -> QualityReport:
    """Read a report from JSON values; one of an unknown form has no findings."""
    try:
        return msgspec.convert(document, QualityReport)
    except msgspec.ValidationError:
        return QualityReport(checked="", passed=False, counts=Counts())


def check_severities(given: Any, source: str) -> dict[str, str]:
    """Return severities by check or rule; raises ``ValueError`` that names ``source``."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{source}: the severities must be a table such as {{ruff = 'warning'}}.")
    if len(given) > MAX_RULES:
        raise ValueError(f"{source}: more than {MAX_RULES} severities. Name checks, not rules.")
    for rule, severity in given.items():
        name = str(rule).partition(":")[0]
        if not isinstance(rule, str) or not _RULE.match(rule) or name not in CHECKS:
            raise ValueError(
                f"{source}: {str(rule)[:80]!r} is not a rule. Name a check, such as 'bandit', or a "
                f"rule of it, such as 'bandit:B301'. Checks: {', '.join(CHECKS)}."
            )
        if severity not in CHOICES:
            raise ValueError(
                f"{source}: {rule} has the severity {str(severity)[:40]!r}. Choose one of "
                f"{', '.join(CHOICES)}."
            )
    return dict(given)


def graded(
    findings: Iterable[Finding],
    author: Mapping[str, str],
    admin: Mapping[str, str],
    *,
    required: bool,
) -> list[Finding]:
    """Return the findings with the severities that the author and the administrator set.

    The administrator's take precedence. If the gate is ``required``, the author's can only be
    stricter than the check's own.
    """
    result = []
    for one in findings:
        wanted = _setting(author, one)
        if required and wanted is not None and _rank(wanted) > _rank(one.severity):
            wanted = None
        decided = _setting(admin, one) or wanted or one.severity
        if decided != IGNORE:
            severity: Severity = next(name for name in SEVERITIES if name == decided)
            result.append(msgspec.structs.replace(one, severity=severity))
    return result


def _setting(severities: Mapping[str, str], finding: Finding) -> str | None:
    """Return the severity for the longest matching rule, e.g. ``ruff:F8`` for ``ruff:F821``."""
    matching = [
        rule
        for rule in severities
        if rule == finding.check or (":" in rule and finding.rule.startswith(rule))
    ]
    return severities[max(matching, key=len)] if matching else None


def _rank(severity: str) -> int:
    return CHOICES.index(severity)
