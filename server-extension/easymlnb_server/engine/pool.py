"""The bounded queue of one version, and the workers that empty it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from random import SystemRandom

import msgspec

from easymlnb.contract.errors import Busy, DeadlineExceeded, EasyMLNBError, NotReady
from easymlnb.contract.frames import Call
from easymlnb.contract.spec import Batch
from easymlnb_server.engine.batches import take
from easymlnb_server.engine.link import WorkerLink
from easymlnb_server.engine.pending import Listener, Pending

GRACE = 5.0
"""Seconds a worker has to give up a cancelled call before ``overdue`` is told."""

SMOOTHING = 0.2
"""Weight of the newest call in the measured seconds per call."""

# A kernel that dials again may still answer a call of its former link; it must match none here.
_ids = count(SystemRandom().getrandbits(48))

log = logging.getLogger("easymlnb.pool")


class Pool:
    """Calls in, answers out: a free worker takes a call at once, else it waits in line.

    Calls of a batched service go together, all that wait: a worker that gets free takes them.
    ``limit`` is the number of calls that may wait; one more is refused with ``Busy``.
    ``overdue`` is called with a worker that did not let go of a cancelled call within ``GRACE``,
    to end that worker. Without it (an author's kernel is not ours to end) the call is given up:
    its function runs on, its place goes to the next call.
    ``starved`` is called when a call gets in line while there is no worker at all.
    """

    def __init__(
        self,
        limit: int,
        overdue: Callable[[WorkerLink], None] | None = None,
        starved: Callable[[], None] | None = None,
    ) -> None:
        self._limit = limit
        self._overdue = overdue
        self._starved = starved
        self._queue: deque[Pending] = deque()
        self._free: dict[WorkerLink, int] = {}
        self._out: dict[int, WorkerLink] = {}
        self._seconds = 0.0
        self._closed: EasyMLNBError | None = None
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> int:
        return len(self._out)

    @property
    def workers(self) -> tuple[WorkerLink, ...]:
        return tuple(worker for worker in self._free if not worker.lost)

    def join(self, worker: WorkerLink, slots: int) -> None:
        """Let a worker take calls, ``slots`` at once."""
        self._free[worker] = slots
        self._dispatch()

    def leave(self, worker: WorkerLink) -> None:
        """Give this worker no more calls; those out on it go on."""
        self._free.pop(worker, None)
        self._changed.set()

    def submit(
        self,
        call: Call,
        body: bytes,
        listener: Listener | None = None,
        worker: WorkerLink | None = None,
        batch: Batch | None = None,
    ) -> Pending:
        """Accept a call; raises ``Busy``. With ``worker`` that one runs it now (a warm-up).

        ``batch`` says how calls of its service are gathered, ``None`` that they are not.
        """
        if self._closed is not None:
            raise self._closed
        if worker is None and not self._queue and batch is None:
            worker = self._idle()
        if worker is None and len(self._queue) >= self._limit:
            raise Busy(len(self._queue), self._wait_estimate())
        loop = asyncio.get_running_loop()
        pending = Pending(msgspec.structs.replace(call, id=next(_ids)), body, loop, listener, batch)
        pending.timer = loop.call_later(call.seconds, self._expire, pending)
        if worker is not None:
            self._start([pending], worker)
            return pending
        self._queue.append(pending)
        if self._starved is not None and not self.workers:
            self._starved()
        if batch is None:
            self._dispatch()  # before it may stand a batch that waits for more
            return pending
        # A moment later: what else comes in in this turn of the loop goes along.
        loop.call_soon(self._dispatch)
        if batch.max_wait:
            loop.call_later(batch.max_wait, self._ripen, pending)
        return pending

    def cancel(self, pending: Pending, error: EasyMLNBError) -> None:
        """End a call for its caller now; whoever runs it is asked to stop."""
        if not pending.fail(error):
            return
        worker = self._out.get(pending.call.id)
        if worker is None:
            self._drop(pending)
            return
        worker.cancel(pending.call.id)
        asyncio.get_running_loop().call_later(GRACE, self._check, worker, pending)

    def fail_waiting(self, error: EasyMLNBError) -> None:
        """Answer every call in line with this error."""
        queue, self._queue = self._queue, deque()
        for pending in queue:
            pending.fail(error)
        self._changed.set()

    def close(self, error: EasyMLNBError) -> None:
        """Take no more calls: those in line and those to come get this error."""
        self._closed = error
        self.fail_waiting(error)

    @property
    def closed(self) -> bool:
        """Say whether it takes no more calls."""
        return self._closed is not None

    async def drained(self) -> None:
        """Wait until no call is out or in line, or nobody is left who could run one."""
        while self.workers and (self._queue or self._out):
            self._changed.clear()
            await self._changed.wait()

    def _drop(self, pending: Pending) -> None:
        # A deque removes in linear time, but over at most `limit` entries.
        if pending in self._queue:
            self._queue.remove(pending)
            self._changed.set()

    def _expire(self, pending: Pending) -> None:
        seconds = pending.call.seconds
        if pending.started or self.workers:
            self.cancel(pending, DeadlineExceeded(seconds))
        else:
            error = NotReady(f"The service did not get ready within the call's {seconds:g} s.")
            self.cancel(pending, error)

    def _check(self, worker: WorkerLink, pending: Pending) -> None:
        call, group = pending.call, pending.group
        if worker.lost or not worker.runs(call.id):
            return
        if not all(other.answered.done() for other in group):
            return  # its function runs on for others
        if self._overdue is not None:
            self._overdue(worker)
            return
        log.warning(
            "A call of %r does not stop; its function runs on in the kernel, and other calls "
            "run beside it.",
            call.service,
        )
        for other in list(group):
            worker.give_up(other.call.id)

    def _idle(self) -> WorkerLink | None:
        # One that was lost just now leaves a moment later.
        free = self._free.items()
        return next((worker for worker, slots in free if slots > 0 and not worker.lost), None)

    def _dispatch(self) -> None:
        while self._queue and (worker := self._idle()) is not None:
            group = take(self._queue)
            if not group:
                return
            self._start(group, worker)

    def _ripen(self, pending: Pending) -> None:
        pending.ripe = True
        self._dispatch()

    def _start(self, group: list[Pending], worker: WorkerLink) -> None:
        """Send calls to a worker, to be run as one; they take one slot."""
        now = time.monotonic()
        batch = group[0].call.id if len(group) > 1 else 0
        for pending in group:
            pending.started = now
            pending.group = group
            pending.call.batch = batch
            self._out[pending.call.id] = worker
        if worker in self._free:
            self._free[worker] -= 1
        for pending in list(group):  # by a lost worker each is ended at once
            worker.start(pending, pending.call, self._ended)

    def _ended(self, pending: Pending, seconds: float) -> None:
        worker = self._out.pop(pending.call.id)
        pending.group.remove(pending)
        if seconds:
            old = self._seconds or seconds
            self._seconds = old + SMOOTHING * (seconds - old)
        if worker.lost:
            self.leave(worker)
        elif worker in self._free and not pending.group:
            self._free[worker] += 1
        self._dispatch()
        self._changed.set()

    def _wait_estimate(self) -> float:
        slots = max(1, self.running)
        return max(1.0, self._seconds * len(self._queue) / slots)
