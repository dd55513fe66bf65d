"""The placements of every user of a shared service."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from easymlnb_server.identity.access import Caller
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import OrphanedWorker, Placement
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.node_worker import Meter, NodeRecord
from easymlnb_server.placement.hub.placement import HubPlacement
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.status import PlacementView
from easymlnb_server.placement.hub.tokens import UserTokens
from easymlnb_server.placement.registry import LOCAL, PlacementSet


class UserPlacements:
    """Creates the placements of a user when they are first needed.

    credentials: the service's own; its token may start servers of all users.
    profiles: the placements, with ``local`` among them.
    records: folder for records of what runs.
    meter: returns the meter of a user's workers.
    guard: wraps a user's placement with a check before each start.
    tokens: tokens for users' servers.
    """

    def __init__(
        self,
        credentials: HubCredentials,
        profiles: Mapping[str, PlacementProfile],
        records: Path,
        meter: Callable[[str], Meter],
        guard: Callable[[str, Placement], Placement],
        tokens: UserTokens,
    ) -> None:
        self.credentials = credentials
        self.tokens = tokens
        self._profiles = profiles
        self._records = records
        self._meter = meter
        self._guard = guard
        self._placements: dict[str, dict[str, HubPlacement]] = {}

    def for_owner(self, owner: str) -> PlacementSet:
        """Return where workers of this user start."""
        placements = {
            name: self._guard(owner, placement) for name, placement in self._of_user(owner).items()
        }
        return PlacementSet(placements.pop(LOCAL), placements)

    def orphaned_workers(self) -> list[OrphanedWorker]:
        """Return all users' workers of a killed service that can be taken over; blocks."""
        users = set()
        for file, record in process_records.read(self._records, NodeRecord).items():
            if record is None:
                file.unlink(missing_ok=True)
            else:
                users.add(record.user)
        return [
            orphan
            for user in sorted(users - {""})
            for placement in self._of_user(user).values()
            for orphan in placement.orphaned_workers()
        ]

    def visible_to(self, caller: Caller | None) -> list[PlacementView]:
        """Return the caller's own placements; for administrators those of all users."""
        if caller is None:
            return []
        users = {caller.name, *(self._placements if caller.admin else ())}
        return [
            PlacementView(name, profile, self._credentials_of(user))
            for user in sorted(users)
            for name, profile in self._profiles.items()
        ]

    def _credentials_of(self, user: str) -> HubCredentials:
        return dataclasses.replace(
            self.credentials, user=user, node_tokens=lambda: self.tokens.get(user)
        )

    def _of_user(self, user: str) -> dict[str, HubPlacement]:
        if user not in self._placements:
            credentials, meter = self._credentials_of(user), self._meter(user)
            self._placements[user] = {
                name: HubPlacement(name, profile, credentials, self._records, meter)
                for name, profile in self._profiles.items()
            }
        return self._placements[user]
