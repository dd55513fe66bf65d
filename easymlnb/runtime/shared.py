"""A link that many threads wait for at once; the operating system wakes one for each event."""

import contextlib
import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator

from easymlnb.runtime import keeping
from easymlnb.runtime.link import Link


class SharedLink(Link):
    """Any thread may ``send`` and ``wait``, one at a time may ``receive_all``."""

    def __init__(self, url: str, secret: str, cafile: str = "") -> None:
        self._room: keeping.Room | None = None
        self._at_hand: select.poll | None = None
        super().__init__(url, secret, cafile)
        if not isinstance(self._socket, ssl.SSLSocket):
            self._room = keeping.room()
        else:
            self._at_hand = select.poll()
            self._at_hand.register(self._socket, select.POLLIN)
        self._turn = threading.Lock()
        self._events: select.epoll | None = None
        if hasattr(select, "epoll"):
            os.set_blocking(self._woken, False)
            self._events = select.epoll()
            for number in (self._socket.fileno(), self._woken):
                self._events.register(number, select.EPOLLIN | select.EPOLLET)

    def wait(self) -> None:
        """Return when there may be something to read, or after a ``wake``.

        What arrived is told once, to one of those who wait: it must then be read to its end.
        """
        if self._events is None:
            with self._turn:
                self.ready(None)
            return
        for number, _ in self._events.poll():
            if number == self._woken:
                with contextlib.suppress(BlockingIOError):  # one who was faster heard it
                    os.read(self._woken, 4096)

    def receive_all(self) -> Iterator[list[bytes]]:
        """Read until nothing is left, and yield the complete messages; raises ``LinkLost``."""
        while self._feed():
            yield self._messages()

    def _recv(self) -> bytes:
        if self._room is not None:
            return keeping.receive(self._socket, self._room)
        if self._at_hand is not None:
            assert isinstance(self._socket, ssl.SSLSocket)
            if not self._socket.pending() and not self._at_hand.poll(0):
                raise BlockingIOError
        return super()._recv()

    def _sendall(self, data: bytes) -> None:
        sent = keeping.send(self._socket, data) if self._room is not None else 0
        if sent < len(data):
            super()._sendall(data[sent:])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # whoever still sends stops
        with self._sending:
            if self._events is not None:
                self._events.close()
            super().close()
