"""Each user's workers and GPU time, compared with the limits of their groups."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from easymlnb.contract.errors import EasyMLNBError, Forbidden, NotReady
from easymlnb_server.hub import group_limits
from easymlnb_server.hub.group_limits import Limit
from easymlnb_server.hub.users import HubUsers
from easymlnb_server.identity.access import Caller
from easymlnb_server.placement.base import LimitReached
from easymlnb_server.placement.hub.node_worker import WorkerMeter
from easymlnb_server.store.store import Store

INTERVAL = 5.0
"""Seconds between two updates; a killed server loses the GPU seconds since the last one."""

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 600.0
"""Seconds until the next request for a user whom the Hub no longer knows: at first, at most."""

KEEP_DAYS = 31
"""Days after which usage records are deleted."""

log = logging.getLogger("easymlnb.limits")


def today() -> str:
    """Return the day, in UTC."""
    return datetime.now(UTC).date().isoformat()


class UserMeter(WorkerMeter):
    """One user's workers and GPU seconds in all placements.

    elsewhere: GPU seconds of today that other processes counted, or this one before a restart.
    pause, ask_after: backoff in seconds for a user whom the Hub no longer knows, and the monotonic
        time until which it lasts.
    """

    def __init__(self, user: str, limit: Callable[[], Limit | None]) -> None:
        self.user = user
        self.workers = 0
        self.day = today()
        self.elsewhere = 0.0
        self.pause = self.ask_after = 0.0
        self._limit = limit
        self._gpus = 0.0
        self._since = time.monotonic()
        self._held = 0.0

    def check(self, gpus: float) -> None:
        limit = self._limit()
        if limit is None:
            raise NotReady("The Hub is not available to check your groups. Try again in a moment.")
        if limit.workers is not None and self.workers >= limit.workers:
            raise LimitReached(
                f"Your groups allow {limit.workers} worker{'s' * (limit.workers != 1)} at a "
                f"time, and you have {self.workers} running. Remove a service, or lower its "
                "workers=."
            )
        if gpus and self._used_up(limit):
            raise Forbidden(
                f"Today's {limit.gpu_seconds_a_day:g} GPU seconds of your groups are used up. "
                "Workers with a GPU can start again after midnight (UTC)."
            )

    def start(self) -> None:
        self.workers += 1

    def hold(self, gpus: float) -> None:
        self._count()
        self._gpus += gpus

    def end(self, gpus: float) -> None:
        self._count()
        self.workers -= 1
        self._gpus = max(0.0, self._gpus - gpus)

    def exceeded(self, gpus: float) -> bool:
        limit = self._limit()
        return bool(gpus) and limit is not None and self._used_up(limit)

    def held(self) -> float:
        """Return the GPU seconds of today that this process counted."""
        self._count()
        return self._held

    def _used_up(self, limit: Limit) -> bool:
        most = limit.gpu_seconds_a_day
        return most is not None and self.held() + self.elsewhere >= most

    def _count(self) -> None:
        now, day = time.monotonic(), today()
        if day != self.day:
            self.day, self.elsewhere, self._held = day, 0.0, 0.0
            self._since = now
        self._held += self._gpus * (now - self._since)
        self._since = now


class Meters:
    """The meters of all users. Without ``limits`` no groups are requested from the Hub."""

    def __init__(self, users: HubUsers, limits: Mapping[str, Limit]) -> None:
        self._users = users
        self._limits = limits
        self._meters: dict[str, UserMeter] = {}

    def get(self, user: str) -> UserMeter:
        """Return the meter of a user."""
        if user not in self._meters:
            self._meters[user] = UserMeter(user, lambda: self._limit(user))
        return self._meters[user]

    async def fetch_groups(self, user: str) -> bool:
        """Fetch a user's groups unless they are cached; return whether the Hub knows the user."""
        if not self._limits:
            return True
        try:
            return await self._users.find(user) is not None
        except EasyMLNBError as error:
            log.warning("Could not read a user's groups: %s", error.message)
            return True

    async def run(self, store: Store) -> None:
        """Record the usage and refresh the groups every few seconds, until canceled."""
        if not self._limits:
            return
        day = ""
        while True:
            if day != today():
                day = today()
                await self._delete_old(store)
            for meter in list(self._meters.values()):
                await self._refresh(meter)
                await self._write(store, meter)
            await asyncio.sleep(INTERVAL)

    async def _refresh(self, meter: UserMeter) -> None:
        """Fetch the groups of a user, less and less often if the user was removed."""
        now = time.monotonic()
        if now < meter.ask_after and self._users.last(meter.user) is None:
            return
        if await self.fetch_groups(meter.user):
            meter.pause = 0.0
        else:
            meter.pause = min(LONGEST_PAUSE, 2 * meter.pause or FIRST_PAUSE)
        meter.ask_after = now + meter.pause

    async def _delete_old(self, store: Store) -> None:
        before = (datetime.now(UTC) - timedelta(days=KEEP_DAYS)).date().isoformat()
        with contextlib.suppress(EasyMLNBError):  # the next attempt is tomorrow
            await asyncio.to_thread(lambda: store.usage.forget(before=before))

    async def _write(self, store: Store, meter: UserMeter) -> None:
        held = meter.held()
        try:
            whole = await asyncio.to_thread(store.usage.put, meter.user, meter.day, held)
        except EasyMLNBError as error:
            log.warning("Could not record the GPU usage: %s", error.message)
        else:
            meter.elsewhere = max(0.0, whole - held)

    def _limit(self, user: str) -> Limit | None:
        if not self._limits:
            return group_limits.NO_LIMIT
        known: Caller | None = self._users.last(user)
        return None if known is None else group_limits.limit_for(known.groups, self._limits)
