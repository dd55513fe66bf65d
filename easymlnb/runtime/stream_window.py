"""Flow control of streams: no faster than their readers.

A generator waits in its ``yield`` while its reader has not read ``WINDOW`` bytes of its items, so a
slow reader costs neither the kernel nor the server more memory than that.
"""

import asyncio
import threading
import time

from easymlnb.contract.worker_protocol import WINDOW, Item, Message
from easymlnb.runtime.context import Emit

SHORTEST, LONGEST = 0.001, 0.05
"""Seconds that a thread sleeps between two attempts; there it can be interrupted."""


class StreamWindow:
    """The streams of one link. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._unread: dict[int, int] = {}
        self._lock = threading.Lock()
        # call -> what its coroutine waits for, and the loop on which it runs
        self._waiters: dict[int, tuple[asyncio.Event, asyncio.AbstractEventLoop]] = {}

    def try_reserve(self, call: int, size: int) -> bool:
        """Count an item if the window has space for it, else return ``False``."""
        with self._lock:
            return self._try_reserve(call, size)

    def reserve(self, call: int, size: int) -> None:
        """Wait in this thread until there is space for an item, and count it."""
        # No condition variable: an interrupt inside one could leave its lock acquired.
        pause = SHORTEST
        while not self.try_reserve(call, size):
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)

    async def reserve_async(self, call: int, size: int) -> None:
        """Wait in a coroutine's loop until there is space for an item, and count it."""
        while True:
            with self._lock:
                if self._try_reserve(call, size):
                    return
                waiter = asyncio.Event()
                self._waiters[call] = waiter, asyncio.get_running_loop()
            await waiter.wait()

    def acknowledge(self, call: int, size: int) -> None:
        """Count these bytes as read."""
        with self._lock:
            if call not in self._unread:
                return
            self._unread[call] -= size
            waiting = self._waiters.pop(call, None)
        if waiting is not None:
            waiter, loop = waiting
            loop.call_soon_threadsafe(waiter.set)

    def forget(self, call: int) -> None:
        """Drop a stream that has ended."""
        with self._lock:
            self._unread.pop(call, None)
            self._waiters.pop(call, None)

    def streams(self) -> list[int]:
        """Return the calls whose streams have begun and not ended."""
        with self._lock:
            return list(self._unread)

    def held_back(self, emit: Emit) -> Emit:
        """Return ``emit`` for a thread: it waits until there is space for an item."""

        def wait_and_emit(message: Message, body: bytes) -> None:
            if isinstance(message, Item):
                self.reserve(message.id, len(body))
            emit(message, body)

        return wait_and_emit

    def _try_reserve(self, call: int, size: int) -> bool:
        unread = self._unread.get(call, 0)
        if unread >= WINDOW:  # the last item may exceed it, so less than this plus one item is due
            return False
        self._unread[call] = unread + size
        return True
