"""Tell those who follow a job what happens to it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MAX_PENDING = 1000
"""Messages that a follower may have unread; then its stream ends, and it can come back."""

CHANGED = "changed"
"""The kind of a message that says that there are new events in the database."""


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """Something about a running job: ``progress``, ``log``, ``metric`` or ``changed``."""

    kind: str
    data: dict[str, Any]


class Follower(asyncio.Queue[JobUpdate | None]):
    """The unread messages of one follower; ``None`` says that some were dropped."""


class JobEvents:
    """Passes messages to the followers of each job."""

    def __init__(self) -> None:
        self._followers: defaultdict[str, set[Follower]] = defaultdict(set)

    def publish(self, job: str, kind: str, data: dict[str, Any] | None = None) -> None:
        """Send a message to all followers of a job."""
        for follower in tuple(self._followers.get(job, ())):
            if follower.qsize() < MAX_PENDING:
                follower.put_nowait(JobUpdate(kind, data or {}))
            elif follower.qsize() == MAX_PENDING:
                follower.put_nowait(None)

    @contextmanager
    def follow(self, job: str) -> Iterator[Follower]:
        """Return a follower of a job for the time of the block."""
        follower = Follower()
        self._followers[job].add(follower)
        try:
            yield follower
        finally:
            self._followers[job].discard(follower)
            if not self._followers[job]:
                del self._followers[job]
