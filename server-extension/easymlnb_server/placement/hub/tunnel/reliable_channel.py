"""Messages that survive their connection: numbered, and stored until they are acknowledged.

Both ends of a kernel's connection hold a ``ReliableChannel``. A WebSocket that breaks and is opened
again loses no message, repeats none and does not change their order.
"""

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

MAX_UNACKNOWLEDGED = 64 * 2**20
"""Bytes without acknowledgment after which the sender must pause."""

ACK_EVERY = 32
ACK_BYTES = 2**20
"""Messages, or bytes of them, after which an acknowledgment is sent on its own."""


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """A message. ``acknowledged`` is the number of the last one received from the other end."""

    number: int
    acknowledged: int
    channel: str = ""
    parts: list[bytes] = []


Write = Callable[[bytes], object]
"""Writes to a connection without waiting; does nothing after the end of the connection."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


class ReliableChannel:
    """One end of a channel whose connection may break and be made again.

    ``on_writable`` is called after ``send`` returned ``False``, once it may be called again.
    """

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] | None = None
        self._stored: deque[Frame] = deque()
        self._stored_bytes = 0
        self._full = False
        self._sent = 0
        self._received = 0
        self._acknowledged = 0
        self._unacknowledged_bytes = 0
        self._write: Write | None = None

    def send(self, channel: str, parts: Iterable[bytes]) -> bool:
        """Send a message, now or on the next connection; ``False``: send no more for now."""
        self._sent += 1
        frame = Frame(self._sent, 0, channel, list(parts))
        self._stored.append(frame)
        self._stored_bytes += _size(frame)
        self._write_frame(frame)
        self._full = self._stored_bytes > MAX_UNACKNOWLEDGED
        return not self._full

    def receive(self, data: bytes) -> Frame | None:
        """Return the message; ``None`` if it was received before, or only acknowledges.

        Raises ``msgspec.MsgspecError`` for an invalid frame.
        """
        frame = _decode(data)
        while self._stored and self._stored[0].number <= frame.acknowledged:
            self._stored_bytes -= _size(self._stored.popleft())
        if self._full and self._stored_bytes <= MAX_UNACKNOWLEDGED:
            self._full = False
            if self.on_writable is not None:
                self.on_writable()
        if frame.number <= self._received:
            return None
        self._received = frame.number
        self._unacknowledged_bytes += len(data)
        unacknowledged = self._received - self._acknowledged
        if unacknowledged >= ACK_EVERY or self._unacknowledged_bytes >= ACK_BYTES:
            self._write_frame(Frame(0, 0))
        return frame

    def attach(self, write: Write) -> None:
        """Use this connection; first send again what the previous one may have lost."""
        self._write = write
        for frame in (Frame(0, 0), *self._stored):
            self._write_frame(frame)

    def detach(self, write: Write) -> None:
        """Stop using this connection, unless another has replaced it."""
        if self._write == write:
            self._write = None

    def _write_frame(self, frame: Frame) -> None:
        if self._write is not None:
            self._acknowledged, self._unacknowledged_bytes = self._received, 0
            self._write(_encode(msgspec.structs.replace(frame, acknowledged=self._received)))


def _size(frame: Frame) -> int:
    return sum(map(len, frame.parts)) + 64
