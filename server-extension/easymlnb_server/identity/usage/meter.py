"""Count calls in memory, and store the totals every few seconds."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.identity.usage.models import Key, Totals, UsageRows

FLUSH_SECONDS = 5.0
"""Seconds between two writes; a killed server loses the counts since the last one."""

DAY = 86400.0

log = logging.getLogger("easymlnb.usage")


class Today:
    """The current day in UTC, computed once per day."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._begin = self._end = 0.0
        self._text = ""

    def __call__(self) -> str:
        """Return the day, such as ``2026-01-31``."""
        now = self._clock()
        if not self._begin <= now < self._end:
            self._begin = now - now % DAY
            self._end = self._begin + DAY
            self._text = datetime.fromtimestamp(now, UTC).date().isoformat()
        return self._text

    def seconds_left(self) -> float:
        """Return the seconds until the next day."""
        return DAY - self._clock() % DAY


class UsageMeter:
    """Totals of today's calls, which ``run`` stores.

    Parameters
    ----------
    keep_days
        Days after which totals are deleted.
    today
        Returns the day.
    """

    def __init__(self, keep_days: int = 400, today: Callable[[], str] | None = None) -> None:
        self._keep_days = keep_days
        self.today = today or Today()
        self._rows: UsageRows | None = None
        self._totals: dict[Key, Totals] = {}
        self._dirty: set[Key] = set()
        self._swept = ""

    async def open(self, rows: UsageRows) -> None:
        """Add today's stored totals, and store all totals from now on."""
        day = self.today()
        stored = await asyncio.to_thread(lambda: rows.read(since=day, until=day))
        for key, totals in stored:
            if key in self._totals:
                self._totals[key].add(totals)
            else:
                self._totals[key] = totals
        self._rows = rows

    def close(self) -> None:
        """Forget all totals: another process counts from now on."""
        self._rows = None
        self._totals.clear()
        self._dirty.clear()

    def add(
        self,
        service: str,
        version: str,
        user: str,
        key: str,
        *,
        failed: bool,
        seconds: float,
        gpus: float,
        bytes_in: int,
        bytes_out: int,
    ) -> None:
        """Count a call that ended."""
        place = (self.today(), service, version, user, key)
        totals = self._totals.get(place)
        if totals is None:
            totals = self._totals[place] = Totals()
        self._dirty.add(place)
        totals.calls += 1
        totals.errors += failed
        totals.compute_seconds += seconds
        totals.gpu_seconds += seconds * gpus
        totals.bytes_in += bytes_in
        totals.bytes_out += bytes_out

    async def reload(self) -> None:
        """Read today's totals again after services or users got other names in the database.

        Call ``flush`` before that change.
        """
        rows, day = self._rows, self.today()
        if rows is None:
            return
        stored = await asyncio.to_thread(lambda: rows.read(since=day, until=day))
        self._totals = dict(stored) | {place: self._totals[place] for place in self._dirty}

    def total(self, *, service: str = "", user: str = "", key: str = "") -> Totals:
        """Return today's totals of a service, a user or a key, or of a combination."""
        found, day = Totals(), self.today()
        for place, totals in self._totals.items():
            wanted = (day, service, "", user, key)
            if all(not want or want == have for want, have in zip(wanted, place, strict=True)):
                found.add(totals)
        return found

    async def run(self) -> None:
        """Store the totals until canceled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except EasyMLNBError as error:
                log.warning("Usage is not stored yet: %s", error.message)

    async def flush(self) -> None:
        """Store all totals that changed; raises ``StorageBusy`` or ``StorageFull``."""
        rows, day = self._rows, self.today()
        if rows is None:
            return
        dirty, self._dirty = self._dirty, set()
        changed = [(key, msgspec.structs.replace(self._totals[key])) for key in dirty]
        try:
            if changed:
                await asyncio.to_thread(rows.put, changed)
            if self._swept != day:
                oldest = datetime.fromisoformat(day).date() - timedelta(days=self._keep_days)
                await asyncio.to_thread(lambda: rows.forget(before=oldest.isoformat()))
                self._swept = day
        except BaseException:
            self._dirty |= dirty
            raise
        for key in [key for key in self._totals if key[0] < day and key not in self._dirty]:
            del self._totals[key]

    async def read(
        self, *, since: str, until: str, service: str = "", key: str = ""
    ) -> list[tuple[Key, Totals]]:
        """Return stored and current totals by day and service."""
        rows = self._rows
        if rows is None:
            return []
        await self.flush()
        return await asyncio.to_thread(
            lambda: rows.read(since=since, until=until, service=service, key=key)
        )
