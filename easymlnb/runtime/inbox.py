"""Calls that wait for their worker's main thread, in order."""

import threading
from collections import deque
from itertools import chain

from easymlnb.contract.worker_protocol import Call

CallBatch = list[tuple[Call, bytes]]
"""Calls that run as one; mostly a single one."""


class Inbox:
    """``lock`` is held by whoever takes a call to begin it, so that it is not given back as well.

    What else changes the inbox takes the lock itself.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._waiting: deque[CallBatch] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, members: CallBatch) -> None:
        """Put a run at the end."""
        with self.lock:
            self._waiting.append(members)

    def take(self) -> CallBatch | None:
        """Return the next run; the caller holds the lock."""
        return self._waiting.popleft() if self._waiting else None

    def give_back(self, call: int) -> bool:
        """Take a call out; ``False`` if it is not here, or part of a batch."""
        with self.lock:
            for members in self._waiting:
                if [member.id for member, _ in members] == [call]:
                    self._waiting.remove(members)
                    return True
        return False

    def holds(self, call: int) -> bool:
        """Say whether a call is here; the caller holds the lock."""
        return any(waiting.id == call for waiting, _ in chain.from_iterable(self._waiting))

    def clear(self) -> None:
        """Drop all; the caller holds the lock."""
        self._waiting.clear()
