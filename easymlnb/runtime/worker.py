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
from itertools import groupby
from typing import Any, cast

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, ServiceNotFound
from easymlnb.contract.frames import (
    Call,
    Cancel,
    Failure,
    Hello,
    Leave,
    Message,
    Offer,
    Welcome,
    batch_of,
    pack,
    unpack_to_worker,
)
from easymlnb.definition import DEFINED, Service
from easymlnb.runtime.batches import End, answers
from easymlnb.runtime.calls import Stopped
from easymlnb.runtime.context import limit_prints
from easymlnb.runtime.files import answer_probe
from easymlnb.runtime.link import Link, LinkLost

Members = list[tuple[Call, bytes]]
"""Calls that run as one; mostly a single one."""

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
        self._calls: deque[Members] = deque()
        self._reading = threading.Lock()
        self._busy: tuple[int, ...] = ()  # the calls being read, run or answered
        self._open: tuple[int, ...] = ()  # those whose function runs: it may be interrupted
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
                self._answer(taken)
        except LinkLost:
            pass
        finally:
            self._ended = True
            self._link.close()

    def _next(self) -> Members | None:
        """Return the next call, or batch, waiting for it; ``None`` when it is time to end."""
        while not self._calls:
            if self._leaving:
                return None
            if self._link.ready(None):
                self._read()
        # In this order the other thread always finds a call that it is told to cancel.
        self._busy = tuple(call.id for call, _ in self._calls[0])
        return self._calls.popleft()

    def _answer(self, taken: Members) -> None:
        name = taken[0][0].service
        service = self._services.get(name)
        wanted: Members = []
        ends: list[End] = []
        try:
            for call, body in taken:
                if service is None:
                    ends.append(_failure(call.id, ServiceNotFound(name)))
                elif call.id in self._unwanted:
                    ends.append(_failure(call.id, CallCancelled()))
                else:
                    wanted.append((call, body))
            if service is not None and wanted:
                ends += answers(service, wanted, self._emit, self._guard)
            self._send(b"".join([pack(*end) for end in ends]))
        finally:
            self._unwanted.difference_update(self._busy)
            self._busy = ()

    def _read(self) -> None:
        """Take what the link holds: calls in line, cancels to their call."""
        with self._reading:
            if not self._link.ready(0):  # the other thread was faster
                return
            messages = self._link.receive()
        for data in messages:
            for batch, frames in groupby(unpack_to_worker(data), batch_of):
                if batch:
                    self._calls.append(cast("Members", list(frames)))
                    continue
                for message, body in frames:
                    if isinstance(message, Call):
                        self._calls.append([(message, body)])
                    elif isinstance(message, Cancel):
                        self._cancel(message.id)
                    elif isinstance(message, Welcome):
                        self._prove(message)
                    elif isinstance(message, Leave):
                        self._leaving = True

    def _prove(self, welcome: Welcome) -> None:
        found = answer_probe(welcome.probe)
        if found is not None:
            self._link.send(pack(found))

    def _cancel(self, unwanted: int) -> None:
        waiting = (call.id for taken in list(self._calls) for call, _ in taken)
        if unwanted in waiting or unwanted in self._busy:
            self._unwanted.add(unwanted)

    def _watch(self) -> None:
        """Read the link in the main thread's stead while a call keeps that thread busy."""
        main = threading.main_thread().ident or 0
        seen: tuple[int, ...] = ()
        while not self._ended:
            time.sleep(BUSY_TICK if self._busy else IDLE_TICK)
            busy = self._busy
            if not busy or busy != seen:
                seen = busy
                continue
            try:
                if self._link.ready(BUSY_TICK):
                    self._read()
            except LinkLost:
                # Nobody waits for this call any more, and its function may never return.
                os._exit(0)
            if self._all_unwanted():
                signal.pthread_kill(main, signal.SIGUSR1)
            if (self._calls or self._leaving) and not self._busy:
                self._link.wake()

    def _on_signal(self, number: int, frame: Any) -> None:
        # Not in the middle of a frame: half a frame would end the link.
        if not self._masked:
            self._stop_if_unwanted()

    def _all_unwanted(self) -> bool:
        """Say whether nobody wants what runs: of a batch, none of its calls."""
        calls = self._open
        return bool(calls) and self._unwanted.issuperset(calls)

    def _stop_if_unwanted(self) -> None:
        if self._all_unwanted():
            self._unwanted.difference_update(self._open)
            raise Stopped

    @contextmanager
    def _guard(self, calls: tuple[int, ...]) -> Iterator[None]:
        """Let an interrupt of these calls in, only inside the block."""
        try:
            self._open = calls
            self._stop_if_unwanted()
            yield
        finally:
            self._open = ()

    def _emit(self, message: Message, body: bytes) -> None:
        self._send(pack(message, body))

    def _send(self, data: bytes) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # a child that the function forked and let return: there is one answer
        self._masked = True
        try:
            self._link.send(data)
        finally:
            self._masked = False
        self._stop_if_unwanted()


def _failure(call: int, error: EasyMLNBError) -> End:
    return Failure(id=call, code=error.code, message=error.message), b""


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
