"""The placements of every user of a shared service."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from easymlnb_server.identity.access import Caller
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import OrphanedWorker
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.node_worker import NodeRecord, WorkerMeter
from easymlnb_server.placement.hub.placement import HubPlacement
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.status import PlacementView
from easymlnb_server.placement.hub.tokens import UserTokens
from easymlnb_server.placement.registry import LOCAL, PlacementSet


@dataclasses.dataclass
class UserPlacements:
    """Creates the placements of a user when they are first needed.

    credentials: the service's own; its token may start servers of all users.
    profiles: the placements, with ``local`` among them.
    records: folder for records of what runs.
    meter: returns the meter of a user's workers.
    check_start: raises an error if no worker of a user may start.
    tokens: tokens for users' servers.
    """

    credentials: HubCredentials
    profiles: Mapping[str, PlacementProfile]
    records: Path
    meter: Callable[[str], WorkerMeter]
    check_start: Callable[[str], Awaitable[None]]
    tokens: UserTokens
    _placements: dict[str, dict[str, HubPlacement]] = dataclasses.field(default_factory=dict)

    def for_owner(self, owner: str) -> PlacementSet:
        """Return where workers of this user start."""
        others = dict(self._of_user(owner))
        return PlacementSet(others.pop(LOCAL), others)

    def orphaned_workers(self) -> list[OrphanedWorker]:
        """Return all users' workers of a killed service that can be taken over; blocks."""
        users = set()
        for file, record in process_records.read(self.records, NodeRecord).items():
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
            for name, profile in self.profiles.items()
        ]

    def _credentials_of(self, user: str) -> HubCredentials:
        return dataclasses.replace(
            self.credentials, user=user, node_tokens=lambda: self.tokens.get(user)
        )

    def _of_user(self, user: str) -> dict[str, HubPlacement]:
        if user not in self._placements:
            credentials, meter = self._credentials_of(user), self.meter(user)
            check = partial(self.check_start, user)
            self._placements[user] = {
                name: HubPlacement(name, profile, credentials, self.records, meter, check)
                for name, profile in self.profiles.items()
            }
        return self._placements[user]
