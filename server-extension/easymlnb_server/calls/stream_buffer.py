"""Buffer between a worker that streams and a reader who may be slow."""

import asyncio
from collections.abc import Callable
from typing import Any

from easymlnb.contract.worker_protocol import WINDOW, Item, Progress
from easymlnb_server.calls.responses import Writer

STUCK = 10.0
"""Seconds after the end of a call that its reader has for what is still unsent, at least."""

SLOWEST = 10_000
"""Bytes per second that a reader has to take of it on average."""


class StreamBuffer:
    """Passes on events; ``seen`` is told how many bytes of items the reader has taken.

    The worker sends no more than ``WINDOW`` bytes beyond those, so that is all that waits here.
    Progress that a slow reader is not ready for gives way to newer progress.
    """

    def __init__(self, writer: Writer, seen: Callable[[int], None]) -> None:
        self._writer = writer
        self._seen = seen
        self._written = 0  # bytes of items that go with the next flush
        self._sending = 0  # those of the flush that is under way
        self._busy = False
        self._owed = 0
        self._latest: Progress | None = None

    @property
    def empty(self) -> bool:
        """Say whether the reader has taken all there was."""
        return not self._busy

    @property
    def unsent(self) -> int:
        """Return how many bytes of items the reader has not taken."""
        return self._sending + self._written if self._busy else 0

    def event(self, message: Progress | Item, body: bytes) -> None:
        """Write an event; raises what the writer does."""
        if isinstance(message, Progress) and self._busy:
            self._latest = message
            return
        self._writer.event(message, body)
        self._written += len(body)
        if not self._busy:
            self._flush()

    def _flush(self) -> None:
        # One at a time: a connection tells of the end of its last flush only.
        self._sending, self._written = self._written, 0
        self._busy = True
        sent = self._writer.flush()
        if sent is None or sent.done():
            self._sent(sent)
        else:
            sent.add_done_callback(self._sent)

    def _sent(self, sent: "asyncio.Future[Any] | None") -> None:
        if sent is not None and (sent.cancelled() or sent.exception() is not None):
            return  # the reader has left
        self._busy = False
        self._owed += self._sending
        # Not for each item: the worker goes on as long as less than a window is unaccounted for.
        if self._owed >= WINDOW // 4:
            self._seen(self._owed)
            self._owed = 0
        latest, self._latest = self._latest, None
        if latest is not None:
            self._writer.event(latest, b"")
        if self._written or latest is not None:
            self._flush()


def cut_if_stuck(stream: Any, sent: "asyncio.Future[Any] | None", size: int) -> None:
    """Close a connection whose reader does not take the rest of an answer of ``size`` bytes."""
    if sent is None or sent.done() or stream is None:
        return
    timer = asyncio.get_running_loop().call_later(STUCK + size / SLOWEST, stream.close)
    sent.add_done_callback(lambda _: timer.cancel())
