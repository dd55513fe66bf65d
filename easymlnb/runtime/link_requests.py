"""What this kernel asks of its server: the questions that are open, and the way they go.

Whoever holds the link to the server says here how to send and how to wait; there is one link in
a process, so there is one such way.
"""

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from easymlnb.contract.errors import EasyMLNBError, ServerUnreachable, from_code
from easymlnb.contract.service_call_protocol import (
    CancelServiceCall,
    ServiceCallError,
    ServiceResult,
)
from easymlnb.contract.worker_protocol import Message
from easymlnb.runtime import body_files
from easymlnb.types.uploaded_files import Data

Send = Callable[[Message, bytes], None]

TICK = 0.05
"""Seconds for which a thread waits at most before it looks whether it was interrupted."""


class LinkTransport:
    """The way over a kernel's link: ``send`` is for the main thread, ``beside`` for all others.

    ``listen`` reads the link for a moment, where the main thread has to do that itself.
    """

    def __init__(self, send: Send, beside: Send, listen: Callable[[], None] | None = None) -> None:
        self._send = send
        self._beside = beside
        self._listen = listen

    def send(self, message: Message, body: bytes) -> None:
        (self._send if _in_main() else self._beside)(message, body)

    def tell(self, message: Message) -> None:
        """Send from whatever thread reads the link, where no interrupt may strike."""
        self._beside(message, b"")

    def wait(self, question: "PendingRequest") -> None:
        if self._listen is not None and _in_main():
            self._listen()
        else:
            question.ended.wait(TICK)


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """A good answer."""

    content_type: str
    body: Data
    filename: str = ""


class PendingRequest:
    """One question; ``told`` is called once, in any thread, when ``reply`` or ``error`` is set."""

    def __init__(self, number: int, told: Callable[[], None] | None = None) -> None:
        self.number = number
        self.reply: ServiceResponse | None = None
        self.error: EasyMLNBError | None = None
        self.ended = threading.Event()
        self._told = told

    def end(self, reply: ServiceResponse | None, error: EasyMLNBError | None) -> None:
        self.reply, self.error = reply, error
        self.ended.set()
        if self._told is not None:
            with suppress(RuntimeError):  # the loop of whoever asked is closed: nobody waits
                self._told()

    def result(self) -> ServiceResponse:
        """Return the answer of an ended question; raises its error."""
        if self.reply is None:
            raise self.error or ServerUnreachable("The server did not respond.")
        return self.reply


class PendingRequests:
    """The open questions of this process."""

    def __init__(self) -> None:
        self.way: LinkTransport | None = None
        """``None`` while there is no link: plain Python, or a kernel without a server."""
        self._numbers = itertools.count(1)
        self._open: dict[int, PendingRequest] = {}

    def begin(self, told: Callable[[], None] | None = None) -> PendingRequest:
        question = PendingRequest(next(self._numbers), told)
        self._open[question.number] = question
        return question

    def forget(self, question: PendingRequest) -> None:
        """Take no more answers to it."""
        self._open.pop(question.number, None)

    def take(self, message: ServiceResult | ServiceCallError, body: bytes) -> None:
        """Hand an answer to whoever waits for it; unknown ones are dropped."""
        question = self._open.pop(message.id, None)
        if question is None:
            return
        if isinstance(message, ServiceCallError):
            told = from_code(message.code, message.message, message.details, message.request_id)
            question.end(None, told)
            return
        try:
            data = body_files.given(message, body)
            question.end(ServiceResponse(message.content_type, data, message.filename), None)
        except OSError:
            question.end(None, ServerUnreachable("The file with the response is missing."))
        if message.file and self.way is not None:
            # The server keeps it until it hears this.
            self.way.tell(CancelServiceCall(id=message.id))

    def lose(self) -> None:
        """The link is gone: no question is answered any more."""
        self.way = None
        for number in list(self._open):
            question = self._open.pop(number, None)
            if question is not None:
                question.end(None, ServerUnreachable("The connection to the server was lost."))


ASKS = PendingRequests()
