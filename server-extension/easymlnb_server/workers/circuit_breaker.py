"""Count failed starts of a deployment, and delay the next one."""

import asyncio
import time
from collections.abc import Callable

from easymlnb.contract.errors import DeploymentFailed, EasyMLNBError

STABLE = 60.0
"""Seconds a worker must live before its death counts as the first one again."""

CRASHES = 3
"""Deaths in a row, each soon after a start, from which on a deployment counts as failed."""


def backoff(failures: int) -> float:
    """Return the seconds to wait before the next attempt after so many failures in a row."""
    return 0.0 if failures <= 1 else float(min(60, 2 ** (failures - 2)))


class CircuitBreaker:
    """Holds back starts after failures, longer each time, and remembers the last reason.

    ``error`` is why the deployment counts as failed; ``None`` as long as it does not.
    ``clock`` returns seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.error: EasyMLNBError | None = None
        self._clock = clock
        self._failures = 0
        self._displaced = 0
        self._until = 0.0

    @property
    def retry_in(self) -> float:
        """Seconds until the next attempt; 0 when it may be made now."""
        return max(0.0, self._until - self._clock())

    def failed(self, error: EasyMLNBError) -> None:
        """Take note of a start that failed."""
        self._failures += 1
        self.error = error
        self._hold()

    def started(self) -> None:
        """Take note of a worker that serves; only its staying makes good for former deaths."""
        self.error = None

    def lost(self, lived: float, why: str = "ended") -> None:
        """Take note of a worker that died, having served for ``lived`` seconds."""
        self._failures = 1 if lived > STABLE else self._failures + 1
        self._hold()
        if self._failures >= CRASHES:
            self.error = DeploymentFailed(
                f"The worker {why} {self._failures} times in a row soon after its start."
            )

    def displaced(self, lived: float) -> None:
        """Take note of a worker whose node was taken away: that says nothing of the worker.

        Nodes that go one after the other, as when a job has too little memory, are paused for.
        """
        self._displaced = 1 if lived > STABLE else self._displaced + 1
        self._until = self._clock() + backoff(self._displaced)

    def forgive(self) -> None:
        """Take note of a worker that was ended for no fault of its start."""
        self._failures = 0

    async def closed(self) -> None:
        """Wait until the next attempt may be made."""
        await asyncio.sleep(self.retry_in)

    def _hold(self) -> None:
        self._until = self._clock() + backoff(self._failures)
