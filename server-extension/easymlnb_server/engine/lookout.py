"""Taking back what waits on a worker behind a call that lasts longer than was thought."""

import asyncio
from collections.abc import Callable
from math import inf

from easymlnb_server.engine.crew import LATE, NEAR, Crew, Member


class Lookout:
    """Watches the workers that hold calls. What they give back comes as ``Unbegun``."""

    def __init__(self) -> None:
        self._watched: set[Member] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def wake(self, seconds: float, then: Callable[[], None]) -> None:
        """Call this in so many seconds, if they are finite, unless that is due before anyway."""
        if seconds == inf:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is not None:
            if now <= self._due <= now + seconds:
                return
            self._timer.cancel()
        self._due = now + seconds
        self._timer = loop.call_later(seconds, then)

    def relieve(self, crew: Crew) -> None:
        """Take back what waits behind a run that is late, once another worker has nothing to do."""
        members = [*crew]
        if len(members) > 1 and any(member.free for member in members):
            for member in members:
                if not member.stuck and member.left < -NEAR and next(member.held(), None):
                    take_back(member)

    def watch(self, member: Member) -> None:
        """Look after this worker, for as long as it holds anything."""
        if len(member.line) > member.slots and member not in self._watched:
            self._watched.add(member)
            asyncio.get_running_loop().call_later(LATE, self._look, member)

    def _look(self, member: Member) -> None:
        self._watched.discard(member)
        if member.link.lost:
            return
        if member.left > -LATE:
            self.watch(member)
            return
        take_back(member)


def take_back(member: Member) -> None:
    """Ask for all that waits on this worker, which gets no more until it has answered."""
    held = [pending for run in member.held() for pending in run.calls]
    member.stuck = bool(held)
    for pending in held:
        member.link.recall(pending.call.id)
