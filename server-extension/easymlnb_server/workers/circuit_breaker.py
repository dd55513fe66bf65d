"""Count failed starts of a deployment, and delay the next one."""

import asyncio
import time
from collections.abc import Callable

from easymlnb.contract.errors import DeploymentFailed, EasyMLNBError

STABLE = 60.0
"""Seconds that a worker must live for its death to count as the first one."""

CRASHES = 3
"""Consecutive deaths soon after a start that make a deployment fail."""


def backoff(failures: int) -> float:
    """Return the seconds to wait after a number of consecutive failures."""
    return 0.0 if failures <= 1 else float(min(60, 2 ** (failures - 2)))


class CircuitBreaker:
    """Delays starts after failures, longer each time.

    ``error`` is why the deployment counts as failed, or ``None``. ``clock`` must be monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.error: EasyMLNBError | None = None
        self._clock = clock
        self._failures = 0
        self._displacements = 0
        self._until = 0.0

    @property
    def retry_in(self) -> float:
        """Seconds until the next attempt; 0 if it can be made now."""
        return max(0.0, self._until - self._clock())

    async def wait_closed(self) -> None:
        """Wait until the next attempt can be made."""
        await asyncio.sleep(self.retry_in)

    def record_failure(self, error: EasyMLNBError) -> None:
        """Record a start that failed."""
        self._failures += 1
        self.error = error
        self._delay(self._failures)

    def record_start(self) -> None:
        """Record a worker that serves. Former deaths count until it has lived long enough."""
        self.error = None

    def record_loss(self, lived: float, why: str = "ended") -> None:
        """Record a worker that died after it served for ``lived`` seconds."""
        self._failures = 1 if lived > STABLE else self._failures + 1
        self._delay(self._failures)
        if self._failures >= CRASHES:
            self.error = DeploymentFailed(
                f"The worker {why} {self._failures} times in a row soon after its start."
            )

    def record_displacement(self, lived: float) -> None:
        """Record a worker that lost its node, which is not the worker's fault.

        Repeated losses delay starts too: the node's job may have too little memory.
        """
        self._displacements = 1 if lived > STABLE else self._displacements + 1
        self._delay(self._displacements)

    def reset(self) -> None:
        """Record a worker that was ended for another reason than its start."""
        self._failures = 0

    def retry_now(self) -> None:
        """Forget former failures: somebody asks for a start now."""
        self._failures, self._displacements, self._until, self.error = 0, 0, 0.0, None

    def _delay(self, failures: int) -> None:
        self._until = self._clock() + backoff(failures)
