"""Run all checks on a bundle, or on what running its notebook produced."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.notebook import text_of
from easymlnb.contract.quality import Finding, QualityReport, graded, report
from easymlnb.contract.spec import ServiceSpec
from easymlnb.publishing.bundle.static_analysis import read_cells
from easymlnb.publishing.gate import bandit_check, ruff_check, secrets_check, spec_check, tools
from easymlnb.publishing.gate.advisories import Advisories, read
from easymlnb.publishing.gate.described import Described, described_services
from easymlnb.publishing.gate.files import MAX_RUN, LargeText, texts_of
from easymlnb.publishing.gate.sources import (
    MAX_TEXT,
    cells_of,
    code_of,
    is_python,
    is_run,
    outputs_of,
)

MAX_LARGE = 32 * 2**20
"""Bytes of large files that are searched for secrets."""

Cells = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rules:
    """How findings are graded.

    author, admin: severities by check or rule.
    required: whether the author's severities can only be stricter.
    comments: whether comments such as ``# nosec`` hide findings.
    strict: whether warnings fail.
    """

    author: Mapping[str, str] = field(default_factory=dict)
    admin: Mapping[str, str] = field(default_factory=dict)
    required: bool = False
    comments: bool = True
    strict: bool = False


def check_bundle(
    bundle: Bundle,
    rules: Rules,
    *,
    outputs: Cells | None = None,
    advisories: Path | None = None,
    specs: Mapping[str, ServiceSpec] | None = None,
) -> QualityReport:
    """Check a bundle; raises ``GateUnavailable`` or ``BadRequest``.

    outputs: the cells with their outputs, if they are known.
    specs: services as this kernel knows them; the others are read from the code.
    """
    tools.check_installed()
    known = read(advisories) if advisories is not None else None
    cells: Cells = bundle.notebook["cells"]
    with TemporaryDirectory(prefix="easymlnb-gate-") as name:
        folder = Path(name)
        findings = _of_code(bundle, cells, folder, comments=rules.comments)
        if outputs is not None:
            findings += _of_outputs(outputs, folder, comments=rules.comments)
    packages = _packages(bundle)
    findings += list(known.findings(packages)) if known is not None else []
    services = [
        Described(specs[one.spec.name], place=one.place)
        if specs and one.spec.name in specs
        else one
        for one in described_services(cells, bundle.manifest.metadata)
    ]
    findings += spec_check.run(services)
    return _report(findings, rules, _versions(known, packages))


def check_executed(
    outputs: Cells, specs: Iterable[ServiceSpec], rules: Rules, examples: int
) -> QualityReport:
    """Check what only running a notebook shows: its outputs, and its services as they are.

    examples: how many of them ran.
    """
    tools.check_installed()
    with TemporaryDirectory(prefix="easymlnb-gate-") as name:
        findings = _of_outputs(outputs, Path(name), comments=rules.comments)
    findings += spec_check.run(Described(spec) for spec in specs)
    return _report(findings, rules, {"examples": f"{examples} run"})


def _report(findings: list[Finding], rules: Rules, checks: Mapping[str, str]) -> QualityReport:
    kept = graded(findings, rules.author, rules.admin, required=rules.required)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return report(kept, checks, now, strict=rules.strict)


def _of_code(bundle: Bundle, cells: Cells, folder: Path, *, comments: bool) -> list[Finding]:
    """Return the findings in cells and files."""
    unpacked = folder / "files"
    bundle.extract(unpacked)
    files = texts_of(bundle, unpacked)
    modules = files.modules
    code, (sources, complete) = code_of(cells), cells_of(cells)
    for source in modules:
        source.write(folder)
    return [
        *_of_notebook(bundle, cells),
        *_cut("cells", complete),
        *_large_modules(files.large_modules),
        *ruff_check.run(folder, cells, modules, comments=comments),
        *bandit_check.run(folder, (code, *modules, *files.notebooks), comments=comments),
        *secrets_check.run(folder, (sources, *modules), comments=comments),
        *secrets_check.run(folder, files.texts, comments=comments, code=False),
        *_of_large_texts(files.large, comments=comments),
    ]


def _of_outputs(cells: Cells, folder: Path, *, comments: bool) -> list[Finding]:
    source, complete = outputs_of(cells)
    found = secrets_check.run(folder, [source], comments=comments, code=False)
    return [*found, *_cut("outputs", complete)]


def _cut(what: str, complete: bool) -> list[Finding]:
    if complete:
        return []
    text = f"The {what} after the first {MAX_TEXT:,} characters were not searched for secrets."
    return [
        _finding("notebook", f"large-{what}", text, severity="warning", output=what == "outputs")
    ]


def _of_notebook(bundle: Bundle, cells: Cells) -> list[Finding]:
    found = []
    if not bundle.manifest.defines and not _may_define_services(cells):
        text = "The notebook has no service. Decorate a function with @ml.service."
        found.append(_finding("notebook", "no-service", text))
    for index, cell in enumerate(cells):
        if is_run(cell) and not is_python(cell):
            line, why = _syntax_error(text_of(cell["source"]))
            text = f"The cell is not valid Python, so publishing fails ({why})."
            found.append(_finding("notebook", "not-python", text, cell=index, line=line))
    return found


def _may_define_services(cells: Cells) -> bool:
    """Whether services without a decorator, such as those of DEEPaaS, may come from running it."""
    code = [
        {"cell_type": "code", "source": text_of(cell["source"])} for cell in cells if is_run(cell)
    ]
    imports = read_cells(code).imports
    return any(f"{name}.".startswith(("easymlnb.compat.", "easymlserve.")) for name in imports)


def _syntax_error(source: str) -> tuple[int, str]:
    try:
        ast.parse(source)
    except SyntaxError as error:
        return error.lineno or 1, tools.text(error.msg, 200)
    except (ValueError, RecursionError, MemoryError) as error:
        return 1, tools.text(error, 200)
    return 1, "invalid magic"


def _finding(check: str, code: str, message: str, **more: Any) -> Finding:
    return Finding(check=check, code=code, message=message, **{"severity": "error", **more})


def _large_modules(paths: Iterable[str]) -> list[Finding]:
    """Return a finding for each module or notebook that is too large for the tools."""
    text = (
        f"The file was not checked: it has more than {MAX_TEXT:,} bytes of code, or is a notebook "
        f"of more than {MAX_RUN:,} bytes with its outputs. Split it, or clear the outputs."
    )
    return [_finding("notebook", "large-module", text, file=path) for path in paths]


def _of_large_texts(large: Iterable[LargeText], *, comments: bool) -> list[Finding]:
    """Search large files for tokens of a known form, as far as time allows."""
    found: list[Finding] = []
    left = MAX_LARGE
    for one in large:
        left -= one.size
        if left >= 0:
            found += secrets_check.known_forms(one.blocks(), comments=comments)
        else:
            text = "The file was not searched for secrets: it is too large."
            found.append(_finding("notebook", "large-file", text, severity="info", file=one.path))
    return found


def _packages(bundle: Bundle) -> dict[str, str]:
    """Return the versions of the packages of the workers, as far as they are known."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = dict(bundle.manifest.environment.packages)
    for line in bundle.manifest.requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        pins = [one.version for one in requirement.specifier if one.operator == "=="]
        if pins and "*" not in pins[0]:
            found[requirement.name] = pins[0]
    return found


def _versions(known: Advisories | None, packages: Mapping[str, str]) -> dict[str, str]:
    checks = {
        "ruff": tools.version_of("ruff"),
        "bandit": tools.version_of("bandit"),
        "secrets": f"detect-secrets {tools.version_of('detect-secrets')}",
        "metadata": spec_check.SCHEMA,
    }
    if known is not None:
        checks["dependencies"] = (
            f"{len(packages):,} packages, {known.count:,} advisories of {known.day}"
        )
    return checks
