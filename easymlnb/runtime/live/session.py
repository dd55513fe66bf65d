"""Live services: this kernel registers its services with its server, and answers their calls.

One thread reads the link and sends. Calls run in a pool of threads next to the author's cells and
pass their messages to that thread, so an interrupted call cannot send half a frame. Without a
server that runs the extension (nbconvert, papermill, ordinary Python) nothing happens.
"""

import logging
import os
import sys
import threading
from contextlib import suppress
from functools import cache
from itertools import groupby
from typing import Any, cast

from easymlnb.contract.batch_protocol import split_operation
from easymlnb.contract.service_call_protocol import ServiceCallError, ServiceResult
from easymlnb.contract.worker_protocol import (
    Call,
    Cancel,
    Drain,
    Hello,
    Message,
    Register,
    Registered,
    RegistrationRefused,
    StreamAck,
    Unregister,
    Welcome,
    batch_of,
    pack,
    unpack_to_worker,
)
from easymlnb.runtime import environment
from easymlnb.runtime.body_files import answer_probe
from easymlnb.runtime.context import Emit
from easymlnb.runtime.link import Link, LinkLost, LinkRefused
from easymlnb.runtime.link_requests import REQUESTS, LinkTransport
from easymlnb.runtime.live.link_reader import LinkReader
from easymlnb.runtime.stream_window import StreamWindow
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import SERVICES, Service

log = logging.getLogger("easymlnb.runtime.live.session")

ANSWER_TIMEOUT = 3.0
"""Seconds that the decorator waits for the server to accept a name; then it ignores the result."""

RETRY = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts to reconnect after the connection was lost."""

SWITCH = 0.0001
"""Seconds after which a computing cell releases the interpreter to a waiting call. A call needs the
interpreter several times, so Python's default of 5 ms would make it twenty times slower. Without
calls, cells run at full speed."""


@cache
def threads() -> ThreadCallRunner:
    """The threads that run this kernel's calls."""
    return ThreadCallRunner()


class LiveSession:
    """This kernel's link to its server, for as long as the kernel lives."""

    def __init__(self) -> None:
        self._reader: LinkReader | None = None
        self._window = StreamWindow()
        self._answers: dict[str, str | None] = {}
        self._answered = threading.Condition()
        self._skew = ""
        """The server's message about incompatible versions, if there is one."""
        threading.Thread(target=self._run, name="easymlnb-live", daemon=True).start()

    def offer(self, service: Service) -> str | None:
        """Register a service; return the server's reason if it refuses."""
        with self._answered:
            self._answers.pop(service.name, None)
        self._send(Register(specs=(service.spec,)))
        with self._answered:
            self._answered.wait_for(
                lambda: service.name in self._answers or self._skew, ANSWER_TIMEOUT
            )
            return self._answers.get(service.name) or self._skew or None

    def withdraw(self, name: str) -> None:
        """Unregister a service."""
        self._send(Unregister(names=(name,)))

    def _send(self, message: Message, body: bytes = b"") -> None:
        reader = self._reader
        if reader is not None:  # else the next link registers all services
            reader.post(pack(message, body))

    def _run(self) -> None:
        attempt = 0
        while True:
            try:
                link = Link(
                    os.environ["EASYMLNB_LINK"],
                    os.environ["EASYMLNB_SECRET"],
                    os.environ.get("EASYMLNB_CAFILE", ""),
                )
            except (OSError, LinkLost, LinkRefused) as error:
                if isinstance(error, LinkRefused) and error.skew:
                    self._give_up(error.skew)  # the kernel's version does not change until it ends
                    return
                threading.Event().wait(RETRY[min(attempt, len(RETRY) - 1)])
                attempt += 1
                continue
            attempt = 0
            try:
                self._serve(link)
            except LinkLost:
                pass
            except Exception:  # an invalid message must not end all services
                log.exception("The link to the server failed; it is dialed again.")
            finally:
                self._reader = None
                REQUESTS.lose()
                link.close()
                for call in self._window.streams():  # their readers are lost
                    threads().cancel(call)

    def _serve(self, link: Link) -> None:
        reader = LinkReader(link, lambda data: self._handle_all(data, emit))

        def emit(message: Message, body: bytes) -> None:
            # Bound to this link: a later link gets no response to a call of this one.
            reader.post(pack(message, body))

        self._reader = reader
        source = os.environ.get("JPY_SESSION_NAME", "")
        hello = Hello(kernel=environment.kernel_id() or "", source=source, live=True)
        specs = tuple(service.spec for service in SERVICES.values())
        link.send(pack(hello) + pack(Register(specs=specs)))
        sys.setswitchinterval(min(SWITCH, sys.getswitchinterval()))
        REQUESTS.transport = LinkTransport(self._send, self._send)
        reader.run()

    def _handle_all(self, data: bytes, emit: Emit) -> None:
        for batch, frames in groupby(unpack_to_worker(data), batch_of):
            if batch:
                self._start(cast("list[tuple[Call, bytes]]", list(frames)), emit)
                continue
            for message, body in frames:
                if isinstance(message, Call):
                    self._start([(message, body)], emit)
                else:
                    self._handle(message, body)

    def _start(self, members: list[tuple[Call, bytes]], emit: Emit) -> None:
        service = SERVICES.get(split_operation(members[0][0].service)[0])
        if service is None:
            return
        with suppress(RuntimeError):  # the interpreter is shutting down and starts no more calls
            threads().submit_all(service, members, emit, self._window)

    def _handle(self, message: Any, body: bytes) -> None:
        if isinstance(message, StreamAck):
            self._window.acknowledge(message.id, message.size)
        elif isinstance(message, Cancel):
            threads().cancel(message.id)
        elif isinstance(message, Registered):
            self._note(dict.fromkeys(message.names))
        elif isinstance(message, RegistrationRefused):
            self._note({message.name: message.message})
        elif isinstance(message, Welcome):
            proof = answer_probe(message.probe)
            if proof is not None:
                self._send(proof)
        elif isinstance(message, ServiceResult | ServiceCallError):
            REQUESTS.receive(message, body)
        elif isinstance(message, Drain):
            raise LinkLost("The server is stopping.")

    def _give_up(self, skew: str) -> None:
        with self._answered:
            self._skew = skew
            self._answered.notify_all()

    def _note(self, answers: dict[str, str | None]) -> None:
        with self._answered:
            self._answers.update(answers)
            self._answered.notify_all()


@cache
def link() -> LiveSession:
    """The link of this kernel, opened on first use."""
    return LiveSession()
