"""Detect-secrets: passwords and tokens. Runs without its verification, which uses the network."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from easymlnb.contract.quality import MAX_FINDINGS, Finding, Severity
from easymlnb.publishing.gate.sources import SourceFile

WEAK = ("Hex High Entropy String", "Base64 High Entropy String")
"""Kinds that are often something else, such as a hash."""

LEFT_OUT = ("IPPublicDetector",)
VAGUE = (
    *("ArtifactoryDetector", "CloudantDetector", "SoftlayerDetector"),
    *("IbmCloudIamDetector", "IbmCosHmacDetector"),
)
"""Names next to any value, which are slow to search for in large files."""

ALLOW = "pragma: allowlist secret"
ALLOWED = "detect_secrets.filters.allowlist.is_line_allowlisted"
REFERENCE = "detect_secrets.filters.heuristic.is_indirect_reference"
"""Leaves out ``password = read()``; slow."""


def run(
    folder: Path, sources: Iterable[SourceFile], *, comments: bool, code: bool = True
) -> list[Finding]:
    """Return the findings in the sources, which are written to the folder.

    A line with the comment ``# pragma: allowlist secret`` is left out if ``comments`` count.
    ``code``: whether the sources may be code.
    """
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import get_settings, transient_settings

    kinds: dict[str, type] = get_mapping_from_secret_type_to_class()
    plugins = sorted(one.__name__ for one in kinds.values())
    used = [{"name": name} for name in plugins if name not in LEFT_OUT]
    findings = []
    with transient_settings({"plugins_used": used}):
        if not comments:
            get_settings().disable_filters(ALLOWED)
        if not code:
            get_settings().disable_filters(REFERENCE)
        for source in sources:
            searched = source.in_pieces()
            searched.write(folder, "ascii")  # it is read in the encoding of the locale
            found = list(scan_file(str(folder / searched.name)))
            certain = {one.line_number for one in found if one.type not in WEAK}
            findings += [
                _finding(one.type, one.line_number, searched)
                for one in found
                if one.type not in WEAK or one.line_number not in certain
            ]
    return findings


def known_forms(sources: Iterable[SourceFile], *, comments: bool) -> list[Finding]:
    """Return the tokens of a known form, such as those of GitHub, in large texts.

    Each line has one finding. Passwords that have no form of their own are not found.
    """
    kinds = _forms()
    findings: dict[tuple[str, int], Finding] = {}
    for source in sources:
        searched = source.in_pieces()
        text = "\n".join(searched.lines)
        for kind, expressions in kinds.items():
            for expression in expressions:
                for match in expression.finditer(text):
                    line = text.count("\n", 0, match.start()) + 1
                    if not (comments and ALLOW in searched.lines[line - 1]):
                        found = _finding(kind, line, searched)
                        findings.setdefault((found.file, found.line or 0), found)
                if len(findings) >= MAX_FINDINGS:
                    return list(findings.values())
    return list(findings.values())


def _forms() -> dict[str, list[re.Pattern[str]]]:
    """Return the expressions of tokens that are certain and quick to search for."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    kinds: dict[str, Any] = get_mapping_from_secret_type_to_class()
    return {
        kind: [*plugin().denylist]
        for kind, plugin in kinds.items()
        if issubclass(plugin, RegexBasedDetector) and plugin.__name__ not in (*LEFT_OUT, *VAGUE)
    }


def _finding(kind: str, line: int, source: SourceFile) -> Finding:
    severity: Severity = "warning" if kind in WEAK else "error"
    return Finding(
        check="secrets",
        code=re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")[:60],
        severity=severity,
        message=(
            f"This looks like a secret ({kind}). Replace it, store it with 'easymlnb credentials "
            "set', and read it with ml.credential()."
        ),
        **source.place(line),
    )
