"""``easymlnb check``, and the quality gate of ``easymlnb publish --gate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from easymlnb.cli import output
from easymlnb.cli.options import Exclude, Include
from easymlnb.contract.quality import CHOICES, QualityReport, check_severities

if TYPE_CHECKING:
    from easymlnb.publishing.bundle import BuiltBundle

COLUMNS = {"severity": "SEVERITY", "rule": "RULE", "place": "WHERE", "message": "FINDING"}

Advisories = Annotated[
    Path | None,
    typer.Option(
        help="Local file with known vulnerabilities: OSV records (JSON or ZIP), or the JSON report "
        "of pip-audit."
    ),
]


def check(
    notebook: Annotated[Path, typer.Argument(help="Path of the notebook.")],
    include: Include = None,
    exclude: Exclude = None,
    advisories: Advisories = None,
    severity: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Severity of a check or rule ({', '.join(CHOICES)}), such as ruff:F401=ignore; "
            "may be repeated.",
            metavar="RULE=SEVERITY",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Check a notebook as the quality gate does; exit with 1 if it fails. Does not run its code."""
    from easymlnb.publishing.gate.local import GateOptions, check_notebook

    options = GateOptions(advisories, severities(severity or []), strict)
    found = check_notebook(notebook, options, include=include or (), exclude=exclude or ())
    show(found, json=json)
    if not found.passed:
        raise typer.Exit(1)


def severities(given: list[str]) -> dict[str, str]:
    """Return the severities by rule; raises ``ValueError``."""
    pairs = [text.rpartition("=") for text in given]
    wrong = next((text for text, pair in zip(given, pairs, strict=True) if not pair[1]), None)
    if wrong is not None:
        raise ValueError(
            f"--severity: {wrong!r} must have the form RULE=SEVERITY, such as bandit:B301=warning."
        )
    return check_severities({rule: level for rule, _, level in pairs}, "--severity")


def show(found: QualityReport, *, json: bool) -> None:
    """Print a report as a table, or as JSON."""
    if json:
        output.as_json(msgspec.to_builtins(found))
        return
    rows = [
        {
            "severity": one.severity,
            "rule": one.rule,
            "place": one.place or "notebook",
            "message": one.message,
        }
        for one in found.findings
    ]
    if rows:
        output.table(rows, COLUMNS)
    output.message(found.sentence())


def pass_gate(
    notebook: Path, bundle: "BuiltBundle", advisories: Path | None, *, json: bool
) -> dict[str, str]:
    """Check a notebook, print the findings, and return the author's severities.

    Exits with 1 if it does not pass.
    """
    from easymlnb.publishing.gate.local import GateOptions, check_built, settings_of

    options = GateOptions(advisories)
    found = check_built(notebook, bundle, options)
    if not found.passed:
        show(found, json=json)
        raise typer.Exit(1)
    for line in found.lines():
        output.message(output.clean(line))
    return settings_of(notebook, options).severity
