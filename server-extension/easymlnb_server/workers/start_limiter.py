"""Limit concurrent worker starts."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

HANGING = 30.0
"""Seconds after which a start that has not ended no longer delays others."""


@asynccontextmanager
async def start_slot(gate: asyncio.Semaphore, seconds: float = HANGING) -> AsyncIterator[None]:
    """Hold a slot of ``gate`` in the block, for at most ``seconds``."""
    await gate.acquire()
    with ExitStack() as slot:
        slot.callback(gate.release)
        timer = asyncio.get_running_loop().call_later(seconds, slot.close)
        slot.callback(timer.cancel)
        yield


class StartLimiter:
    """Lets ``count`` workers start at once.

    With ``shared``, all owners have one limit, because their workers start on one machine.
    Otherwise each owner has a separate one.
    """

    def __init__(self, count: int, *, shared: bool) -> None:
        self._shared = shared
        self._gates: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(count)
        )

    def for_owner(self, owner: str) -> asyncio.Semaphore:
        """Return the gate for an owner's workers."""
        return self._gates["" if self._shared else owner]
