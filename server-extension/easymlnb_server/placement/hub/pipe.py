"""Messages that survive the connection they travel over: numbered, kept until acknowledged.

Both ends of a kernel's way hold a ``Pipe``. Neither a dropped websocket nor one that is opened
anew loses a message, doubles one or changes their order.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


class Pipe:
    """One end of a way whose connection may break and be made again."""

    def __init__(self) -> None:
        self._kept: deque[Frame] = deque()
        self._held = 0
        self._next = 0  # of what is kept: the first that this connection has not been given
        self._number = 0
        self._taken = 0
        self._told = 0
        self._untold = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, channel: str, parts: Iterable[bytes]) -> None:
        """Send a message, now or on the next connection; waits while too much is on its way."""
        self._number += 1
        frame = Frame(self._number, 0, channel, list(parts))
        self._kept.append(frame)
        self._held += _size(frame)
        self._wake.set()
        while self._held > LIMIT:
            self._room.clear()
            await self._room.wait()

    def take(self, data: bytes) -> Frame | None:
        """Return what came; ``None`` if it came before or only acknowledges.

        Raises ``msgspec.MsgspecError`` for what is no frame.
        """
        frame = _decode(data)
        while self._kept and self._kept[0].number <= frame.taken:
            self._held -= _size(self._kept.popleft())
            self._next = max(0, self._next - 1)
            self._room.set()
        if frame.number <= self._taken:
            return None
        self._taken = frame.number
        self._untold += len(data)
        if self._due():
            self._wake.set()
        return frame

    async def run(self, write: Callable[[bytes], Awaitable[object]]) -> None:
        """Send over one connection, for ever; first what the one before it may have lost."""
        self._next = 0
        await write(self._packed(Frame(0, 0)))
        while True:
            if self._next < len(self._kept):
                self._next += 1
                await write(self._packed(self._kept[self._next - 1]))
            elif self._due():
                await write(self._packed(Frame(0, 0)))
            else:
                self._wake.clear()
                await self._wake.wait()

    def _due(self) -> bool:
        return self._taken - self._told >= ACK_EVERY or self._untold >= ACK_BYTES

    def _packed(self, frame: Frame) -> bytes:
        self._told, self._untold = self._taken, 0
        return _encode(msgspec.structs.replace(frame, taken=self._taken))


def _size(frame: Frame) -> int:
    return sum(map(len, frame.parts)) + 64
