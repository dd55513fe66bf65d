"""Traits of jobs."""

from typing import Any

from traitlets import Dict, Float, HasTraits, TraitError, validate

from easymlnb_server.jobs.lanes import Lane, parse
from easymlnb_server.jobs.submission import JobLimits


class JobSettings(HasTraits):
    """Traits of jobs."""

    lanes = Dict(
        {"jobs": {"workers": 2}, "batch": {"workers": 1}, "train": {"workers": 1}},
        help="Lanes of jobs by name: workers, per_user, placement, idle and grace.",
    ).tag(config=True)
    job_timeout = Float(86400.0, help="Maximum seconds that one attempt of a job may run.").tag(
        config=True
    )
    job_stay = Float(
        600.0, help="Seconds that a running job waits for the next server after this one ended."
    ).tag(config=True)
    job_node_stay = Float(
        3600.0,
        help="The same for jobs on nodes of a Hub, which also wait for a network that is down.",
    ).tag(config=True)
    job_retention = Float(
        30 * 86400.0, help="Seconds until a job that ended is deleted, with its result and files."
    ).tag(config=True)

    @validate("lanes")
    def _lanes(self, proposal: Any) -> dict[str, Any]:
        try:
            parse(proposal["value"])
        except ValueError as error:
            raise TraitError(f"EasyMLNB.lanes: {error}.") from error
        return dict(proposal["value"])

    @property
    def parsed_lanes(self) -> dict[str, Lane]:
        """The lanes by name."""
        return parse(self.lanes)

    @property
    def job_limits(self) -> JobLimits:
        """Limits of attempts, of waits for a server, and of how long results are kept."""
        return JobLimits(self.job_timeout, self.job_stay, self.job_node_stay, self.job_retention)
