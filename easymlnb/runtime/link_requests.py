"""Requests of this kernel to its server over the link: those that are pending, and the transport.

The owner of the link sets how to send and how to wait. A process has one link, so there is one
transport.
"""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
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
"""Seconds after which a waiting thread checks for an interrupt."""


class LinkTransport:
    """How to use a kernel's link: ``send`` for the main thread, ``send_off_main`` for the others.

    ``listen`` reads the link for a moment, where the main thread has to do so itself.
    """

    def __init__(
        self, send: Send, send_off_main: Send, listen: Callable[[], None] | None = None
    ) -> None:
        self._send = send
        self._send_off_main = send_off_main
        self._listen = listen

    def send(self, message: Message, body: bytes) -> None:
        (self._send if _in_main() else self._send_off_main)(message, body)

    def notify(self, message: Message) -> None:
        """Send a message that cannot be interrupted, from any thread."""
        self._send_off_main(message, b"")

    def wait(self, request: "PendingRequest") -> None:
        """Wait a moment for a response."""
        if self._listen is not None and _in_main():
            self._listen()
        else:
            wait((request,), TICK)


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """The body of a good response."""

    content_type: str
    body: Data
    filename: str = ""


class PendingRequest(Future[ServiceResponse]):
    """The future response to a request."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class PendingRequests:
    """The pending requests of this process."""

    def __init__(self) -> None:
        self.transport: LinkTransport | None = None
        """``None`` without a link: ordinary Python, or a kernel without a server."""
        self._numbers = itertools.count(1)
        self._open: dict[int, PendingRequest] = {}

    def begin(self) -> PendingRequest:
        request = PendingRequest(next(self._numbers))
        self._open[request.number] = request
        return request

    def forget(self, request: PendingRequest) -> bool:
        """Ignore the response to a request; return whether it was pending."""
        return self._open.pop(request.number, None) is not None

    def receive(self, message: ServiceResult | ServiceCallError, body: bytes) -> None:
        """Give a response to its request; ignore it if there is no such request."""
        if isinstance(message, ServiceCallError):
            error = from_code(message.code, message.message, message.details, message.request_id)
            self._end(message.id, error)
            return
        if message.id not in self._open:
            return
        try:
            data = body_files.response_body(message, body)
            self._end(message.id, ServiceResponse(message.content_type, data, message.filename))
        except OSError:
            error = ServerUnreachable("The file with the response is missing.")
            self._end(message.id, error)
        if message.file and self.transport is not None:
            # The server stores the file until then.
            self.transport.notify(CancelServiceCall(id=message.id))

    def lose(self) -> None:
        """End all requests: the link is lost."""
        self.transport = None
        for number in list(self._open):
            self._end(number, ServerUnreachable("The connection to the server was lost."))

    def _end(self, number: int, outcome: ServiceResponse | EasyMLNBError) -> None:
        request = self._open.pop(number, None)
        if request is None:
            return
        with suppress(InvalidStateError):  # its coroutine was canceled meanwhile
            if isinstance(outcome, EasyMLNBError):
                request.set_exception(outcome)
            else:
                request.set_result(outcome)


REQUESTS = PendingRequests()
