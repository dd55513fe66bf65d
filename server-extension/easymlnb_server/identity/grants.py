"""What the holder of an API key may do."""

from dataclasses import dataclass, field
from enum import StrEnum

from easymlnb_server.identity.limits import NO_LIMITS, Limits


class Scope(StrEnum):
    """A right of an API key on its services.

    - ``CALL``: read a service's description, and call it.
    - ``JOBS``: submit jobs, and read, follow, cancel, retry and delete them.
    - ``READ``: list services, and read their descriptions, versions and the key's usage.
    """

    CALL = "call"
    JOBS = "jobs"
    READ = "read"


ALL = "*"


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """An API key's rights.

    Attributes
    ----------
    id
        The key's id, which is not secret; empty for the callers of a server for given bundles,
        who have these rights without a key.
    services
        Names of services; ``owner/*`` and ``*`` are patterns.
    scopes
        What the key may do with these services.
    limits
        Limits of the key's calls.
    """

    id: str
    services: frozenset[str]
    scopes: frozenset[Scope]
    limits: Limits = field(default=NO_LIMITS, compare=False)

    def matches(self, name: str) -> bool:
        """Return whether the key is for a service."""
        services = self.services
        if name in services or ALL in services:
            return True
        owner, slash, _ = name.rpartition("/")
        return bool(slash) and f"{owner}/{ALL}" in services


CALLS_ONLY = KeyGrant("", frozenset([ALL]), frozenset(Scope))
"""The rights of all callers of a server for given bundles: to call, and nothing else."""
