"""Queue the calls of one version and send them to its workers."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import count
from random import SystemRandom
from typing import Any

import msgspec

from easymlnb.contract import units
from easymlnb.contract.errors import Busy, DeadlineExceeded, EasyMLNBError, NotReady
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import DEFAULT_SPEC, CallHandle, Chain, Execution, Listener
from easymlnb_server.dispatch.duration_model import Backlog, DurationModel, NoWorkers, expected_wait
from easymlnb_server.dispatch.fair_queue import FairQueue
from easymlnb_server.dispatch.scheduler import Scheduler
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.dispatch.worker_slots import WorkerSlot, WorkerSlots

GRACE = 5.0
"""Seconds that a worker has to stop a canceled call."""

log = logging.getLogger("easymlnb.dispatch")

# Unique across restarts: a worker that reconnects may still answer a call of its former link.
_ids = count(SystemRandom().getrandbits(48))


def next_call_id() -> int:
    """Return the id of a new call."""
    return next(_ids)


class Dispatcher:
    """Runs calls: sends a call to a free worker at once, or queues it.

    Rules:

    1. Queues are bounded by service; a call beyond the limit is refused with ``Busy``.
    2. ``FairQueue`` decides which service is next, ``WorkerSlots`` which worker, and
       ``batch_size`` how many calls of a batched service run together.
    3. Only calls of services whose runs take at most 1 ms are prefetched, and only behind such
       calls. Batches, large bodies, and calls that another call waits for are never prefetched.
       Nothing is prefetched past a call that needs a free worker.
    4. A batched call waits for others only while a worker is free: for the author's ``max_wait``,
       or else for a time that callers do not notice.
    5. A canceled or overdue call ends for its caller at once and keeps its slot until the worker
       has stopped it. After ``GRACE`` seconds ``on_stuck`` is called.

    Parameters
    ----------
    limit
        Number of calls of one service that may be queued, plus one batch for a batched service.
    on_stuck
        Ends a worker that did not stop a canceled call in time. Without it, the slot is released
        and the function continues in the kernel; authors' kernels are not ended.
    on_starved
        Called when a call is queued while there are no workers.

    Attributes
    ----------
    no_workers
        Why there are no workers, for callers that wait for one.
    give_up
        Removes the worker of a link, which continues with its call, and returns it; ``None`` if
        that is not possible.
    """

    def __init__(
        self,
        limit: int,
        on_stuck: Callable[[WorkerLink], None] | None = None,
        on_starved: Callable[[], None] | None = None,
    ) -> None:
        self.no_workers = NoWorkers()
        self.give_up: Callable[[WorkerLink], Any] = lambda link: None
        self._limit = limit
        self._on_stuck = on_stuck
        self._on_starved = on_starved
        self._queue = FairQueue()
        self._slots = WorkerSlots()
        self._running: dict[int, WorkerLink] = {}
        self._durations: defaultdict[str, DurationModel] = defaultdict(DurationModel)
        self._scheduler = Scheduler(self._slots, self._durations)
        self._closed: EasyMLNBError | None = None
        self._changed = asyncio.Event()
        self._successor: Dispatcher | None = None

    @property
    def waiting(self) -> int:
        """Number of queued calls."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Number of calls that workers hold."""
        return len(self._running)

    @property
    def workers(self) -> tuple[WorkerLink, ...]:
        return tuple(slot.link for slot in self._slots)

    def join(self, worker: WorkerLink, capacity: int, prefetch: int = 0) -> None:
        """Send calls to a worker: ``capacity`` at once, and ``prefetch`` more to wait there.

        Prefetching requires a worker that answers calls in order, and a link that delivers its
        answers even if the worker dies.
        """
        self._slots.join(worker, capacity, prefetch)
        worker.on_resume = self._dispatch
        self._dispatch()

    def resize(self, worker: WorkerLink, capacity: int) -> None:
        """Change the number of calls that a worker runs at once."""
        slot = self._slots.get(worker)
        if slot is not None:
            slot.capacity = capacity
            self._dispatch()

    def leave(self, worker: WorkerLink) -> None:
        """Send no more calls to a worker; its current calls continue."""
        self._slots.leave(worker)
        self._changed.set()

    def submit(
        self,
        call: Call,
        body: Body,
        listener: Listener | None = None,
        *,
        spec: ServiceSpec = DEFAULT_SPEC,
        low_priority: bool = False,
        worker: WorkerLink | None = None,
        chain: Chain = (),
    ) -> CallHandle:
        """Accept a call; raises ``Busy``, or the error of ``close``.

        - ``call``: what to send to the worker; gets a new ``id``
        - ``listener``: called with each progress message and stream item
        - ``spec``: the service to call
        - ``low_priority``: let interactive calls go first
        - ``worker``: run the call on this worker, without queueing
        - ``chain``: the calls that wait for this one
        """
        if self._closed is not None:
            raise self._closed
        slot = self._admit(call.service, spec, body, chain) if worker is None else None
        loop = asyncio.get_running_loop()
        call = msgspec.structs.replace(call, id=next(_ids))
        handle = CallHandle(call, body, loop, listener, spec, low_priority)
        handle.canceller, handle.no_retry, handle.chain = self.cancel, worker is not None, chain
        handle.timer = loop.call_later(call.seconds, self._expire, handle)
        if worker is not None:
            self._scheduler.run_started(call.service)
            self._send(Execution([handle]), worker)
        elif slot is not None:
            self._start([handle], slot)
        else:
            self._enqueue(handle, loop)
        return handle

    def queue_position(self, handle: CallHandle) -> tuple[int, float] | None:
        """Return a call's position in its queue, from 1, and the expected wait in seconds.

        The wait is 0 while it is unknown. Returns ``None`` for a call that is not queued.
        """
        for position, other in enumerate(self._queue.calls_of(handle.call.service), 1):
            if other is handle:
                return position, self._expected_wait(handle.call.service, handle.spec, position)
        return self._successor.queue_position(handle) if self._successor is not None else None

    def cancel(self, handle: CallHandle, error: EasyMLNBError) -> None:
        """End a call with ``error`` for its caller, and ask its worker to stop it."""
        if self._successor is not None and handle.canceller != self.cancel:
            self._successor.cancel(handle, error)
            return
        if not handle.fail(error):
            return
        worker = self._running.get(handle.call.id)
        if worker is None:
            if self._queue.remove(handle):
                self._changed.set()
            return
        worker.cancel(handle.call.id)
        self._check_later(worker, handle)

    def worker_of(self, handle: CallHandle) -> WorkerLink | None:
        """Return the worker that runs a call alone; ``None`` if there is none."""
        worker, run = self._running.get(handle.call.id), handle.run
        if worker is None or worker.lost or run is None or handle.prefetched:
            return None
        return None if run.size > 1 or run.is_async else worker

    def detach(self, handle: CallHandle, worker: WorkerLink) -> None:
        """Release a call that runs alone, with its worker, which gets no more calls."""
        run = handle.run
        assert run is not None
        del self._running[handle.call.id]
        run.calls.remove(handle)
        if handle.timer is not None:  # a job has its own limit
            handle.timer.cancel()
            handle.timer = None
        self._scheduler.run_ended(run)
        self.leave(worker)
        worker.keep_only(handle)
        self._dispatch()

    def acknowledge(self, handle: CallHandle, size: int) -> None:
        """Report that the reader of a stream has received ``size`` more bytes."""
        worker = self._running.get(handle.call.id)
        if worker is not None:
            worker.acknowledge(handle.call.id, size)
        elif self._successor is not None:
            self._successor.acknowledge(handle, size)

    def fail_queued(self, error: EasyMLNBError) -> None:
        """End all queued calls with ``error``."""
        for handle in self._queue.clear():
            handle.fail(error)
        self._changed.set()

    def hand_over(self, successor: "Dispatcher", specs: Mapping[str, ServiceSpec]) -> None:
        """Move the queued calls to the dispatcher of another version.

        They keep their order and deadlines. ``specs`` are the successor's services; calls of other
        services stay.
        """
        self._successor = successor
        for handle in self._queue.clear():
            spec = specs.get(handle.call.service)
            if spec is None:
                self._queue.add(handle)
            else:
                successor.accept(handle, spec)
        self._changed.set()

    def accept(self, handle: CallHandle, spec: ServiceSpec) -> None:
        """Queue a call of another dispatcher."""
        loop = asyncio.get_running_loop()
        if handle.timer is not None:
            handle.timer.cancel()
        handle.timer = loop.call_later(
            max(0.0, handle.deadline - time.monotonic()), self._expire, handle
        )
        handle.spec, handle.canceller, handle.batch_ready = spec, self.cancel, True
        handle.moved = True
        self._queue.add(handle)
        loop.call_soon(self._dispatch)

    def close(self, error: EasyMLNBError) -> None:
        """Refuse further calls, and end the queued ones, with ``error``."""
        self._closed = error
        self.fail_queued(error)

    @property
    def closed(self) -> bool:
        return self._closed is not None

    async def wait_drained(self) -> None:
        """Wait until no call is running or queued, or no worker is left to run one."""
        while self.workers and (self._queue or self._running):
            self._changed.clear()
            await self._changed.wait()

    def _admit(
        self, service: str, spec: ServiceSpec, body: Body, chain: Chain
    ) -> WorkerSlot | None:
        """Return the slot for a new call, or ``None`` to queue it; raises ``Busy``."""
        if spec.batch is None and not self._queue:
            prefetch = isinstance(body, bytes) and not chain
            slot = self._scheduler.find_slot(service, spec, prefetch=prefetch)
            if slot is not None:
                return slot
        queued = self._queue.count(service)
        limit = self._limit if spec.batch is None else self._limit + spec.batch.max_size
        if queued >= limit:
            raise Busy(queued, self._expected_wait(service, spec, queued))
        return None

    def _enqueue(self, handle: CallHandle, loop: asyncio.AbstractEventLoop) -> None:
        self._queue.add(handle)
        if self._on_starved is not None and not self.workers:
            self._on_starved()
        batch = handle.spec.batch
        if batch is None:
            self._dispatch()
            return
        # Calls that arrive in the same iteration of the event loop share a batch.
        loop.call_soon(self._dispatch)
        wait = batch.max_wait or self._durations[handle.call.service].unnoticed_wait()
        if wait:
            handle.batch_ready = False
            loop.call_later(wait, self._end_batch_wait, handle)

    def _end_batch_wait(self, handle: CallHandle) -> None:
        handle.batch_ready = True
        self._dispatch()

    def _expire(self, handle: CallHandle) -> None:
        seconds = handle.timeout or handle.call.seconds
        error: EasyMLNBError = DeadlineExceeded(seconds)
        if not handle.started and not self.workers:
            shown = units.format_seconds(seconds)
            error = NotReady(
                f"The service was not ready within the call's timeout of {shown}. Try again, or "
                "set a longer timeout."
            )
        self.cancel(handle, error)

    def _check_later(self, worker: WorkerLink, handle: CallHandle) -> None:
        asyncio.get_running_loop().call_later(GRACE, self._check_stopped, worker, handle)

    def _check_stopped(self, worker: WorkerLink, handle: CallHandle) -> None:
        """End the worker, or release its slot, if it still runs a canceled call."""
        run = handle.run
        if worker.lost or not worker.runs(handle.call.id) or run is None:
            return
        if handle.prefetched:  # not started: another call holds the worker up
            self._check_later(worker, handle)
            return
        if not all(other.answered.done() for other in run.calls):
            return  # the run continues for the other calls of its batch
        if self._on_stuck is not None:
            self._on_stuck(worker)
            return
        log.warning(
            "A call of %r did not stop; its function continues in the kernel, next to other calls.",
            run.service,
        )
        for other in list(run.calls):
            worker.give_up(other.call.id)

    def _dispatch(self) -> None:
        scheduler = self._scheduler
        scheduler.restart()
        while self._queue and (calls := self._queue.pop(scheduler.calls_to_send)):
            assert scheduler.slot is not None
            self._start(calls, scheduler.slot)
            scheduler.restart()
        self._slots.recall()

    def _start(self, calls: list[CallHandle], slot: WorkerSlot) -> None:
        service = calls[0].call.service
        run = Execution(calls, short=self._scheduler.is_short(service, len(calls)))
        run.release = slot.remove
        slot.add(run)
        self._scheduler.run_started(service)
        self._send(run, slot.link)

    def _send(self, run: Execution, worker: WorkerLink) -> None:
        now = time.monotonic()
        batch = run.calls[0].call.id if run.size > 1 else 0
        for handle in run.calls:
            handle.started = now
            handle.run = run
            handle.call.batch = batch
            self._running[handle.call.id] = worker
        for handle in list(run.calls):  # a lost worker ends each call at once
            worker.start(handle, self._on_ended)

    def _on_ended(self, handle: CallHandle, seconds: float | None) -> None:
        """Release a call's slot. A call that never started (``None``) is queued again."""
        worker = self._running.pop(handle.call.id)
        run = handle.run
        assert run is not None
        run.calls.remove(handle)
        if not run.calls:
            if seconds:
                durations = self._durations[run.service]
                durations.add(run.size, seconds, complete=handle.ended_by_worker)
            self._scheduler.run_ended(run)
        if worker.lost:
            self.leave(worker)
        if seconds is None and not handle.answered.done():
            self._requeue(handle)
        self._dispatch()
        self._changed.set()

    def _requeue(self, handle: CallHandle) -> None:
        if self._closed is not None:
            handle.fail(self._closed)
            return
        handle.started, handle.run, handle.prefetched = 0.0, None, False
        self._queue.add(handle, front=True)

    def _expected_wait(self, service: str, spec: ServiceSpec, calls: int) -> float:
        """Return the seconds until ``calls`` calls of a service have run."""
        size = spec.batch.max_size if spec.batch is not None else 1
        own = Backlog(-(-calls // size), self._durations[service].seconds(min(calls, size)))
        others = (
            Backlog(self._queue.count(name), self._durations[name].seconds(1))
            for name in self._queue.services() - {service}
        )
        return expected_wait(own, others, self._slots.capacity(spec))
