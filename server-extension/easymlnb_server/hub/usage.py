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
from easymlnb_server.placement.hub.node_worker import Meter
from easymlnb_server.store.store import Store

WRITE_EVERY = 5.0
"""Seconds between two looks at groups and two writes of what GPUs were held; a server that is
killed forgets no more than that."""

GONE_FIRST, GONE_MOST = 60.0, 600.0
"""Seconds until it is asked again for a user whom the Hub does not know any more: at first, at
most."""

KEPT_DAYS = 31
"""Days for which it is kept who used how much."""

log = logging.getLogger("easymlnb.limits")


def today() -> str:
    """Return the day, in UTC."""
    return datetime.now(UTC).date().isoformat()


class UserMeter(Meter):
    """One user's use of all placements."""

    def __init__(self, user: str, limit: Callable[[], Limit | None]) -> None:
        self.user = user
        self.workers = 0
        self.day = today()
        self.elsewhere = 0.0
        """GPU seconds of this day that others counted, or this server before it was killed."""
        self.pause = self.ask_after = 0.0
        """For how long a user whom the Hub does not know any more is not asked for, and until when
        by the monotonic clock."""
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
        """Return the GPU seconds of this day that were counted here."""
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
    """Everybody's meters. Without ``told`` limits nobody's groups are asked for."""

    def __init__(self, members: HubUsers, told: Mapping[str, Limit]) -> None:
        self._members = members
        self._limits = told
        self._meters: dict[str, UserMeter] = {}

    def of(self, user: str) -> UserMeter:
        """Return a user's meter."""
        if user not in self._meters:
            self._meters[user] = UserMeter(user, lambda: self._limit(user))
        return self._meters[user]

    async def know(self, user: str) -> bool:
        """Ask for a user's groups, unless they are known; what cannot be told is asked later.

        Says whether the Hub still knows the user.
        """
        if not self._limits:
            return True
        try:
            return await self._members.find(user) is not None
        except EasyMLNBError as error:
            log.warning("Could not read a user's groups: %s", error.message)
            return True

    async def keep(self, store: Store) -> None:
        """Write down what is used, and ask for groups anew, for ever."""
        if not self._limits:
            return
        day = ""
        while True:
            if day != today():
                day = today()
                await self._forget(store)
            for meter in list(self._meters.values()):
                await self._look(meter)
                await self._write(store, meter)
            await asyncio.sleep(WRITE_EVERY)

    async def _look(self, meter: UserMeter) -> None:
        """Ask for the groups of a user; of one who was removed ever more seldom."""
        now = time.monotonic()
        if now < meter.ask_after and self._members.last(meter.user) is None:
            return
        if await self.know(meter.user):
            meter.pause = 0.0
        else:
            meter.pause = min(GONE_MOST, 2 * meter.pause or GONE_FIRST)
        meter.ask_after = now + meter.pause

    async def _forget(self, store: Store) -> None:
        before = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).date().isoformat()
        with contextlib.suppress(EasyMLNBError):  # it is tried again tomorrow
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
        known: Caller | None = self._members.last(user)
        return None if known is None else group_limits.of(known.groups, self._limits)
