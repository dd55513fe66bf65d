"""Traits for API keys, limits, usage and the audit log."""

from typing import Any

from traitlets import Dict, HasTraits, Integer, TraitError, Unicode, validate

from easymlnb.contract.errors import BadRequest
from easymlnb_server.identity.limits import to_limits
from easymlnb_server.identity.quotas.quotas import Defaults

VISITORS = {"calls_per_second": 20, "concurrent": 16, "compute_seconds_per_day": 7200}
VISITOR = {"calls_per_second": 5, "calls_per_day": 1000, "concurrent": 4, "max_body": 2**20}
"""Default limits of calls without a login: of all visitors of a service, and of one address."""


class IdentitySettings(HasTraits):
    """Traits of the extension for who may call, and how often."""

    key_limits = Dict(help="Limits of API keys that have none of their own.").tag(config=True)
    user_limits = Dict(help="Limits of each user's calls.").tag(config=True)
    service_limits = Dict(help="Limits of services whose owners set none.").tag(config=True)
    public_limits = Dict(
        VISITORS,
        help="Limits of the calls without a login of a public service whose owner set none.",
    ).tag(config=True)
    visitor_limits = Dict(
        VISITOR, help="Limits of the calls without a login from one address."
    ).tag(config=True)
    usage_days = Integer(400, min=1, help="Days after which usage totals are deleted.").tag(
        config=True
    )
    audit_file = Unicode(
        help="A file to which each event of the audit log is also appended, as a line of JSON."
    ).tag(config=True)

    @validate("key_limits", "user_limits", "service_limits", "public_limits", "visitor_limits")
    def _limits(self, proposal: Any) -> Any:
        try:
            to_limits(dict(proposal["value"]))
        except BadRequest as error:
            raise TraitError(f"EasyMLNB.{proposal['trait'].name}: {error.message}") from error
        return proposal["value"]

    @property
    def limit_defaults(self) -> Defaults:
        """The limits of all that have none of their own."""
        return Defaults(
            key=to_limits(dict(self.key_limits)),
            user=to_limits(dict(self.user_limits)),
            service=to_limits(dict(self.service_limits)),
            visitors=to_limits(dict(self.public_limits)),
            visitor=to_limits(dict(self.visitor_limits)),
        )
