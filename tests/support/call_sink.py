"""Where tests let the events and the end of calls go."""

from queue import Queue
from typing import Any

from easymlnb.contract.worker_protocol import Failure, Message, Result

WAIT = 30.0


class Sink:
    """Collects what calls emit."""

    def __init__(self) -> None:
        self.ends: Queue[tuple[Message, bytes]] = Queue()
        self.events: list[Message] = []

    def __call__(self, message: Message, body: bytes) -> None:
        if isinstance(message, Result | Failure):
            self.ends.put((message, body))
        else:
            self.events.append(message)

    def end(self) -> tuple[Any, bytes]:
        return self.ends.get(timeout=WAIT)
