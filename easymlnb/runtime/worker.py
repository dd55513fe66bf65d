"""A worker: a kernel that has executed a bundle and answers calls on its main thread.

Calls run in the thread that reads them, so a synchronous function can be interrupted by a signal.
While one runs, a second thread watches the link for cancels and answers the server's heartbeat.
The signal handler, which Python runs on the main thread, compares IDs, so an interrupt cannot hit
the next call. Calls of ``async def`` functions start as soon as they are read.
"""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from typing import Any, cast

from easymlnb.contract.batch_protocol import split_operation
from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.job_protocol import JobCheckpoints, JobPromoted, RunningJob
from easymlnb.contract.model_protocol import ModelMoved, ModelSwap
from easymlnb.contract.service_call_protocol import ServiceCallError, ServiceResult
from easymlnb.contract.worker_protocol import (
    Call,
    Cancel,
    Credentials,
    Drain,
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
from easymlnb.runtime.batch_execution import End, failed, run_batch
from easymlnb.runtime.body_files import answer_probe
from easymlnb.runtime.credentials import CREDENTIALS
from easymlnb.runtime.failures import CallInterrupted
from easymlnb.runtime.inbox import CallBatch, Inbox
from easymlnb.runtime.jobs import JobRun, offer_checkpoints
from easymlnb.runtime.link import Link, LinkLost
from easymlnb.runtime.link_requests import REQUESTS, LinkTransport
from easymlnb.runtime.model_trials import NO_CALL, try_examples
from easymlnb.runtime.operations import run_calls
from easymlnb.runtime.promoted_jobs import PromotedCall
from easymlnb.runtime.served_models import MODELS
from easymlnb.runtime.server_address import end_process
from easymlnb.runtime.service_lookup import find_service
from easymlnb.runtime.stream_window import StreamWindow
from easymlnb.services.definition import Service

BUSY_TICK = 0.02
IDLE_TICK = 0.1
"""Seconds between two checks of the watching thread; a cancel is seen within their sum."""

Rejoin = Callable[[ReconnectGrant, tuple[RunningJob, ...]], Link | None]
"""Opens a link to the next server, while a job runs; ``None`` if none accepts this worker."""


class Worker:
    """The serving loop over one link, and over the next ones while a job runs."""

    def __init__(
        self, link: Link, services: dict[str, Service], rejoin: Rejoin = lambda grant, runs: None
    ) -> None:
        self._link = link
        self._former: list[Link] = []
        self._rejoin = rejoin
        self._job: JobRun | None = None
        self._services = services
        self._inbox = Inbox()
        self._reading = threading.Lock()
        self._window = StreamWindow()
        self._promotion = PromotedCall(self._inbox.lock, self._emit, self._emit_anywhere)
        self._async_calls = AsyncCallRunner(on_idle=self._on_idle)
        self._busy: tuple[int, ...] = ()  # the calls that are decoded, run or encoded
        self._open: tuple[int, ...] = ()  # those whose function runs: it may be interrupted
        self._cancelled: set[int] = set()
        self._masked = False
        self._pid = os.getpid()
        self._draining = False
        self._reconnect: ReconnectGrant | None = None
        self._ended = False

    def run(self) -> ReconnectGrant | None:
        """Serve until the server ends the worker or the link is lost; return how to reconnect."""
        signal.signal(signal.SIGUSR1, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        watch = threading.Thread(target=self._watch, name="easymlnb-watch", daemon=True)
        watch.start()
        REQUESTS.transport = LinkTransport(self._emit, self._emit_off_main, self._listen)
        # The notebook's objects stay, and no call should wait for their garbage collection.
        gc.collect()
        gc.freeze()
        try:
            while (batch := self._next()) is not None:
                self._answer(batch)
            return None
        except LinkLost:
            return self._reconnect
        finally:
            self._ended = True
            REQUESTS.lose()
            self._async_calls.stop()
            watch.join()
            for link in (*self._former, self._link):
                link.close()

    def _next(self) -> CallBatch | None:
        """Wait for the next batch and return it; ``None`` if the worker has to end."""
        while True:
            if MODELS.waiting:
                self._swap_models()
            with self._inbox.lock:
                batch = self._inbox.pop()
                if batch is not None:
                    self._busy = tuple(call.id for call, _ in batch)
                    self._promotion.begin(batch[0][0] if len(batch) == 1 else None)
                    return batch
            if self._draining and not len(self._async_calls):
                return None
            if self._link.ready(None):
                self._read()

    def _swap_models(self) -> None:
        """Use new versions of models; meanwhile the watching thread reads the link."""
        self._busy = (NO_CALL,)
        try:
            MODELS.swap(partial(try_examples, self._services), self._emit_off_main)
        finally:
            self._busy = ()

    def _answer(self, batch: CallBatch) -> None:
        if batch[0][0].job:
            self._answer_job(*batch[0])
            return
        name, operation = split_operation(batch[0][0].service)
        wanted: CallBatch = []
        ends: list[End] = []
        try:
            service, problem = find_service(self._services, name)
            for call, body in batch:
                if service is None:
                    ends.append(failed(call.id, problem))
                elif call.id in self._cancelled:
                    ends.append(failed(call.id, CallCancelled()))
                else:
                    wanted.append((call, body))
            if service is not None and operation:
                ends += run_calls(service, wanted, self._emit, self._guard)
            elif service is not None and wanted:
                if service.spec.batch is None:
                    self._promotion.keep_log()
                ends += run_batch(service, wanted, self._promotion.emit, self._guard)
            if (job := self._promotion.end()) is None:
                self._send(b"".join([pack(*end) for end in ends]))
            else:
                with job:
                    self._keep_end(job, ends[0])
        finally:
            self._job = None
            self._cancelled.difference_update(self._busy)
            for call, _ in batch:
                self._window.forget(call.id)
            self._busy = ()

    def _answer_job(self, call: Call, body: bytes) -> None:
        """Run a job, and keep its result until a server has stored it."""
        try:
            with JobRun(call, self._emit_anywhere) as job:
                self._job = job
                service, problem = find_service(self._services, call.service)
                if service is None:
                    end = failed(call.id, problem)
                elif call.id in self._cancelled:
                    end = failed(call.id, CallCancelled())
                else:
                    (end,) = run_batch(service, [(call, body)], job, self._guard)
                self._keep_end(job, end)
        finally:
            self._cancelled.discard(call.id)
            self._job = None
            self._busy = ()

    def _keep_end(self, job: JobRun, end: End) -> None:
        """Keep the result of a job until a server has stored it."""
        job.finish(end)
        while not job.stored:
            self._deliver(job)
        self._draining |= job.terminated

    def _deliver(self, job: JobRun) -> None:
        """Send the result of a job, or wait for the link or the server's confirmation."""
        try:
            job.send_end((link := self._link).send)
            if link.ready(BUSY_TICK):
                self._read()
        except LinkLost:
            time.sleep(BUSY_TICK)  # the watching thread opens the next link

    def _emit_anywhere(self, message: Message, body: bytes) -> None:
        main = threading.current_thread() is threading.main_thread()
        (self._emit if main else self._emit_off_main)(message, body)

    def _read(self) -> None:
        """Read the link: calls go to the inbox, other messages are handled."""
        with self._reading:
            for data in self._link.receive():  # nothing if the other thread was faster
                for batch, frames in groupby(unpack_to_worker(data), batch_of):
                    if batch:
                        self._inbox.add(cast("CallBatch", list(frames)))
                        continue
                    for message, body in frames:
                        self._handle(message, body)

    def _handle(self, message: Message, body: bytes) -> None:
        if isinstance(message, Call):
            self._accept(message, body)
        elif isinstance(message, Cancel):
            self._cancel(message.id)
        elif isinstance(message, StreamAck):
            self._window.acknowledge(message.id, message.size)
        elif isinstance(message, Recall):
            self._withdraw(message.id)
        elif isinstance(message, Welcome):
            self._prove(message)
        elif isinstance(message, ServiceResult | ServiceCallError):
            REQUESTS.receive(message, body)
        elif isinstance(message, ReconnectGrant):
            self._reconnect = message
        elif isinstance(message, Credentials):
            CREDENTIALS.replace(message.values)
        elif isinstance(message, Drain):
            self._draining = True
        elif isinstance(message, ModelMoved):
            MODELS.move(message, self._emit_off_main)
        elif isinstance(message, ModelSwap):
            MODELS.begin_swap(message, self._wake)
        elif isinstance(message, JobCheckpoints):
            offer_checkpoints(message)
        elif isinstance(message, JobPromoted):
            self._job = self._promotion.receive(message) or self._job
        elif (job := self._job) is not None and getattr(message, "id", None) == job.call.id:
            job.receive(message, body)

    def _accept(self, call: Call, body: bytes) -> None:
        service = self._services.get(call.service)
        if service is not None and service.spec.concurrency > 1 and not call.job:
            self._async_calls.start(service, call, body, self._emit_off_main, self._window)
        else:
            self._inbox.add([(call, body)])

    def _withdraw(self, call: int) -> None:
        if self._inbox.withdraw(call):
            self._cancelled.discard(call)
            self._link.send(pack(NotStarted(id=call)))

    def _wake(self) -> None:
        self._link.wake()

    def _on_idle(self) -> None:
        if self._draining:
            self._link.wake()

    def _prove(self, welcome: Welcome) -> None:
        proof = answer_probe(welcome.probe)
        if proof is not None:
            self._link.send(pack(proof))

    def _cancel(self, call: int) -> None:
        self._async_calls.cancel(call)
        with self._inbox.lock:
            if self._inbox.contains(call) or call in self._busy:
                self._cancelled.add(call)

    def _watch(self) -> None:
        """Read the link while a call keeps the main thread busy."""
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
                    if (job := self._job) is not None:
                        job.send_output(self._link.send)
                except LinkLost:
                    if not self._find_server():
                        self._abandon(main)
                        return
                if self._all_cancelled():
                    signal.pthread_kill(main, signal.SIGUSR1)
            if (self._inbox or self._draining or MODELS.waiting) and not self._busy:
                self._link.wake()

    def _find_server(self) -> bool:
        """Open the next link while a job runs; ``False`` without a job that is not stored yet."""
        job, grant = self._job, self._reconnect
        if job is None or job.stored or grant is None:
            return False
        job.lose_link()
        REQUESTS.lose()
        with self._inbox.lock:
            self._inbox.clear()
        link = self._rejoin(grant, (job.running,))
        if link is None:
            end_process()
        # The main thread may be using the former link.
        self._former.append(self._link)
        self._link = link
        REQUESTS.transport = LinkTransport(self._emit, self._emit_off_main, self._listen)
        return True

    def _abandon(self, main: int) -> None:
        """Stop the running calls, which have lost their server; else end the process."""
        until = time.monotonic() + (self._reconnect.seconds if self._reconnect is not None else 0.0)
        while not self._ended:
            if time.monotonic() >= until:
                end_process()
            with self._inbox.lock:
                self._inbox.clear()
                self._cancelled.update(self._busy)
            if self._all_cancelled():
                signal.pthread_kill(main, signal.SIGUSR1)
            time.sleep(BUSY_TICK)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._promotion.job is not None:
            self._promotion.job.attach()
        # Not in the middle of a frame: half a frame would end the link.
        if not self._masked:
            self._stop_if_cancelled()

    def _all_cancelled(self) -> bool:
        """Return whether all calls of the running batch are canceled."""
        calls = self._open
        return bool(calls) and self._cancelled.issuperset(calls)

    def _stop_if_cancelled(self) -> None:
        if self._all_cancelled():
            self._cancelled.difference_update(self._open)
            raise CallInterrupted

    @contextmanager
    def _guard(self, calls: tuple[int, ...]) -> Iterator[None]:
        """Let these calls be interrupted inside the block only."""
        try:
            self._open = calls
            self._stop_if_cancelled()
            yield
        finally:
            self._open = ()

    def _emit(self, message: Message, body: bytes) -> None:
        if isinstance(message, Item):
            while not self._window.try_reserve(message.id, len(body)):
                self._listen()
        self._send(pack(message, body))

    def _emit_off_main(self, message: Message, body: bytes) -> None:
        # Without its link the process ends; the thread that reads the link does that.
        with suppress(LinkLost):
            self._link.send(pack(message, body))

    def _listen(self) -> None:
        """Read the link in the main thread while its call waits for a stream's reader."""
        self._masked = True
        try:
            if self._link.ready(BUSY_TICK):
                self._read()
        except LinkLost:
            if self._job is None:
                raise
            time.sleep(BUSY_TICK)  # the watching thread opens the next link
        finally:
            self._masked = False
        self._stop_if_cancelled()

    def _send(self, data: bytes) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # a child process that the function forked and returned from
        self._masked = True
        try:
            self._link.send(data)
        finally:
            self._masked = False
        self._stop_if_cancelled()
