"""A cache of replies that are valid for a while."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from easymlnb.contract.errors import NotReady

V = TypeVar("V")

MOST = 10_000
"""Answers that are kept; the one that was not used for longest goes first."""


AGAIN = 2.0
"""Seconds after a question without an answer until another one is worth asking."""


class Outage:
    """Since when, if so, whoever is asked has not answered; all that ask the same share one."""

    def __init__(self) -> None:
        self.since: float | None = None
        self._failed = 0.0

    @property
    def fresh(self) -> bool:
        """Say whether it was in vain to ask a moment ago."""
        return self.since is not None and time.monotonic() - self._failed < AGAIN

    def goes_on(self, asked: float) -> None:
        """A question that was asked then had no answer."""
        self.since = asked if self.since is None else self.since
        self._failed = time.monotonic()

    def ends(self) -> None:
        self.since = None


class TtlCache(Generic[V]):
    """Asks once for all who wait for the same answer, and keeps it for ``seconds``.

    Answers that were good when an ``outage`` began are good for as long again from then on,
    whichever of them was asked for last. That there is nothing is never kept: whoever makes up
    questions would push the answers of others out. What asking raises is raised to all who wait,
    and not kept.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[V | None]],
        seconds: float,
        most: int = MOST,
        outage: Outage | None = None,
    ) -> None:
        self.seconds = seconds
        self._ask = ask
        self._most = most
        self._outage = outage or Outage()
        self._vouched: dict[str, float] = {}
        self._found: OrderedDict[str, tuple[float, V]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[V | None]] = {}

    def __len__(self) -> int:
        return len(self._found)

    async def get(self, key: str) -> V | None:
        """Return the answer to ``key``, at most ``seconds`` old."""
        known = self.fresh(key)
        if known is not None:
            return known
        lasting = self._lasting(key)
        if lasting is not None and self._outage.fresh:
            return lasting
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._fetch(key))
            task.add_done_callback(lambda done: self._done(key, done))
        # Who waits may go away; others wait for the same.
        try:
            return await asyncio.shield(task)
        except NotReady:
            lasting = self._lasting(key)
            if lasting is None:
                raise
            return lasting

    def vouch(self, key: str, value: V) -> None:
        """Another answer has just shown that this one, known or not, is as good as before."""
        if key not in self._found:
            self.put(key, value, self.seconds)
        self._vouched[key] = time.monotonic()

    def _lasting(self, key: str) -> V | None:
        """Return an answer that was good when the outage began, as long as that may count."""
        known, since = self._found.get(key), self._outage.since
        if known is None or since is None or time.monotonic() - since >= self.seconds:
            return None
        good = max(known[0], self._vouched.get(key, 0.0))
        return known[1] if since - good < self.seconds else None

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
            gone, _ = self._found.popitem(last=False)
            self._vouched.pop(gone, None)

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
        try:
            value = await self._ask(key)
        except NotReady:
            if key in self._found:  # whoever makes up questions tells nothing of an outage
                self._outage.goes_on(asked)
            raise
        self._outage.ends()
        if value is None:
            self._found.pop(key, None)
            self._vouched.pop(key, None)
        else:
            self.put(key, value, time.monotonic() - asked)
        return value

    def _done(self, key: str, task: asyncio.Task[V | None]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has seen it; if nobody did, nobody misses it
