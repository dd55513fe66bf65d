"""Messages that survive the connection they travel over: numbered, kept until acknowledged.

Both ends of a kernel's connection hold a ``ReliableChannel``. A WebSocket that is dropped or opened
again loses no message, repeats none and does not change their order.
"""

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

LIMIT = 64 * 2**20
"""Bytes that may be on their way, or wait for a connection, before whoever sends has to wait."""

ACK_EVERY = 32
ACK_BYTES = 2**20
"""How many messages, or bytes of them, are taken before it is told without anything else to say."""


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """A message: its number, the last number taken from the other side, a channel, its parts."""

    number: int
    taken: int
    channel: str = ""
    parts: list[bytes] = []


Write = Callable[[bytes], object]
"""Sends over one connection, at once and without waiting; does nothing once that has ended."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


class ReliableChannel:
    """One end of a way whose connection may break and be made again.

    ``on_room`` is called when there is room again after a ``put`` that said there is none.
    """

    def __init__(self) -> None:
        self.on_room: Callable[[], None] | None = None
        self._kept: deque[Frame] = deque()
        self._held = 0
        self._full = False
        self._number = 0
        self._taken = 0
        self._told = 0
        self._untold = 0
        self._write: Write | None = None

    def put(self, channel: str, parts: Iterable[bytes]) -> bool:
        """Send a message, now or on the next connection; ``False``: send no more for now."""
        self._number += 1
        frame = Frame(self._number, 0, channel, list(parts))
        self._kept.append(frame)
        self._held += _size(frame)
        self._send(frame)
        self._full = self._held > LIMIT
        return not self._full

    def take(self, data: bytes) -> Frame | None:
        """Return what came; ``None`` if it came before or only acknowledges.

        Raises ``msgspec.MsgspecError`` for what is no frame.
        """
        frame = _decode(data)
        while self._kept and self._kept[0].number <= frame.taken:
            self._held -= _size(self._kept.popleft())
        if self._full and self._held <= LIMIT:
            self._full = False
            if self.on_room is not None:
                self.on_room()
        if frame.number <= self._taken:
            return None
        self._taken = frame.number
        self._untold += len(data)
        if self._taken - self._told >= ACK_EVERY or self._untold >= ACK_BYTES:
            self._send(Frame(0, 0))
        return frame

    def open(self, write: Write) -> None:
        """Send over this connection from now on; first what the one before it may have lost."""
        self._write = write
        for frame in (Frame(0, 0), *self._kept):
            self._send(frame)

    def shut(self, write: Write) -> None:
        """This connection has ended; nothing happens if another took its place."""
        if self._write == write:
            self._write = None

    def _send(self, frame: Frame) -> None:
        if self._write is not None:
            self._told, self._untold = self._taken, 0
            self._write(_encode(msgspec.structs.replace(frame, taken=self._taken)))


def _size(frame: Frame) -> int:
    return sum(map(len, frame.parts)) + 64
