"""The queued calls of one version, and the order in which they run."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

from easymlnb_server.dispatch.call import CallHandle

MAX_INTERACTIVE_STREAK = 8
"""Runs of interactive calls before a waiting low-priority call is next."""

Queues = dict[str, deque[CallHandle]]
"""Non-empty queues of one priority by service, in the order in which services take turns."""

Choose = Callable[[Iterator[CallHandle]], int]
"""Given a service's calls in order, returns how many of the first ones run now; 0 for none."""


class FairQueue:
    """All queued calls of one version.

    Rules:

    1. Each service has its own queue, and services take turns: after a run, a service moves to the
       end. A flood of calls to one service delays another service by one run at most.
    2. Interactive calls go before low-priority calls, across services. After
       ``MAX_INTERACTIVE_STREAK`` interactive runs, a waiting low-priority call is next.
    3. Calls of the other priority fill the free places of a batch.
    4. A service that cannot run now, because no worker has a slot for it, is skipped and stays
       first.
    """

    def __init__(self) -> None:
        self._interactive: Queues = {}
        self._low_priority: Queues = {}
        self._streak = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def services(self) -> set[str]:
        """Return the services that have queued calls."""
        return {*self._interactive, *self._low_priority}

    def calls_of(self, service: str) -> Iterator[CallHandle]:
        """Return the calls of a service, the next one first."""
        return chain(self._interactive.get(service, ()), self._low_priority.get(service, ()))

    def count(self, service: str) -> int:
        """Return the number of queued calls of a service."""
        return len(self._interactive.get(service, ())) + len(self._low_priority.get(service, ()))

    def add(self, handle: CallHandle, *, front: bool = False) -> None:
        """Add a call at the end of its queue, or at its ``front``."""
        queue = self._queues_of(handle).setdefault(handle.call.service, deque())
        if front:
            queue.appendleft(handle)
        else:
            queue.append(handle)
        self._size += 1

    def remove(self, handle: CallHandle) -> bool:
        """Remove a call; return ``False`` if it is not queued."""
        queues = self._queues_of(handle)
        queue = queues.get(handle.call.service)
        if queue is None or handle not in queue:
            return False
        queue.remove(handle)  # linear, but a queue is bounded
        self._size -= 1
        if not queue:
            del queues[handle.call.service]
        return True

    def pop(self, choose: Choose) -> list[CallHandle]:
        """Remove and return the calls that run next, all of one service; ``[]`` if none can."""
        both = (self._interactive, self._low_priority)
        if self._streak >= MAX_INTERACTIVE_STREAK:
            both = both[::-1]
        for queues, other in (both, both[::-1]):
            for service, queue in queues.items():
                count = choose(chain(queue, other.get(service, ())))
                if count:
                    self._update_streak(queues)
                    rest = count - len(queue)
                    return self._pop(queues, service, count) + self._pop(other, service, rest)
        return []

    def clear(self) -> list[CallHandle]:
        """Remove and return all calls."""
        queues = (*self._interactive.values(), *self._low_priority.values())
        handles = list(chain.from_iterable(queues))
        self._interactive.clear()
        self._low_priority.clear()
        self._size = 0
        return handles

    def _queues_of(self, handle: CallHandle) -> Queues:
        return self._low_priority if handle.low_priority else self._interactive

    def _update_streak(self, queues: Queues) -> None:
        if queues is self._low_priority:
            self._streak = 0
        elif self._low_priority:
            self._streak += 1

    def _pop(self, queues: Queues, service: str, count: int) -> list[CallHandle]:
        """Remove the first calls of a service, which then moves behind the other services."""
        if count <= 0 or service not in queues:
            return []
        queue = queues.pop(service)
        handles = [queue.popleft() for _ in range(min(count, len(queue)))]
        if queue:
            queues[service] = queue
        self._size -= len(handles)
        return handles
