"""Flow control of streams: no faster than their readers.

A generator waits in its ``yield`` while ``WINDOW`` bytes of its items are not read yet, so a
reader who is slow, or reads nothing, costs neither kernel nor server more memory than that.
"""

import asyncio
import threading
import time

from easymlnb.contract.worker_protocol import WINDOW, Item, Message
from easymlnb.runtime.context import Emit

SHORTEST, LONGEST = 0.001, 0.05
"""Seconds that a thread sleeps between two looks for room; it is where an interrupt may hit."""


class StreamWindow:
    """The streams of one link. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._out: dict[int, int] = {}
        self._lock = threading.Lock()
        # call -> what its coroutine waits for, and the loop that it runs on
        self._waiters: dict[int, tuple[asyncio.Event, asyncio.AbstractEventLoop]] = {}

    def enter(self, call: int, size: int) -> bool:
        """Count an item in if there is room for it, else return ``False``."""
        with self._lock:
            return self._enter(call, size)

    def wait(self, call: int, size: int) -> None:
        """Wait in this thread until there is room for an item, and count it in."""
        # No condition variable: an interrupt inside one could leave its lock taken for ever.
        pause = SHORTEST
        while not self.enter(call, size):
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)

    async def room(self, call: int, size: int) -> None:
        """Wait in the loop of coroutines until there is room for an item, and count it in."""
        while True:
            with self._lock:
                if self._enter(call, size):
                    return
                waiter = asyncio.Event()
                self._waiters[call] = waiter, asyncio.get_running_loop()
            await waiter.wait()

    def seen(self, call: int, size: int) -> None:
        """The reader took so many bytes."""
        with self._lock:
            if call not in self._out:
                return
            self._out[call] -= size
            waiting = self._waiters.pop(call, None)
        if waiting is not None:
            waiter, where = waiting
            where.call_soon_threadsafe(waiter.set)

    def forget(self, call: int) -> None:
        """That stream has ended."""
        with self._lock:
            self._out.pop(call, None)
            self._waiters.pop(call, None)

    def streams(self) -> list[int]:
        """Return the calls whose streams have begun and not ended."""
        with self._lock:
            return list(self._out)

    def held_back(self, emit: Emit) -> Emit:
        """Return ``emit`` for a thread: it waits until there is room for an item."""

        def slowly(message: Message, body: bytes) -> None:
            if isinstance(message, Item):
                self.wait(message.id, len(body))
            emit(message, body)

        return slowly

    def _enter(self, call: int, size: int) -> bool:
        out = self._out.get(call, 0)
        if out >= WINDOW:  # the last item may lie over the edge: what is owed is less than this
            return False
        self._out[call] = out + size
        return True
