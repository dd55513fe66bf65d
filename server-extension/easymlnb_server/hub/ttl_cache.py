"""A cache of replies that are valid for a while."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from easymlnb.contract.errors import NotReady

V = TypeVar("V")

MAX_ENTRIES = 10_000
"""Maximum size of a cache; the least recently used value is dropped first."""


RETRY_AFTER = 2.0
"""Seconds after a failed request until the next one."""


class Outage:
    """Whether a source fails, and since when; all caches of one source share an outage."""

    def __init__(self) -> None:
        self.since: float | None = None
        self._failed = 0.0

    @property
    def failed_recently(self) -> bool:
        """Return whether a request failed a moment ago."""
        return self.since is not None and time.monotonic() - self._failed < RETRY_AFTER

    def failed(self, requested: float) -> None:
        """Record that a request of this time failed."""
        self.since = requested if self.since is None else self.since
        self._failed = time.monotonic()

    def recovered(self) -> None:
        """Record that a request succeeded."""
        self.since = None


class TtlCache(Generic[V]):
    """Values by key, valid for ``seconds``; concurrent requests for one key are sent once.

    Values that were valid when an ``outage`` began stay valid for ``seconds`` from then on. A
    missing value (``None``) is not cached, so that made-up keys do not displace real ones. An
    exception of ``fetch`` reaches all callers that wait, and is not cached.
    """

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[V | None]],
        seconds: float,
        max_entries: int = MAX_ENTRIES,
        outage: Outage | None = None,
    ) -> None:
        self.seconds = seconds
        self._source = fetch
        self._max_entries = max_entries
        self._outage = outage or Outage()
        self._extended: dict[str, float] = {}
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()
        self._requests: dict[str, asyncio.Task[V | None]] = {}

    def __len__(self) -> int:
        return len(self._values)

    async def get(self, key: str) -> V | None:
        """Return the value of ``key``, at most ``seconds`` old."""
        known = self.cached(key)
        if known is not None:
            return known
        previous = self._valid_in_outage(key)
        if previous is not None and self._outage.failed_recently:
            return previous
        task = self._requests.get(key)
        if task is None:
            task = self._requests[key] = asyncio.create_task(self._fetch(key))
            task.add_done_callback(lambda done: self._done(key, done))
        # One caller may be canceled while others wait for the same request.
        try:
            return await asyncio.shield(task)
        except NotReady:
            previous = self._valid_in_outage(key)
            if previous is None:
                raise
            return previous

    def extend(self, key: str, value: V) -> None:
        """Extend the validity in an outage: another request has just confirmed the value."""
        if key not in self._values:
            self.put(key, value, self.seconds)
        self._extended[key] = time.monotonic()

    def _valid_in_outage(self, key: str) -> V | None:
        """Return a value that was valid when the outage began, for ``seconds`` after that."""
        known, since = self._values.get(key), self._outage.since
        if known is None or since is None or time.monotonic() - since >= self.seconds:
            return None
        confirmed = max(known[0], self._extended.get(key, 0.0))
        return known[1] if since - confirmed < self.seconds else None

    def cached(self, key: str) -> V | None:
        """Return the value if it is valid without a request."""
        known = self._values.get(key)
        if known is None or time.monotonic() - known[0] >= self.seconds:
            return None
        self._values.move_to_end(key)
        return known[1]

    def put(self, key: str, value: V, age: float = 0.0) -> None:
        """Store a value that was received ``age`` seconds ago."""
        self._values[key] = (time.monotonic() - age, value)
        self._values.move_to_end(key)
        while len(self._values) > self._max_entries:
            dropped, _ = self._values.popitem(last=False)
            self._extended.pop(dropped, None)

    def last(self, key: str) -> V | None:
        """Return the last value of any age, if it is still stored."""
        known = self._values.get(key)
        return known[1] if known else None

    def clear(self) -> None:
        """Drop all values; running requests still return to their callers."""
        self._values.clear()

    async def _fetch(self, key: str) -> V | None:
        # The age counts from the request: the value may change before the response arrives.
        requested = time.monotonic()
        try:
            value = await self._source(key)
        except NotReady:
            if key in self._values:  # a made-up key says nothing about an outage
                self._outage.failed(requested)
            raise
        self._outage.recovered()
        if value is None:
            self._values.pop(key, None)
            self._extended.pop(key, None)
        else:
            self.put(key, value, time.monotonic() - requested)
        return value

    def _done(self, key: str, task: asyncio.Task[V | None]) -> None:
        self._requests.pop(key, None)
        if not task.cancelled():
            task.exception()  # mark it as retrieved, also without a waiting caller
