"""Limit what a worker writes past Python to its descriptors 1 and 2.

Libraries in C and child processes do so. All of it would end up in the log of the server, whose
descriptors a worker inherits, so each stream is let through up to a limit in each minute.
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

MARK = b"\n... more output of this worker was cut: 64 KiB a minute go to the server's log.\n"


class Quota:
    """Lets bytes through up to a limit in each stretch of time, and then a mark, once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._left = LIMIT

    def take(self, data: bytes) -> bytes:
        """Return what of ``data`` goes through."""
        now = self._clock()
        if now - self._since >= SECONDS:
            self._since, self._left = now, LIMIT
        if self._left < 0:
            return b""
        let, self._left = data[: self._left], self._left - len(data)
        return let + MARK if self._left < 0 else let


def limit(stream: Any, descriptor: int) -> None:
    """Put a quota between a kernel's standard stream and what ``descriptor`` was at its start.

    ipykernel keeps that as the stream's ``fileno``; without it the descriptor itself is meant.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        descriptor = stream.fileno()
    real = os.dup(descriptor)
    reads, writes = os.pipe()
    os.dup2(writes, descriptor)
    os.close(writes)
    threading.Thread(target=_pass_on, args=(reads, real), name="easymlnb-raw", daemon=True).start()


def _pass_on(reads: int, real: int) -> None:
    quota = Quota()
    with contextlib.suppress(OSError):  # the end of the process, or of its descriptors
        while data := os.read(reads, CHUNK):
            let = quota.take(data)
            # A log that is gone or full must not stop whoever writes.
            with contextlib.suppress(OSError):
                os.write(real, let)
