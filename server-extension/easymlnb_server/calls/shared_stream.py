"""The stream of a page that may be reloaded: its items stay for the page that takes it up."""

from collections import deque
from collections.abc import Callable

KEPT = 2**20
"""Bytes of the latest items that stay, for a page that takes the stream up."""


class SharedStream:
    """The items of a stream, which has one reader at a time, or none for a while.

    Without a reader the worker continues as if everything was read.

    Parameters
    ----------
    acknowledge
        Tells the worker how many more bytes were read.
    """

    def __init__(self, acknowledge: Callable[[int], None]) -> None:
        self.size = 0
        self._items: deque[bytes] = deque()
        self._acknowledge = acknowledge
        self._unread = 0
        self._reader: StreamReader | None = None

    @property
    def items(self) -> tuple[bytes, ...]:
        """The latest items."""
        return tuple(self._items)

    def add(self, item: bytes) -> None:
        """Add the next item."""
        self._items.append(item)
        self.size += len(item)
        self._unread += len(item)
        while self.size > KEPT and len(self._items) > 1:
            self.size -= len(self._items.popleft())
        if self._reader is None:
            self.read(self._unread)

    def read(self, size: int) -> None:
        """Note that ``size`` more bytes were read."""
        self._unread -= size
        if size:
            self._acknowledge(size)

    def attach(self) -> "StreamReader":
        """Return a new reader, in place of the former one; it gets the present items first."""
        self.read(self._unread)
        self._reader = StreamReader(self, self.size)
        return self._reader

    def is_read_by(self, reader: "StreamReader") -> bool:
        return self._reader is reader

    def detach(self) -> None:
        """Continue without a reader."""
        self._reader = None
        self.read(self._unread)


class StreamReader:
    """One page that reads a stream; ``former`` bytes of it were read by another one before."""

    def __init__(self, stream: SharedStream, former: int) -> None:
        self._stream = stream
        self._former = former

    def acknowledge(self, size: int) -> None:
        """Note that the page has ``size`` more bytes."""
        former = min(size, self._former)
        self._former -= former
        if self._stream.is_read_by(self):
            self._stream.read(size - former)

    def leave(self) -> None:
        """Read no more."""
        if self._stream.is_read_by(self):
            self._stream.detach()
