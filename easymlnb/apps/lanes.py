"""A message queue for each page: in order within a page, independent between pages.

A lane has a thread as long as there is something to do, so the interpreter itself cuts what takes
long into slices between which other pages have their turn. What would take far too long is ended
by an exception raised in that thread, which CPython delivers between two instructions: a lock that
is held in a ``with`` is given back, a frame is written whole or not at all.
"""

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from easymlnb.contract.page_protocol import ClosePage, FromPage, ToKernel

SECONDS = 5.0
"""Seconds of a processor that one message may take."""

STRIKES = 3
"""Messages of one page that may take more, until the page is given up."""

LATE = 50
"""Milliseconds to wait for an interrupt that was sent as its message ended."""

TICK = 0.2
"""Seconds between two looks at what the lanes are doing."""

MOST = 2000
MOST_BYTES = 16 * 2**20
"""What may wait in one lane; the server lets a page say no more than 100 messages a second."""

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)

log = logging.getLogger("easymlnb.apps")


class OverTimeError(BaseException):
    """A message takes too long. Not an ``Exception``: callbacks of widgets must not keep it."""


class Lane:
    """One page's messages. ``take`` does one; ``spent`` is told why the page is to be given up."""

    def __init__(
        self,
        take: Callable[[Any], None],
        spent: Callable[[str], None],
        *,
        seconds: float = SECONDS,
    ) -> None:
        self._take = take
        self._spent = spent
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: deque[ToKernel] = deque()
        self._bytes = 0
        self._busy = False
        self._running: tuple[int, float] | None = None
        """The thread, and its time when the message began."""
        self._interrupts = 0
        """Sent to the message that runs."""
        self._strikes = 0
        self._over = False

    def put(self, message: ToKernel) -> None:
        """Have a message done after those before it; never waits."""
        with self._lock:
            if self._over:
                return
            if isinstance(message, ClosePage):
                # What the page said before is of no use any more.
                self._over = True
                self._waiting.clear()
                self._bytes = 0
                self._interrupt()
            self._waiting.append(message)
            self._bytes += _size(message)
            if len(self._waiting) > MOST or self._bytes > MOST_BYTES:
                self._give_up("it sends more messages than can be processed")
            if self._busy:
                return
            self._busy = True
        try:
            threading.Thread(target=self._work, name="easymlnb-page", daemon=True).start()
        except RuntimeError:
            # No more threads: all have to wait for this one, but nothing is lost.
            self._work()

    def look(self) -> None:
        """Interrupt what has taken too long, and once more if that went unheard."""
        with self._lock:
            if self._running is None or self._over:
                return
            thread, began = self._running
            if _spent_by(thread) - began < self._seconds * (1 + self._interrupts):
                return
            self._interrupt()
            self._strikes += 1
            log.warning("Stopped a page's message that took longer than %g s.", self._seconds)
            if self._strikes >= STRIKES:
                self._give_up("its messages take too long to process")

    def _interrupt(self) -> None:
        if self._running is not None:
            self._interrupts += 1
            _raise_in_thread(self._running[0], OverTimeError)

    def _give_up(self, reason: str) -> None:
        self._waiting.clear()
        self._bytes = 0
        self._spent(reason)

    def _work(self) -> None:
        while True:
            heard = 0
            try:
                if not self._step():
                    return
            except OverTimeError:
                heard = 1
            except BaseException:
                log.exception("Processing a page's message failed.")
            self._rest(heard)

    def _step(self) -> bool:
        """Do the next message; False if there is none."""
        message = self._next()
        if message is not None:
            self._take(message)
        return message is not None

    def _next(self) -> ToKernel | None:
        with self._lock:
            if not self._waiting:
                self._busy = False
                return None
            message = self._waiting.popleft()
            self._bytes -= _size(message)
            self._running = (threading.get_ident(), time.thread_time())
            return message

    def _rest(self, heard: int) -> None:
        """Let the message be over, and take an interrupt that came too late for it."""
        while True:
            try:
                with self._lock:
                    self._running = None
                    sent, self._interrupts = self._interrupts, 0
                for _ in range(LATE if sent > heard else 0):
                    time.sleep(0.001)
                return
            except OverTimeError:
                heard += 1


def _size(message: ToKernel) -> int:
    if not isinstance(message, FromPage):
        return 0
    return len(message.content) + len(message.metadata) + sum(map(len, message.buffers))


def _spent_by(thread: int) -> float:
    """Return the seconds of a processor that a thread of this process has taken."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread))
