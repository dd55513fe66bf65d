"""Calls in line, and whose turn it is.

Every service has a line of its own, and services take turns, so a flood of one keeps no other
waiting for more than a run. Interactive calls go before those that have time; but when
``PATIENCE`` of them passed, one that has time is next.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

from easymlnb_server.dispatch.call import CallHandle

MAX_INTERACTIVE_STREAK = 8
"""Runs of interactive calls that go before one that has time, while one waits."""

Row = dict[str, deque[CallHandle]]
"""The lines of one urgency by service, in the order of their turns; none is empty."""

Choose = Callable[[Iterator[CallHandle]], int]
"""Looks at a service's calls in order; returns how many of the first go now, 0 for none."""


class FairQueue:
    """All calls of one pool that wait."""

    def __init__(self) -> None:
        self._urgent: Row = {}
        self._patient: Row = {}
        self._passed = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def services(self) -> set[str]:
        """Return who has calls here."""
        return {*self._urgent, *self._patient}

    def of(self, service: str) -> Iterator[CallHandle]:
        """Return the calls of a service, the next one first."""
        return chain(self._urgent.get(service, ()), self._patient.get(service, ()))

    def count(self, service: str) -> int:
        """Return how many calls of a service wait."""
        return len(self._urgent.get(service, ())) + len(self._patient.get(service, ()))

    def add(self, pending: CallHandle, *, first: bool = False) -> None:
        """Put a call at the end of its line, or ``first`` in it."""
        row = self._patient if pending.low_priority else self._urgent
        line = row.setdefault(pending.call.service, deque())
        if first:
            line.appendleft(pending)
        else:
            line.append(pending)
        self._size += 1

    def remove(self, pending: CallHandle) -> bool:
        """Take a call out of its line; ``False`` if it does not stand there."""
        row = self._patient if pending.low_priority else self._urgent
        line = row.get(pending.call.service)
        if line is None or pending not in line:
            return False
        # A deque removes in linear time, but a line is bounded.
        line.remove(pending)
        self._size -= 1
        if not line:
            del row[pending.call.service]
        return True

    def take(self, choose: Choose) -> list[CallHandle]:
        """Take out those whose turn it is, calls of one service; nothing if none may go now."""
        due = self._passed >= MAX_INTERACTIVE_STREAK
        rows = (self._patient, self._urgent) if due else (self._urgent, self._patient)
        for row, other in (rows, rows[::-1]):
            for service, line in row.items():
                many = choose(chain(line, other.get(service, ())))
                if many:
                    self._count(row)
                    rest = many - len(line)
                    return self._pop(row, service, many) + self._pop(other, service, rest)
        return []

    def clear(self) -> list[CallHandle]:
        """Take out all."""
        rows = (*self._urgent.values(), *self._patient.values())
        found = [pending for line in rows for pending in line]
        self._urgent.clear()
        self._patient.clear()
        self._size = 0
        return found

    def _count(self, row: Row) -> None:
        if row is self._patient:
            self._passed = 0
        elif self._patient:
            self._passed += 1

    def _pop(self, row: Row, service: str, many: int) -> list[CallHandle]:
        """Take the first out of a line, which stands last among the services after that."""
        if many <= 0 or service not in row:
            return []
        line = row.pop(service)
        found = [line.popleft() for _ in range(min(many, len(line)))]
        if line:
            row[service] = line
        self._size -= len(found)
        return found
