"""The placements of a server, by name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.resources import Gpu
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.placement.base import OrphanedWorker, Placement

LOCAL = "local"


class RecoverablePlacement(Placement, Protocol):
    """A placement whose workers may outlive the server."""

    def orphaned_workers(self) -> list[OrphanedWorker]:
        """Return the workers of a killed server that can be taken over; blocks."""


class PlacementSet:
    """``local`` is the server's own machine; ``others`` are what its administrator configured."""

    def __init__(self, local: Placement, others: Mapping[str, Placement] | None = None) -> None:
        self._placements = {LOCAL: local, **(others or {})}

    def alternatives(self, name: str) -> str:
        """Return a sentence with the other placements, to append to a message; may be empty."""
        others = [other for other in self._placements if other != name]
        return (
            f" To run the service elsewhere, set placement= to one of {', '.join(others)}."
            if others
            else ""
        )

    def choose(self, name: str, gpu: Gpu) -> str:
        """Return ``name``, or without one the first placement that offers the GPUs, or local."""
        offering = (key for key, placement in self._placements.items() if placement.offers(gpu))
        return name or next(offering, LOCAL)

    def get(self, name: str) -> Placement:
        """Return a placement; raises ``DeploymentFailed`` with the names of all."""
        if name not in self._placements:
            raise DeploymentFailed(
                f"There is no placement named {name!r} on this server. Its placements: "
                f"{', '.join(self._placements)}."
            )
        return self._placements[name]


class LocalOnly(PlacementSet):
    """Every placement is this machine, whatever a service requests: a cluster has chosen it."""

    def choose(self, name: str, gpu: Gpu) -> str:
        return LOCAL

    def get(self, name: str) -> Placement:
        return super().get(LOCAL)


class PlacementProvider(Protocol):
    """Knows where the workers of each owner start."""

    def for_owner(self, owner: str) -> PlacementSet:
        """Return the placements for workers of this owner."""

    def orphaned_workers(self) -> list[OrphanedWorker]:
        """Return the workers of a killed server that can be taken over; blocks."""


class LocalPlacements:
    """The placements of a server for given bundles: its own machine, by all names."""

    def __init__(self, local: RecoverablePlacement) -> None:
        self._local = local

    def for_owner(self, owner: str) -> PlacementSet:
        return LocalOnly(self._local)

    def orphaned_workers(self) -> list[OrphanedWorker]:
        return self._local.orphaned_workers()


class PersonalPlacements:
    """The placements of a user's own server, the same for every worker.

    ``others`` returns the current placements; it returns the same object for a name each time.
    """

    def __init__(
        self, local: RecoverablePlacement, others: Callable[[], Mapping[str, RecoverablePlacement]]
    ) -> None:
        self._local = local
        self._others = others

    def for_owner(self, owner: str) -> PlacementSet:
        return PlacementSet(self._local, self._others())

    def orphaned_workers(self) -> list[OrphanedWorker]:
        placements = (self._local, *self._others().values())
        return [orphan for placement in placements for orphan in placement.orphaned_workers()]


def requested_placement(specs: Iterable[ServiceSpec]) -> str:
    """Return the placement that these services request, or ``""`` if none does.

    Raises ``DeploymentFailed`` if they request different ones.
    """
    names = sorted({spec.placement for spec in specs} - {""})
    if len(names) > 1:
        raise DeploymentFailed(
            f"The services of this notebook request different placements ({', '.join(names)}), "
            "but one worker runs all services of a notebook. Use a separate notebook for each "
            "placement."
        )
    return names[0] if names else ""
