"""Buffer between a worker that streams and a slow reader."""

import asyncio
from collections.abc import Callable
from typing import Any

from easymlnb.contract.worker_protocol import WINDOW, Item, Progress
from easymlnb_server.calls.responses import Writer

MIN_SEND_SECONDS = 10.0
"""Minimum seconds that a reader has after the end of a call for its unsent bytes."""

MIN_SEND_RATE = 10_000
"""Minimum bytes per second that a reader must take of them on average."""


class StreamBuffer:
    """Forwards events, and calls ``acknowledge`` with the bytes of items that the reader took.

    The worker sends at most ``WINDOW`` bytes beyond those, which bounds this buffer. Newer progress
    replaces progress that a slow reader is not ready for.
    """

    def __init__(self, writer: Writer, acknowledge: Callable[[int], None]) -> None:
        self._writer = writer
        self._acknowledge = acknowledge
        self._written = 0  # bytes of items in the next flush
        self._sending = 0  # bytes of items in the current flush
        self._busy = False
        self._unacknowledged = 0
        self._latest: Progress | None = None

    @property
    def empty(self) -> bool:
        """Whether the reader took everything that was written."""
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
        # One at a time: a connection reports the end of its last flush only.
        self._sending, self._written = self._written, 0
        self._busy = True
        sent = self._writer.flush()
        if sent is None or sent.done():
            self._on_sent(sent)
        else:
            sent.add_done_callback(self._on_sent)

    def _on_sent(self, sent: "asyncio.Future[Any] | None") -> None:
        if sent is not None and (sent.cancelled() or sent.exception() is not None):
            return  # the reader has left
        self._busy = False
        self._unacknowledged += self._sending
        # Not for each item: the worker continues while less than a window is unacknowledged.
        if self._unacknowledged >= WINDOW // 4:
            self._acknowledge(self._unacknowledged)
            self._unacknowledged = 0
        latest, self._latest = self._latest, None
        if latest is not None:
            self._writer.event(latest, b"")
        if self._written or latest is not None:
            self._flush()


def cut_if_stuck(stream: Any, sent: "asyncio.Future[Any] | None", size: int) -> None:
    """Close a connection whose reader does not take the rest of a response of ``size`` bytes."""
    if sent is None or sent.done() or stream is None:
        return
    timer = asyncio.get_running_loop().call_later(
        MIN_SEND_SECONDS + size / MIN_SEND_RATE, stream.close
    )
    sent.add_done_callback(lambda _: timer.cancel())
