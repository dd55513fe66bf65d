"""``f.check()`` and ``f.publish(gate=True)``: the quality gate in a notebook."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.quality import Counts, Finding, QualityReport, check_severities
from easymlnb.publishing.bundle import BuiltBundle
from easymlnb.services.definition import SERVICES

COLORS = {"error": "#c0392b", "warning": "#b9770e", "info": "#5d6d7e"}


@dataclass(frozen=True, slots=True, repr=False)
class NotebookReport:
    """A quality report that a notebook shows as a table."""

    report: QualityReport

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return self.report.passed

    @property
    def counts(self) -> Counts:
        """The number of findings by severity."""
        return self.report.counts

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, the worst first."""
        return self.report.findings

    @property
    def checks(self) -> dict[str, str]:
        """The checks that ran."""
        return self.report.checks

    def __repr__(self) -> str:
        return "\n".join(self.report.lines())

    def _repr_html_(self) -> str:
        rows = "".join(map(_row, self.findings))
        head = "<tr><th>Severity</th><th>Rule</th><th>Where</th><th>Finding</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else ""
        return f"<p><strong>{escape(self.report.sentence())}</strong></p>{table}"


def _row(one: Finding) -> str:
    color = COLORS[one.severity]
    rule = escape(one.rule)
    if one.url.startswith("https://"):
        url = escape(one.url, quote=True)
        rule = f'<a href="{url}" target="_blank" rel="noopener noreferrer">{rule}</a>'
    cells = (
        f'<strong style="color:{color}">{one.severity}</strong>',
        rule,
        escape(one.place or "notebook"),
        escape(one.message),
    )
    return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"


def check(
    notebook: Path, advisories: str | Path | None, severity: Mapping[str, str] | None
) -> NotebookReport:
    """Check a notebook on disk, with the services as this kernel has them."""
    from easymlnb.publishing.gate.local import GateOptions, check_notebook

    try:
        wanted = check_severities(severity or {}, "check(severity=...)")
    except ValueError as error:
        raise BadRequest(str(error)) from error
    options = GateOptions(Path(advisories) if advisories is not None else None, wanted)
    specs = {name: one.spec for name, one in SERVICES.items()}
    return NotebookReport(check_notebook(notebook, options, specs=specs))


def pass_gate(notebook: Path, bundle: BuiltBundle) -> dict[str, str]:
    """Check a notebook, show the findings, and return the author's severities.

    Raises ``QualityGateFailed``.
    """
    from easymlnb.publishing.gate.local import GateOptions, check_built, require, settings_of

    options, specs = GateOptions(), {name: one.spec for name, one in SERVICES.items()}
    found = check_built(notebook, bundle, options, specs=specs)
    _show(NotebookReport(found))
    require(found)
    return settings_of(notebook, options).severity


def _show(report: NotebookReport) -> None:
    """Display a report in a notebook; elsewhere print it."""
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display(report)  # type: ignore[no-untyped-call]
    else:
        sys.stdout.write(f"{report!r}\n")
