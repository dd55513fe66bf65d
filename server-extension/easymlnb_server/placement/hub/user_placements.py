"""The placements of every user of a shared service."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from easymlnb_server.identity.access import Caller
from easymlnb_server.placement.base import OrphanedWorker, Placement
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.node_worker import WorkerRecord
from easymlnb_server.placement.hub.placement import HubPlacement
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.status import PlacementView
from easymlnb_server.placement.hub.tokens import UserTokens
from easymlnb_server.placement.hub.usage_meter import Meter
from easymlnb_server.placement.registry import LOCAL, PlacementSet


def unguarded(user: str, placement: Placement) -> Placement:
    """Return a placement as it is."""
    return placement


class UserPlacements:
    """Makes the placements of a user when somebody asks for them first.

    ``account`` is the service's own, whose token may start servers of all users, and ``spots`` are
    the placements, ``local`` among them. ``notes`` is a folder for what runs, ``meter`` returns
    what a user's workers are held against, ``guard`` what is to be asked before they start.
    ``tokens`` open users' servers.
    """

    def __init__(
        self,
        account: HubCredentials,
        spots: Mapping[str, PlacementProfile],
        notes: Path,
        meter: Callable[[str], Meter],
        guard: Callable[[str, Placement], Placement] = unguarded,
        tokens: UserTokens | None = None,
    ) -> None:
        self.account = account
        self._spots = spots
        self._notes = notes
        self._meter = meter
        self._guard = guard
        self.tokens = tokens or UserTokens(account)
        self._placements: dict[str, dict[str, HubPlacement]] = {}

    def of(self, user: str) -> PlacementSet:
        """Return where workers of this user start."""
        found = {name: self._guard(user, place) for name, place in self._of(user).items()}
        others = {name: place for name, place in found.items() if name != LOCAL}
        return PlacementSet(found[LOCAL], others)

    def survivors(self) -> list[OrphanedWorker]:
        """Return everybody's workers of a killed service that may be taken over; it blocks."""
        users = set()
        for file in self._notes.glob("*.json"):
            try:
                users.add(msgspec.json.decode(file.read_bytes(), type=WorkerRecord).user)
            except (OSError, msgspec.MsgspecError):
                file.unlink(missing_ok=True)
        users.discard("")
        return [
            survivor
            for user in sorted(users)
            for placement in self._of(user).values()
            for survivor in placement.survivors()
        ]

    @property
    def users(self) -> list[str]:
        """All who have workers, or had since the service started."""
        return list(self._placements)

    def views(self, user: str) -> list[PlacementView]:
        """Return what tells of each placement of a user."""
        account = self._as(user)
        return [PlacementView(name, spot, account) for name, spot in self._spots.items()]

    def _as(self, user: str) -> HubCredentials:
        return dataclasses.replace(self.account, user=user, keys=lambda: self.tokens.of(user))

    def _of(self, user: str) -> dict[str, HubPlacement]:
        if user not in self._placements:
            account, meter = self._as(user), self._meter(user)
            self._placements[user] = {
                name: HubPlacement(name, spot, account, self._notes, meter)
                for name, spot in self._spots.items()
            }
        return self._placements[user]


class OwnersViews:
    """What each may see of their own nodes, and administrators of those of all."""

    def __init__(self, owners: UserPlacements) -> None:
        self._owners = owners
        self.account = owners.account

    def of(self, caller: Caller | None) -> list[PlacementView]:
        if caller is None:
            return []
        users = {caller.name, *(self._owners.users if caller.admin else ())}
        return [view for user in sorted(users) for view in self._owners.views(user)]
