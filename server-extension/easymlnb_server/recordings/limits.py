"""Limits of flags, per caller and for all visitors of a service."""

import time
from collections import deque
from collections.abc import Callable

from easymlnb.contract.errors import TooManyFlags
from easymlnb_server.recordings.rules import (
    FLAGS_PER_HOUR,
    VISITOR_FLAGS_PER_HOUR,
    VISITORS_FLAGS_PER_HOUR,
)

HOUR = 3600.0
VISITORS = "(visitors)"


class FlagLimits:
    """Counts the flags of the last hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[tuple[str, str], deque[float]] = {}

    def acquire(self, service: str, caller: str, *, visitor: bool) -> None:
        """Count a flag; raises ``TooManyFlags``, and counts nothing, above a limit."""
        limits = {(service, caller): VISITOR_FLAGS_PER_HOUR if visitor else FLAGS_PER_HOUR}
        if visitor:
            limits[service, VISITORS] = VISITORS_FLAGS_PER_HOUR
        now = self._clock()
        self._expire(now)
        for key, limit in limits.items():
            times = self._times.get(key, deque())
            if len(times) >= limit:
                wait = max(1, round(times[0] + HOUR - now))
                raise TooManyFlags(
                    f"At most {limit} calls of this service can be flagged in an hour. Try again "
                    f"in {wait} s.",
                    details={"retry_after": wait},
                )
        for key in limits:
            self._times.setdefault(key, deque()).append(now)

    def _expire(self, now: float) -> None:
        for key, times in list(self._times.items()):
            while times and times[0] <= now - HOUR:
                times.popleft()
            if not times:
                del self._times[key]
