"""Findings: their places, order and severities, and who decides on these."""

import pytest

from easymlnb.contract import quality
from easymlnb.contract.quality import Finding, check_severities, graded, report

NOW = "2026-11-30T10:00:00+00:00"


def finding(rule: str, severity: str = "warning", **place: object) -> Finding:
    check, _, code = rule.partition(":")
    return Finding(check=check, code=code, severity=severity, message="m", **place)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"cell": 2, "line": 4}, "cell 3, line 4"),
        ({"cell": 0, "output": True}, "cell 1, output"),
        ({"file": "lib/a.py", "line": 1}, "lib/a.py, line 1"),
        ({"service": "roll"}, "roll"),
        ({}, ""),
    ],
)
def test_places_are_for_people(place: dict[str, object], said: str) -> None:
    assert finding("ruff:F401", **place).place == said


def test_the_worst_come_first_and_nothing_twice() -> None:
    one, two = finding("ruff:F401", cell=1), finding("bandit:B602", "error", cell=3)
    found = report([one, one, two], {}, NOW)
    assert [item.rule for item in found.findings] == ["bandit:B602", "ruff:F401"]
    assert (found.counts.error, found.counts.warning, found.passed) == (1, 1, False)
    assert found.sentence() == "Quality gate failed: 1 error, 1 warning."
    assert report([one], {}, NOW).passed
    assert not report([one], {}, NOW, strict=True).passed


@pytest.mark.parametrize(
    ("author", "admin", "required", "severity"),
    [
        ({}, {}, False, "warning"),
        ({"ruff": "ignore"}, {}, False, None),
        ({"ruff": "ignore", "ruff:F8": "info", "ruff:F82": "error"}, {}, False, "error"),
        ({"ruff": "info"}, {}, True, "warning"),
        ({"ruff": "error"}, {}, True, "error"),
        ({"ruff": "error"}, {"ruff:F821": "info"}, True, "info"),
        ({"bandit": "error"}, {"bandit": "ignore"}, True, "warning"),
        # A check is no prefix of a rule of another one.
        ({"ruf": "error"}, {}, False, "warning"),
    ],
)
def test_severities(
    author: dict[str, str], admin: dict[str, str], required: bool, severity: str | None
) -> None:
    found = graded([finding("ruff:F821")], author, admin, required=required)
    assert [one.severity for one in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["ruff"], "must be a table"),
        ({"rufff": "error"}, "'rufff' is not a rule"),
        ({"ruff:": "error"}, "'ruff:' is not a rule"),
        ({3: "error"}, "'3' is not a rule"),
        ({"ruff": "fatal"}, "has the severity 'fatal'"),
        ({"ruff": None}, "has the severity 'None'"),
        ({f"ruff:F{n}": "error" for n in range(300)}, "more than 200"),
    ],
)
def test_invalid_severities_are_named(given: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_severities(given, "here")


def test_a_second_run_replaces_what_only_execution_shows() -> None:
    code = report(
        [
            finding("ruff:F401", cell=1),
            finding("metadata:source", cell=2, line=1, service="roll"),
            finding("metadata:license", cell=2, line=1, service="roll"),
        ],
        {"ruff": "1"},
        NOW,
    )
    executed = report(
        [finding("metadata:license", service="roll"), finding("secrets:x", cell=0, output=True)],
        {"examples": "2 run"},
        NOW,
    )
    found = quality.combined(code, executed)
    assert [(one.rule, one.cell) for one in found.findings] == [
        ("secrets:x", 0),
        ("ruff:F401", 1),
        ("metadata:license", 2),
    ]
    assert found.checks == {"ruff": "1", "examples": "2 run"}


def test_the_error_names_the_first_findings_and_has_the_report() -> None:
    found = report([finding("bandit:B602", "error", cell=3, line=2)], {}, NOW)
    error = quality.failed(found)
    assert "bandit:B602 in cell 4, line 2: m" in error.message
    assert quality.convert(error.details["quality"]) == found
    assert not quality.convert({"nonsense": 1}).passed
