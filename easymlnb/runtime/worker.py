"""A worker: a kernel that has executed a bundle and answers calls on its main thread.

Calls run where they are read, so a plain Python function can be interrupted by a signal. While
one runs, a second thread watches the link for cancels and answers the server's heartbeat. The
signal handler, which Python runs on the main thread, compares ids: an interrupt meant for one
call cannot hit the next. Calls of ``async def`` functions run beside, as soon as they are read.
"""

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import Any, cast

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, ServiceNotFound
from easymlnb.contract.service_call_protocol import ServiceCallError, ServiceResult
from easymlnb.contract.worker_protocol import (
    Call,
    Cancel,
    Drain,
    Failure,
    Item,
    Message,
    NotStarted,
    Recall,
    ReconnectGrant,
    StreamAck,
    Welcome,
    batch_of,
    pack,
    unpack_to_worker,
)
from easymlnb.runtime.async_calls import AsyncCallRunner
from easymlnb.runtime.batch_execution import End, answers
from easymlnb.runtime.body_files import answer_probe
from easymlnb.runtime.call_execution import Stopped
from easymlnb.runtime.inbox import CallBatch, Inbox
from easymlnb.runtime.link import Link, LinkLost
from easymlnb.runtime.link_requests import ASKS, LinkTransport
from easymlnb.runtime.server_address import end
from easymlnb.runtime.stream_window import StreamWindow
from easymlnb.services.definition import Service

BUSY_TICK = 0.02
IDLE_TICK = 0.1
"""Seconds between two looks of the watching thread; a cancel is seen within their sum."""


class Worker:
    """The serving loop over one link."""

    def __init__(self, link: Link, services: dict[str, Service]) -> None:
        self._link = link
        self._services = services
        self._inbox = Inbox()
        self._reading = threading.Lock()
        self._flow = StreamWindow()
        self._beside = AsyncCallRunner(idle=self._on_idle)
        self._busy: tuple[int, ...] = ()  # the calls being read, run or answered
        self._open: tuple[int, ...] = ()  # those whose function runs: it may be interrupted
        self._unwanted: set[int] = set()
        self._masked = False
        self._pid = os.getpid()
        self._leaving = False
        self._back: ReconnectGrant | None = None
        self._ended = False

    def run(self) -> ReconnectGrant | None:
        """Serve until the server says leave, or the link is lost; then say how to come back."""
        signal.signal(signal.SIGUSR1, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        watch = threading.Thread(target=self._watch, name="easymlnb-watch", daemon=True)
        watch.start()
        ASKS.way = LinkTransport(self._emit, self._emit_beside, self._listen)
        # What the notebook has made stays, and no call is to wait while it is searched for garbage.
        gc.collect()
        gc.freeze()
        try:
            while (taken := self._next()) is not None:
                self._answer(taken)
            return None
        except LinkLost:
            return self._back
        finally:
            self._ended = True
            ASKS.lose()
            self._beside.stop()
            watch.join()
            self._link.close()

    def _next(self) -> CallBatch | None:
        """Return the next call, or batch, waiting for it; ``None`` when it is time to end."""
        while True:
            with self._inbox.lock:
                taken = self._inbox.take()
                if taken is not None:
                    self._busy = tuple(call.id for call, _ in taken)
                    return taken
            if self._leaving and not len(self._beside):
                return None
            if self._link.ready(None):
                self._read()

    def _answer(self, taken: CallBatch) -> None:
        name = taken[0][0].service
        service = self._services.get(name)
        wanted: CallBatch = []
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
            for call, _ in taken:
                self._flow.forget(call.id)
            self._busy = ()

    def _read(self) -> None:
        """Take what the link holds: calls in line, cancels to their call."""
        with self._reading:
            for data in self._link.receive():  # nothing if the other thread was faster
                for batch, frames in groupby(unpack_to_worker(data), batch_of):
                    if batch:
                        self._inbox.add(cast("CallBatch", list(frames)))
                        continue
                    for message, body in frames:
                        self._take(message, body)

    def _take(self, message: Message, body: bytes) -> None:
        if isinstance(message, Call):
            self._accept(message, body)
        elif isinstance(message, Cancel):
            self._cancel(message.id)
        elif isinstance(message, StreamAck):
            self._flow.seen(message.id, message.size)
        elif isinstance(message, Recall):
            self._give_back(message.id)
        elif isinstance(message, Welcome):
            self._prove(message)
        elif isinstance(message, ServiceResult | ServiceCallError):
            ASKS.take(message, body)
        elif isinstance(message, ReconnectGrant):
            self._back = message
        elif isinstance(message, Drain):
            self._leaving = True

    def _accept(self, call: Call, body: bytes) -> None:
        service = self._services.get(call.service)
        if service is not None and service.spec.concurrency > 1:
            self._beside.start(service, call, body, self._emit_beside, self._flow)
        else:
            self._inbox.add([(call, body)])

    def _give_back(self, call: int) -> None:
        if self._inbox.give_back(call):
            self._unwanted.discard(call)
            self._link.send(pack(NotStarted(id=call)))

    def _on_idle(self) -> None:
        if self._leaving:
            self._link.wake()

    def _prove(self, welcome: Welcome) -> None:
        found = answer_probe(welcome.probe)
        if found is not None:
            self._link.send(pack(found))

    def _cancel(self, unwanted: int) -> None:
        self._beside.cancel(unwanted)
        with self._inbox.lock:
            if self._inbox.holds(unwanted) or unwanted in self._busy:
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
            while self._busy == busy:
                try:
                    if self._link.ready(BUSY_TICK):
                        self._read()
                except LinkLost:
                    self._abandon(main)
                    return
                if self._all_unwanted():
                    signal.pthread_kill(main, signal.SIGUSR1)
            if (self._inbox or self._leaving) and not self._busy:
                self._link.wake()

    def _abandon(self, main: int) -> None:
        """Nobody waits for what runs any more: stop it, or end with it if it does not stop."""
        until = time.monotonic() + (self._back.seconds if self._back is not None else 0.0)
        while not self._ended:
            if time.monotonic() >= until:
                end()
            with self._inbox.lock:
                self._inbox.clear()
                self._unwanted.update(self._busy)
            if self._all_unwanted():
                signal.pthread_kill(main, signal.SIGUSR1)
            time.sleep(BUSY_TICK)

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
        if isinstance(message, Item):
            while not self._flow.enter(message.id, len(body)):
                self._listen()
        self._send(pack(message, body))

    def _emit_beside(self, message: Message, body: bytes) -> None:
        # Without its link the process ends; whoever reads the link sees to that.
        with suppress(LinkLost):
            self._link.send(pack(message, body))

    def _listen(self) -> None:
        """Read the link on the main thread while its call waits for the reader of a stream."""
        self._masked = True
        try:
            if self._link.ready(BUSY_TICK):
                self._read()
        finally:
            self._masked = False
        self._stop_if_unwanted()

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
