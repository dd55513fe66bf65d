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

    def survivors(self) -> list[OrphanedWorker]:
        """Return the workers of a killed server that may be taken over; it blocks."""


class PlacementSet:
    """``local`` is the server's own machine; ``others`` are what its administrator named."""

    def __init__(self, local: Placement, others: Mapping[str, Placement] | None = None) -> None:
        self._places = {LOCAL: local, **(others or {})}

    def elsewhere(self, name: str) -> str:
        """Return where else a service may run that finds no room here, as the end of a message."""
        others = [other for other in self._places if other != name]
        return (
            f" To run the service elsewhere, set placement= to one of {', '.join(others)}."
            if others
            else ""
        )

    def chosen(self, name: str, gpu: Gpu) -> str:
        """Return the name of the placement for workers that ask for ``name``, or do not say.

        Those that do not are at home here, or else in the first placement that has their GPUs.
        """
        if name:
            return name
        there = (one for one, placement in self._places.items() if placement.offers(gpu))
        return next(there, LOCAL)

    def get(self, name: str) -> Placement:
        """Return a placement; raises ``DeploymentFailed`` with the names that there are."""
        if name not in self._places:
            there = ", ".join(self._places)
            raise DeploymentFailed(
                f"There is no placement named {name!r} on this server. Its placements: {there}."
            )
        return self._places[name]


class PlacementProvider(Protocol):
    """Knows where the workers of each owner start."""

    def of(self, owner: str) -> PlacementSet:
        """Return the placements for workers of this owner."""

    def survivors(self) -> list[OrphanedWorker]:
        """Return the workers of a killed server that may be taken over; it blocks."""


class PersonalPlacements:
    """On one's own server all is one's own: ``local`` and ``others`` are for every worker.

    ``others`` returns the placements that there are now, each the same as long as it is there.
    """

    def __init__(
        self, local: RecoverablePlacement, others: Callable[[], Mapping[str, RecoverablePlacement]]
    ) -> None:
        self._local = local
        self._others = others

    def of(self, owner: str) -> PlacementSet:
        return PlacementSet(self._local, self._others())

    def survivors(self) -> list[OrphanedWorker]:
        every = (self._local, *self._others().values())
        return [survivor for placement in every for survivor in placement.survivors()]


def one_of(specs: Iterable[ServiceSpec]) -> str:
    """Return the placement that these services ask for; raises ``DeploymentFailed`` for several.

    Those that ask for none go along; it is empty if all do.
    """
    asked = sorted({spec.placement for spec in specs} - {""})
    if len(asked) > 1:
        raise DeploymentFailed(
            f"The services of this notebook request different placements ({', '.join(asked)}), "
            "but one worker runs all services of a notebook. Use a separate notebook for each "
            "placement."
        )
    return asked[0] if asked else ""
