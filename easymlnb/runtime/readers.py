"""Threads that take turns at one link: whoever reads a call also runs and answers it.

A call that is handed from thread to thread waits for the interpreter at every hand-over, and
beside an author's cell that computes this is most of what it takes. Here the operating system
chooses which of the waiting threads reads next, so nobody has to wake anybody.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from easymlnb.runtime.link import LinkLost
from easymlnb.runtime.shared import SharedLink

Job = Callable[[], None]

Take = Callable[[bytes], list[Job]]
"""Takes one message from the server and returns what is to be run for it, in this order."""


class Readers:
    """The threads of one link, as many as run something and one that reads."""

    def __init__(self, link: SharedLink, take: Take, size: int) -> None:
        """``size`` is how many jobs may run at once."""
        self._link = link
        self._take = take
        self._size = size
        self._gate = threading.Lock()
        self._reading = threading.Lock()
        self._sending = threading.Lock()
        self._outbox: SimpleQueue[bytes] = SimpleQueue()
        self._jobs: deque[Job] = deque()
        self._all = 0
        self._free = 0  # those that run nothing
        self._over = False
        self._left = threading.Event()

    def run(self) -> None:
        """Read and run until the link is lost; what runs then ends by itself."""
        with self._gate:
            self._grow()
            self._grow()
        self._left.wait()

    def post(self, data: bytes) -> None:
        """Let a reader send this soon. An interrupt that strikes here leaves no half a message."""
        self._outbox.put(data)
        self._link.wake()

    def send(self, data: bytes = b"") -> None:
        """Send this at once, after all that was posted; raises ``LinkLost``.

        For threads that cannot be interrupted.
        """
        with self._sending:
            if data or not self._outbox.empty():
                self._link.send(b"".join([*_drained(self._outbox), data]))

    def _grow(self) -> None:
        self._all += 1
        self._free += 1
        threading.Thread(target=self._work, name="easymlnb-call", daemon=True).start()

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                try:
                    with suppress(LinkLost):
                        job()
                finally:
                    with self._gate:
                        self._free += 1
        finally:
            self._leave()  # whatever ends one of them ends the link, which is then dialled anew

    def _next(self) -> Job | None:
        """Read until there is a job for this thread; ``None`` when the link is lost."""
        with suppress(LinkLost):
            while not self._over:
                if self._jobs and (job := self._begun()) is not None:
                    return job
                self._link.wait()
                self.send()
                self._read()
        return None

    def _read(self) -> None:
        with self._reading:
            for messages in self._link.receive_all():  # nothing if another thread was faster
                for data in messages:
                    self._jobs.extend(self._take(data))

    def _begun(self) -> Job | None:
        """Return a job, unless there must be somebody else to read first and cannot be."""
        with self._gate:
            if not self._jobs:
                return None
            if self._free == 1:
                if self._all > self._size:
                    return None
                self._grow()
            self._free -= 1
            job = self._jobs.popleft()
        if self._jobs:
            self._link.wake()  # the next one takes what is left
        return job

    def _leave(self) -> None:
        self._over = True
        with self._gate:
            self._free -= 1
            last = not self._free
        self._link.wake()  # the next one leaves, too
        if last:
            self._left.set()


def _drained(box: SimpleQueue[bytes]) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(box.get_nowait())
        except Empty:
            return found
