"""Limits of trainings by visitors without a login."""

import time
from collections import defaultdict, deque
from collections.abc import Callable

from easymlnb.contract.errors import Busy

HOUR = 3600.0
PER_HOUR = 20
"""Trainings of one model that visitors may start in an hour."""

MAX_ROWS = 10_000
MAX_BODY = 2**20
"""Rows and bytes of the data of a visitor."""

MAX_BODY_WITH_KEY = 100 * 2**20


class TrainingLimiter:
    """Counts the trainings that visitors started."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started: defaultdict[str, deque[float]] = defaultdict(deque)

    def start(self, model: str) -> None:
        """Count a training; raises ``Busy`` with the seconds to wait if there were too many."""
        now, started = self._clock(), self._started[model]
        while started and started[0] <= now - HOUR:
            started.popleft()
        if len(started) >= PER_HOUR:
            raise Busy(len(started), started[0] + HOUR - now)
        started.append(now)
