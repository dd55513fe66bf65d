"""A message queue for each page: in order within a page, independent between pages.

A queue has a thread while it has messages, so the interpreter switches between the pages. A
message that takes far too long is ended by an exception raised in that thread, which CPython
delivers between two instructions: locks held in a ``with`` are released, and a frame is written
completely or not at all.
"""

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from easymlnb.contract.page_protocol import ClosePage, FromPage, ToKernel
from easymlnb.forms.reused_threads import reused_threads

MAX_SECONDS = 5.0
"""Seconds of CPU time that one message may take."""

MAX_INTERRUPTS = 3
"""Messages of one page that may exceed it, until the page is closed."""

LATE_MS = 50
"""Milliseconds to wait for an interrupt that was sent when its message ended."""

CHECK_INTERVAL = 0.2
"""Seconds between two checks of the queues."""

MAX_MESSAGES = 2000
MAX_BYTES = 16 * 2**20
"""Limits of one queue; the server forwards at most 100 messages of a page per second."""

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)

log = logging.getLogger("easymlnb.apps")


class OverTimeError(BaseException):
    """A message takes too long. Not an ``Exception``: callbacks of widgets must not catch it."""


class MessageQueue:
    """One page's messages.

    ``handle`` processes a message; ``give_up`` receives the reason why the page must be closed.
    """

    def __init__(
        self,
        handle: Callable[[Any], None],
        give_up: Callable[[str], None],
        *,
        seconds: float = MAX_SECONDS,
    ) -> None:
        self._handle = handle
        self._on_give_up = give_up
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: deque[ToKernel] = deque()
        self._bytes = 0
        self._busy = False
        self._running: tuple[int, float] | None = None
        """The thread, and its CPU time when the message began."""
        self._interrupts = 0
        """Interrupts sent to the running message."""
        self._interrupted = 0
        """Interrupts of all messages."""
        self._closed = False

    def put(self, message: ToKernel) -> None:
        """Add a message; never waits."""
        with self._lock:
            if self._closed:
                return
            if isinstance(message, ClosePage):
                # Earlier messages of the page no longer matter.
                self._closed = True
                self._clear()
                self._interrupt()
            self._waiting.append(message)
            self._bytes += _size(message)
            if len(self._waiting) > MAX_MESSAGES or self._bytes > MAX_BYTES:
                self._give_up("it sends more messages than can be processed")
            if self._busy:
                return
            self._busy = True
        try:
            reused_threads.run(self._work)
        except RuntimeError:
            # No more threads: all pages wait for this one, but no message is lost.
            self._work()

    def check(self) -> None:
        """Interrupt a message that takes too long, again if it ignored an interrupt."""
        with self._lock:
            if self._running is None or self._closed:
                return
            thread, began = self._running
            if _cpu_time(thread) - began < self._seconds * (1 + self._interrupts):
                return
            self._interrupt()
            self._interrupted += 1
            log.warning("Stopped a page's message that took longer than %g s.", self._seconds)
            if self._interrupted >= MAX_INTERRUPTS:
                self._give_up("its messages take too long to process")

    def _interrupt(self) -> None:
        if self._running is not None:
            self._interrupts += 1
            _raise_in_thread(self._running[0], OverTimeError)

    def _give_up(self, reason: str) -> None:
        self._clear()
        self._on_give_up(reason)

    def _clear(self) -> None:
        self._waiting.clear()
        self._bytes = 0

    def _work(self) -> None:
        while True:
            caught = 0
            try:
                message = self._next()
                if message is None:
                    return
                self._handle(message)
            except OverTimeError:
                caught = 1
            except BaseException:
                log.exception("Processing a page's message failed.")
            self._end(caught)

    def _next(self) -> ToKernel | None:
        with self._lock:
            if not self._waiting:
                self._busy = False
                return None
            message = self._waiting.popleft()
            self._bytes -= _size(message)
            self._running = (threading.get_ident(), time.thread_time())
            return message

    def _end(self, caught: int) -> None:
        """End the message, and catch an interrupt that came too late for it."""
        while True:
            try:
                with self._lock:
                    self._running = None
                    sent, self._interrupts = self._interrupts, 0
                for _ in range(LATE_MS if sent > caught else 0):
                    time.sleep(0.001)
                return
            except OverTimeError:
                caught += 1


def _size(message: ToKernel) -> int:
    if not isinstance(message, FromPage):
        return 0
    return len(message.content) + len(message.metadata) + sum(map(len, message.buffers))


def _cpu_time(thread: int) -> float:
    """Return the seconds of CPU time of a thread of this process."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread))
