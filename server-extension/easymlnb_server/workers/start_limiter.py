"""Limit concurrent worker starts; a start that hangs releases its slot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TURN = 30.0
"""Seconds after which a start that is not done no longer keeps others from starting."""


@asynccontextmanager
async def turn(gate: asyncio.Semaphore, seconds: float = TURN) -> AsyncIterator[None]:
    """Hold a place of the gate inside the block, but for so many seconds at most."""
    await gate.acquire()
    held = True

    def release() -> None:
        nonlocal held
        if held:
            held = False
            gate.release()

    timer = asyncio.get_running_loop().call_later(seconds, release)
    try:
        yield
    finally:
        timer.cancel()
        release()


class StartLimiter:
    """A gate for each owner, that lets ``count`` of theirs start at once.

    With ``one`` all have the same: where all start on one machine.
    """

    def __init__(self, count: int, *, one: bool) -> None:
        self._count = count
        self._one = one
        self._gates: dict[str, asyncio.Semaphore] = {}

    def of(self, owner: str) -> asyncio.Semaphore:
        """Return the gate for what somebody starts."""
        key = "" if self._one else owner
        if key not in self._gates:
            self._gates[key] = asyncio.Semaphore(self._count)
        return self._gates[key]
