"""The cell is the service: this kernel tells its server what it answers, and answers.

One thread reads the link and sends. Calls run in a pool of threads next to the author's cells and
hand their messages to that thread, so an interrupted call can never leave half a frame behind.
Without a server that runs the extension (nbconvert, papermill, plain Python) nothing happens.
"""

import logging
import os
import sys
import threading
from contextlib import suppress
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, cast

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
from easymlnb.runtime.body_files import answer_probe
from easymlnb.runtime.context import Emit
from easymlnb.runtime.link import Link, LinkLost, LinkRefused
from easymlnb.runtime.link_requests import ASKS, LinkTransport
from easymlnb.runtime.live.link_reader import LinkReader
from easymlnb.runtime.stream_window import StreamWindow
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import SERVICES, Service

log = logging.getLogger("easymlnb.runtime.live.session")

ANSWER_TIMEOUT = 3.0
"""Seconds the decorator waits for the server's word on a name; later it comes unheard."""

RETRY = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts to dial again after the connection was lost."""

SWITCH = 0.0001
"""Seconds that a cell in a Python loop may keep the interpreter when a call wants it. A call asks
for it several times, so Python's own 5 ms would make it twenty times slower while a cell computes.
Without calls, cells run at full speed."""


@cache
def threads() -> ThreadCallRunner:
    """The threads that this kernel's calls run in."""
    return ThreadCallRunner()


def kernel_id() -> str | None:
    """Return this process's kernel id, ``None`` when it is not a Jupyter kernel."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    from ipykernel.connect import get_connection_file

    return Path(get_connection_file()).stem.removeprefix("kernel-")


def in_worker() -> bool:
    """Say whether this process executes a bundle, rather than an author's cells."""
    return "EASYMLNB_WORKER" in os.environ


def has_server() -> bool:
    """Say whether this kernel was started by a server that runs the extension.

    A terminal of JupyterLab hands its environment on to nbconvert and the like; their kernels
    have another parent, which tells them apart.
    """
    server = os.environ.get("EASYMLNB_SERVER_PID", "")
    return (
        not in_worker()
        and bool(server)
        and server == os.environ.get("JPY_PARENT_PID")
        and kernel_id() is not None
    )


def lack_of_server() -> str:
    """Return a sentence for a notebook whose Jupyter server does not run the extension, else "".

    Jupyter servers name the notebook of a kernel that they start; nbconvert and the like do not.
    """
    lacks = not in_worker() and "EASYMLNB_SERVER_PID" not in os.environ
    if not (lacks and os.environ.get("JPY_SESSION_NAME") and kernel_id()):
        return ""
    return (
        "The Jupyter server of this notebook does not run easymlnb, so its services get no form "
        "and answer no calls: run pip install 'easymlnb[server]' in the environment of that "
        "server, and restart it."
    )


def server_url() -> str:
    """Return the base URL of this kernel's Jupyter server, as reached from here; else ``""``."""
    link = os.environ.get("EASYMLNB_LINK", "") if has_server() else ""
    return link.replace("ws", "http", 1).removesuffix("easymlnb/link")


class LiveSession:
    """This kernel's link to its server, for as long as the kernel lives."""

    def __init__(self) -> None:
        self._reader: LinkReader | None = None
        self._flow = StreamWindow()
        self._answers: dict[str, str | None] = {}
        self._answered = threading.Condition()
        self._skew = ""
        """The server's sentence on the versions of both, if they do not work together."""
        threading.Thread(target=self._run, name="easymlnb-live", daemon=True).start()

    def offer(self, service: Service) -> str | None:
        """Answer this service from now on; returns the server's reason if it refuses."""
        with self._answered:
            self._answers.pop(service.name, None)
        self._send(Register(specs=(service.spec,)))
        with self._answered:
            self._answered.wait_for(
                lambda: service.name in self._answers or self._skew, ANSWER_TIMEOUT
            )
            return self._answers.get(service.name) or self._skew or None

    def withdraw(self, name: str) -> None:
        """Stop answering this service."""
        self._send(Unregister(names=(name,)))

    def _send(self, message: Message, body: bytes = b"") -> None:
        reader = self._reader
        if reader is not None:  # without a link, the next one offers all services
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
                    self._give_up(error.skew)  # this kernel keeps its version until it ends
                    return
                threading.Event().wait(RETRY[min(attempt, len(RETRY) - 1)])
                attempt += 1
                continue
            attempt = 0
            try:
                self._serve(link)
            except LinkLost:
                pass
            except Exception:  # a message that cannot be taken must not end all services for good
                log.exception("The link to the server failed; it is dialed again.")
            finally:
                self._reader = None
                ASKS.lose()
                link.close()
                for call in self._flow.streams():  # nobody reads them any more
                    threads().cancel(call)

    def _serve(self, link: Link) -> None:
        reader = LinkReader(link, lambda data: self._take_all(data, emit))

        def emit(message: Message, body: bytes) -> None:
            # Bound to this link: no later link gets an answer to a call that came over this one.
            reader.post(pack(message, body))

        self._reader = reader
        hello = Hello(
            kernel=kernel_id() or "", source=os.environ.get("JPY_SESSION_NAME", ""), live=True
        )
        specs = tuple(service.spec for service in SERVICES.values())
        link.send(pack(hello) + pack(Register(specs=specs)))
        sys.setswitchinterval(min(SWITCH, sys.getswitchinterval()))
        ASKS.way = LinkTransport(self._send, self._send)
        reader.run()

    def _take_all(self, data: bytes, emit: Emit) -> None:
        for batch, frames in groupby(unpack_to_worker(data), batch_of):
            if batch:
                self._start(cast("list[tuple[Call, bytes]]", list(frames)), emit)
                continue
            for message, body in frames:
                if isinstance(message, Call):
                    self._start([(message, body)], emit)
                else:
                    self._take(message, body)

    def _start(self, members: list[tuple[Call, bytes]], emit: Emit) -> None:
        service = SERVICES.get(members[0][0].service)
        if service is None:
            return
        with suppress(RuntimeError):  # the interpreter is shutting down and starts no more calls
            threads().submit_all(service, members, emit, self._flow)

    def _take(self, message: Any, body: bytes) -> None:
        if isinstance(message, StreamAck):
            self._flow.seen(message.id, message.size)
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
            ASKS.take(message, body)
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
    """The one link of this kernel, dialled on first use."""
    return LiveSession()
