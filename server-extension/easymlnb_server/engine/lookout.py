"""Taking back what waits on a worker behind a call that lasts longer than was thought."""

import asyncio

from easymlnb_server.engine.crew import LATE, Member


class Lookout:
    """Watches the workers that hold calls. What they give back comes as ``Unbegun``."""

    def __init__(self) -> None:
        self._watched: set[Member] = set()

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
