"""As which user the workers of a bundle run, and call other services."""

from collections.abc import Mapping

from easymlnb_server.identity.names import group_of


class WorkerAccounts:
    """The user of each bundle's workers.

    Code runs with the rights of the user who published it, whoever owns the service. For a group
    the administrator can name a service user, as which all of its workers run.

    Parameters
    ----------
    of_groups
        Service users by group.
    """

    def __init__(self, of_groups: Mapping[str, str] | None = None) -> None:
        self._of_groups = of_groups or {}
        self._of_bundles: dict[str, str] = {}

    def load(self, accounts: Mapping[str, str]) -> None:
        """Replace what is known by the users of all bundles."""
        self._of_bundles = dict(accounts)

    def note(self, bundle: str, user: str) -> None:
        """Record who published a bundle."""
        self._of_bundles[bundle] = user

    def of(self, bundle: str, owner: str) -> str:
        """Return the user as whom workers of a bundle run."""
        group = group_of(owner)
        if group is not None and (user := self._of_groups.get(group)):
            return user
        return self._of_bundles.get(bundle) or owner
