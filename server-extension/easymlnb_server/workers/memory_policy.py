"""Decide what to do about a worker's memory: nothing, replace it, or end it."""

from dataclasses import dataclass
from enum import Enum

HOLD = 10.0
"""Seconds above the limit after which a worker is replaced: a peak of one call is let pass."""

FAR = 1.5
"""Times the limit at which there is no waiting: before long the whole machine would suffer."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the workers of a deployment that has a limit."""


class Verdict(Enum):
    """What is to be done."""

    FINE = "fine"
    REPLACE = "replace"
    END = "end"


@dataclass(slots=True)
class MemoryTracker:
    """One worker's memory over time, against its limit in bytes."""

    limit: int
    _above: float | None = None

    def look(self, used: int, now: float) -> Verdict:
        """Judge from the bytes in use at ``now``, in seconds of a clock that only grows."""
        if used > FAR * self.limit:
            return Verdict.END
        if used <= self.limit:
            self._above = None
            return Verdict.FINE
        if self._above is None:
            self._above = now
        return Verdict.REPLACE if now - self._above >= HOLD else Verdict.FINE
