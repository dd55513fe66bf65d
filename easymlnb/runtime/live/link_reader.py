"""The thread that owns a live kernel's link: it reads, and sends the messages of other threads."""

from collections.abc import Callable
from queue import Empty, SimpleQueue

from easymlnb.runtime.link import Link


class LinkReader:
    """Read one link, and send the messages that other threads post."""

    def __init__(self, link: Link, on_message: Callable[[bytes], None]) -> None:
        """``on_message`` gets each message in the reading thread, so it must not block."""
        self._link = link
        self._on_message = on_message
        self._outbox: SimpleQueue[bytes] = SimpleQueue()

    def post(self, data: bytes) -> None:
        """Send a message soon, in the order of the calls; drop it if the link is lost.

        An interrupt of the posting thread cannot cut a message in half: another thread sends it.
        """
        self._outbox.put(data)
        self._link.wake()

    def run(self) -> None:
        """Read and send until the link is lost, which raises ``LinkLost``."""
        while True:
            if waiting := self._waiting():
                self._link.send(b"".join(waiting))
            if self._link.ready(None):
                for data in self._link.receive():
                    self._on_message(data)

    def _waiting(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self._outbox.get_nowait())
            except Empty:
                return found
