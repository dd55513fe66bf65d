"""Track finished records of a Kafka partition: a commit covers all records up to an offset."""

import heapq


class Offsets:
    """The records of one partition that were received.

    ``position`` is the offset from which on a consumer that starts now has to read.
    """

    def __init__(self) -> None:
        self.position: int | None = None
        self._open: list[int] = []
        self._done: set[int] = set()
        self._next = 0

    def receive(self, offset: int) -> None:
        """Note a record; records of a partition come in order."""
        heapq.heappush(self._open, offset)
        self._next = offset + 1

    def finish(self, offset: int) -> int | None:
        """Note that a record is done; return the position to commit, if it moved."""
        self._done.add(offset)
        before = self.position
        while self._open and self._open[0] in self._done:
            self._done.discard(heapq.heappop(self._open))
            self.position = self._open[0] if self._open else self._next
        return self.position if self.position != before else None
