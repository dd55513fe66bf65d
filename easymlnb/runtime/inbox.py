"""Calls that wait for their worker's main thread, in order."""

import threading
from collections import deque
from itertools import chain

from easymlnb.contract.worker_protocol import Call

CallBatch = list[tuple[Call, bytes]]
"""Calls that run as one; mostly a single one."""


class Inbox:
    """The waiting calls.

    The holder of ``lock`` may pop a call to begin it, so no other thread withdraws it meanwhile.
    The other methods acquire the lock themselves, unless they say otherwise.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._waiting: deque[CallBatch] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, batch: CallBatch) -> None:
        """Append a batch."""
        with self.lock:
            self._waiting.append(batch)

    def pop(self) -> CallBatch | None:
        """Return the next batch; the caller holds the lock."""
        return self._waiting.popleft() if self._waiting else None

    def withdraw(self, call: int) -> bool:
        """Remove a call; return ``False`` if it is not waiting or part of a batch."""
        with self.lock:
            for batch in self._waiting:
                if [member.id for member, _ in batch] == [call]:
                    self._waiting.remove(batch)
                    return True
        return False

    def contains(self, call: int) -> bool:
        """Return whether a call is waiting; the caller holds the lock."""
        return any(waiting.id == call for waiting, _ in chain.from_iterable(self._waiting))

    def clear(self) -> None:
        """Drop all calls; the caller holds the lock."""
        self._waiting.clear()
