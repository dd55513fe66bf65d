"""Limit what C libraries and child processes of a worker write to its descriptors 1 and 2.

A worker inherits the server's descriptors, so this output goes to the server's log. Each stream has
a limit per minute.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

LIMIT = 64 * 1024
"""Bytes of a stream that go to the server's log in each ``SECONDS``."""

SECONDS = 60.0

CHUNK = 64 * 1024

NOTE = b"\n... more output of this worker was cut: 64 KiB a minute go to the server's log.\n"


class OutputQuota:
    """A limit of bytes in each period; one note says that output was cut."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._left = LIMIT

    def allowed(self, data: bytes) -> bytes:
        """Return the part of ``data`` within the limit."""
        now = self._clock()
        if now - self._since >= SECONDS:
            self._since, self._left = now, LIMIT
        if self._left < 0:
            return b""
        allowed, self._left = data[: self._left], self._left - len(data)
        return allowed + NOTE if self._left < 0 else allowed


def limit(stream: Any, descriptor: int) -> None:
    """Apply a quota to what is written to a kernel's original descriptor.

    ipykernel stores that as the stream's ``fileno``; without it ``descriptor`` is used.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        descriptor = stream.fileno()
    real = os.dup(descriptor)
    reads, writes = os.pipe()
    os.dup2(writes, descriptor)
    os.close(writes)
    threading.Thread(target=_pass_on, args=(reads, real), name="easymlnb-raw", daemon=True).start()


def _pass_on(reads: int, real: int) -> None:
    quota = OutputQuota()
    with contextlib.suppress(OSError):  # the end of the process, or of its descriptors
        while data := os.read(reads, CHUNK):
            # A closed or full log must not stop the writers.
            with contextlib.suppress(OSError):
                os.write(real, quota.allowed(data))
