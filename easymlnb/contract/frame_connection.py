"""A WebSocket connection without a transport."""

from collections.abc import Callable

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol


class FrameConnection:
    """One end of a WebSocket; the transport reads from and writes to the network.

    The transport calls ``flush`` after ``receive``, to send the answers to pings.
    """

    def __init__(
        self,
        protocol: Protocol,
        write: Callable[[bytes], None],
        end: Callable[[], None] = lambda: None,
        on_pong: Callable[[bytes], object] = lambda data: None,
    ) -> None:
        """Set ``write``, which sends bytes, and ``end``, which is called after the last ones."""
        self._protocol = protocol
        self._write = write
        self._end = end
        self._on_pong = on_pong
        self._parts: list[bytes] = []

    @property
    def is_open(self) -> bool:
        return self._protocol.state is OPEN

    def receive(self, data: bytes) -> list[bytes]:
        """Process received bytes and return the messages that they complete."""
        self._protocol.receive_data(data)
        messages = []
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                messages += self._messages(event)
        return messages

    def send(self, message: bytes) -> None:
        self._protocol.send_binary(message)
        self.flush()

    def ping(self, data: bytes = b"") -> None:
        """Send a ping; do nothing when the connection is closed."""
        if self.is_open:
            self._protocol.send_ping(data)
            self.flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame; do nothing when the connection is closed."""
        if self.is_open:
            self._protocol.send_close(code, reason)
            self.flush()

    def flush(self) -> None:
        """Write the pending output."""
        for data in self._protocol.data_to_send():
            if data:
                self._write(data)
            else:  # the protocol signals the end with empty bytes
                self._end()

    def _messages(self, frame: Frame) -> list[bytes]:
        if frame.opcode is Opcode.PONG:
            self._on_pong(bytes(frame.data))
        elif frame.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                parts, self._parts = self._parts, []
                return [parts[0] if len(parts) == 1 else b"".join(parts)]
        return []
