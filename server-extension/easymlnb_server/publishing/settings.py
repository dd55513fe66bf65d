"""The traits of the quality gate."""

from typing import Any

from traitlets import Bool, Dict, Enum, HasTraits, TraitError, Unicode, validate

from easymlnb.contract.quality import check_severities
from easymlnb_server.publishing.gate import GateSettings


class GateTraits(HasTraits):
    """How bundles are checked before they are published."""

    quality_gate = Enum(
        ["optional", "required"],
        "optional",
        help="'required' accepts only bundles that pass the quality gate.",
    ).tag(config=True)
    gate_severities = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Severities (error, warning, info, ignore) of checks and rules of the quality gate, "
        "such as {'bandit:B301': 'error'}. They precede those of authors.",
    ).tag(config=True)
    gate_comments = Bool(
        True, help="Whether comments such as '# nosec' and '# noqa' hide findings."
    ).tag(config=True)
    gate_advisories = Unicode(
        help="File with known vulnerabilities of packages: OSV records (JSON or ZIP), or "
        "pip-audit's JSON report. It is read for each check."
    ).tag(config=True)

    @validate("gate_severities")
    def _gate_severities(self, proposal: Any) -> dict[str, str]:
        try:
            return check_severities(proposal["value"], "EasyMLNB.gate_severities")
        except ValueError as error:
            raise TraitError(str(error)) from error

    @property
    def gate_settings(self) -> GateSettings:
        """The settings of the gate."""
        return GateSettings(
            self.quality_gate == "required",
            self.gate_severities,
            self.gate_comments,
            self.gate_advisories,
        )
