"""A worker: a kernel that has executed a bundle and answers calls on its main thread.

Calls run where they are read, so a plain Python function can be interrupted by a signal. While
one runs, a second thread watches the link for cancels and answers the server's heartbeat. The
signal handler, which Python runs on the main thread, compares ids: an interrupt meant for one
call cannot hit the next.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, ServiceNotFound
from easymlnb.contract.frames import (
    Call,
    Cancel,
    Failure,
    Hello,
    Leave,
    Message,
    Offer,
    pack,
    unpack_to_worker,
)
from easymlnb.definition import DEFINED, Service
from easymlnb.runtime.calls import Stopped, perform
from easymlnb.runtime.context import limit_prints
from easymlnb.runtime.link import Link, LinkLost

CELL_OUTPUT_LIMIT = 1_000_000
"""Characters that one cell of a bundle may print; the log of a deployment stays readable."""

BUSY_TICK = 0.02
IDLE_TICK = 0.1
"""Seconds between two looks of the watching thread; a cancel is seen within their sum."""


class Worker:
    """The serving loop over one link."""

    def __init__(self, link: Link, services: dict[str, Service]) -> None:
        self._link = link
        self._services = services
        self._calls: deque[tuple[Call, bytes]] = deque()
        self._reading = threading.Lock()
        self._busy: int | None = None  # the call being read, run or answered
        self._open: int | None = None  # the same while its function runs: it may be interrupted
        self._unwanted: set[int] = set()
        self._masked = False
        self._pid = os.getpid()
        self._leaving = False
        self._ended = False

    def run(self) -> None:
        """Serve until the server says leave or the link is lost."""
        signal.signal(signal.SIGUSR1, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._watch, name="easymlnb-watch", daemon=True).start()
        try:
            while (taken := self._next()) is not None:
                self._answer(*taken)
        except LinkLost:
            pass
        finally:
            self._ended = True
            self._link.close()

    def _next(self) -> tuple[Call, bytes] | None:
        """Return the next call, waiting for it; ``None`` when it is time to end."""
        while not self._calls:
            if self._leaving:
                return None
            if self._link.ready(None):
                self._read()
        # In this order the other thread always finds a call that it is told to cancel.
        self._busy = self._calls[0][0].id
        return self._calls.popleft()

    def _answer(self, call: Call, body: bytes) -> None:
        service = self._services.get(call.service)
        try:
            if service is None:
                self._fail(call.id, ServiceNotFound(call.service))
            elif call.id in self._unwanted:
                self._fail(call.id, CallCancelled())
            else:
                perform(service, call, body, self._emit, self._guard)
        finally:
            self._busy = None
            self._unwanted.discard(call.id)

    def _read(self) -> None:
        """Take what the link holds: calls in line, cancels to their call."""
        with self._reading:
            if not self._link.ready(0):  # the other thread was faster
                return
            messages = self._link.receive()
        for data in messages:
            for message, body in unpack_to_worker(data):
                if isinstance(message, Call):
                    self._calls.append((message, body))
                elif isinstance(message, Cancel):
                    self._cancel(message.id)
                elif isinstance(message, Leave):
                    self._leaving = True

    def _cancel(self, wanted: int) -> None:
        if any(call.id == wanted for call, _ in list(self._calls)) or self._busy == wanted:
            self._unwanted.add(wanted)

    def _watch(self) -> None:
        """Read the link in the main thread's stead while a call keeps that thread busy."""
        main = threading.main_thread().ident or 0
        seen: int | None = None
        while not self._ended:
            time.sleep(IDLE_TICK if self._busy is None else BUSY_TICK)
            busy = self._busy
            if busy is None or busy != seen:
                seen = busy
                continue
            try:
                if self._link.ready(BUSY_TICK):
                    self._read()
            except LinkLost:
                # Nobody waits for this call any more, and its function may never return.
                os._exit(0)
            if self._open in self._unwanted:
                signal.pthread_kill(main, signal.SIGUSR1)
            if (self._calls or self._leaving) and self._busy is None:
                self._link.wake()

    def _on_signal(self, number: int, frame: Any) -> None:
        # Not in the middle of a frame: half a frame would end the link.
        if not self._masked:
            self._stop_if_unwanted()

    def _stop_if_unwanted(self) -> None:
        if self._open in self._unwanted:
            self._unwanted.discard(self._open)
            raise Stopped

    @contextmanager
    def _guard(self, call: int) -> Iterator[None]:
        """Let an interrupt of this call in, only inside the block."""
        try:
            self._open = call
            self._stop_if_unwanted()
            yield
        finally:
            self._open = None

    def _emit(self, message: Message, body: bytes) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # a child that the function forked and let return: there is one answer
        self._masked = True
        try:
            self._link.send(pack(message, body))
        finally:
            self._masked = False
        self._stop_if_unwanted()

    def _fail(self, call: int, error: EasyMLNBError) -> None:
        self._link.send(pack(Failure(id=call, code=error.code, message=error.message)))


def prepare() -> None:
    """First cell of a worker: bound what the bundle's cells may print, each anew."""
    from IPython.core.getipython import get_ipython

    limit_prints(CELL_OUTPUT_LIMIT)
    shell = get_ipython()
    assert shell is not None
    shell.events.register("pre_run_cell", lambda info: limit_prints(CELL_OUTPUT_LIMIT))


def serve() -> None:
    """Last cell of a worker: dial home, answer calls until told to leave, end the process."""
    link = Link(
        os.environ["EASYMLNB_LINK"],
        os.environ.pop("EASYMLNB_SECRET"),
        os.environ.get("EASYMLNB_CAFILE", ""),
    )
    worker = os.environ["EASYMLNB_WORKER"]
    specs = tuple(service.spec for service in DEFINED.values())
    link.send(pack(Hello(kernel=worker, source="")) + pack(Offer(specs=specs)))
    try:
        Worker(link, dict(DEFINED)).run()
    finally:
        # Whatever went wrong: without its link this process is of no use to anybody.
        os._exit(0)
