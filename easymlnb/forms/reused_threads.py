"""Threads for the messages and calls of forms."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_SECONDS = 1.0
"""Seconds that a thread waits for more work."""


class ReusedThreads:
    """Runs functions in threads, each of which ends after a second without work.

    Starting a thread waits until it runs, which takes milliseconds next to busy threads. A pool
    that keeps its threads would keep their large stacks too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = 0
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def run(self, work: Callable[[], None]) -> None:
        """Run a function in a thread. Raises ``RuntimeError`` if no thread can start."""
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._work.put(work)
                return
        threading.Thread(
            target=self._serve, args=(work,), name="easymlnb-form", daemon=True
        ).start()

    def _serve(self, work: Callable[[], None] | None) -> None:
        while work is not None:
            work()
            work = self._next()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            self._idle += 1
        try:
            return self._work.get(timeout=IDLE_SECONDS)
        except Empty:
            with self._lock:
                if self._idle:
                    self._idle -= 1
                    return None
        # Work for this thread was added after it stopped waiting.
        return self._work.get()


reused_threads = ReusedThreads()
