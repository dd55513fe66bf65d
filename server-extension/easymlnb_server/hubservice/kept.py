"""Answers that are good for a while, so that not every request has to ask."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")

MOST = 10_000
"""Answers that are kept; the one that was not used for longest goes first."""


class Kept(Generic[V]):
    """Asks once for all who wait for the same answer, and keeps it for ``seconds``.

    That there is nothing is never kept: whoever makes up questions would push the answers of
    others out. What asking raises is raised to all who wait, and not kept.
    """

    def __init__(
        self, ask: Callable[[str], Awaitable[V | None]], seconds: float, most: int = MOST
    ) -> None:
        self.seconds = seconds
        self._ask = ask
        self._most = most
        self._found: OrderedDict[str, tuple[float, V]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[V | None]] = {}

    def __len__(self) -> int:
        return len(self._found)

    async def get(self, key: str) -> V | None:
        """Return the answer to ``key``, at most ``seconds`` old."""
        known = self.fresh(key)
        if known is not None:
            return known
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._fetch(key))
            task.add_done_callback(lambda done: self._done(key, done))
        # Who waits may go away; others wait for the same.
        return await asyncio.shield(task)

    def fresh(self, key: str) -> V | None:
        """Return the answer that ``get`` would give without asking; ``None`` if it would ask."""
        known = self._found.get(key)
        if known is None or time.monotonic() - known[0] >= self.seconds:
            return None
        self._found.move_to_end(key)
        return known[1]

    def put(self, key: str, value: V, age: float = 0.0) -> None:
        """Keep what was learned in another way, ``age`` seconds ago."""
        self._found[key] = (time.monotonic() - age, value)
        self._found.move_to_end(key)
        while len(self._found) > self._most:
            self._found.popitem(last=False)

    def last(self, key: str) -> V | None:
        """Return the last answer however old it is, if it is still there."""
        known = self._found.get(key)
        return known[1] if known else None

    def clear(self) -> None:
        """Keep nothing; what is being asked for is good for those who wait for it."""
        self._found.clear()

    async def _fetch(self, key: str) -> V | None:
        # What was true when it was asked may have changed when the answer is here.
        asked = time.monotonic()
        value = await self._ask(key)
        if value is None:
            self._found.pop(key, None)
        else:
            self.put(key, value, time.monotonic() - asked)
        return value

    def _done(self, key: str, task: asyncio.Task[V | None]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has seen it; if nobody did, nobody misses it
