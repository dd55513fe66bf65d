"""Queue the calls of one version and send them to its workers."""

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import count
from random import SystemRandom

import msgspec

from easymlnb.contract import units
from easymlnb.contract.errors import Busy, DeadlineExceeded, EasyMLNBError, NotReady
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import PLAIN, CallHandle, Chain, Execution, Listener
from easymlnb_server.dispatch.duration_model import DurationModels, NoWorkers
from easymlnb_server.dispatch.fair_queue import FairQueue
from easymlnb_server.dispatch.scheduler import Scheduler
from easymlnb_server.dispatch.stuck_calls import settle
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.dispatch.worker_slots import WorkerSlot, WorkerSlots

GRACE = 5.0
"""Seconds a worker has to give up a cancelled call before ``overdue`` is told."""

# A kernel that dials again may still answer a call of its former link; it must match none here.
_ids = count(SystemRandom().getrandbits(48))


class Dispatcher:
    """Calls in, answers out: a free worker takes a call at once, else it waits in line.

    ``limit`` is the number of calls of one service that may wait, a batch more for a batched one;
    one more is refused with ``Busy``.
    ``overdue`` is called with a worker that did not let go of a cancelled call within ``GRACE``,
    to end that worker. Without it (an author's kernel is not ours to end) the call is given up:
    its function runs on, its place goes to the next call.
    ``absence`` is what a call waits for while there are no workers; ``starved`` is
    called when one gets in line then.
    """

    def __init__(
        self,
        limit: int,
        overdue: Callable[[WorkerLink], None] | None = None,
        starved: Callable[[], None] | None = None,
    ) -> None:
        self.absence = NoWorkers()
        self._limit = limit
        self._overdue = overdue
        self._starved = starved
        self._lines = FairQueue()
        self._crew = WorkerSlots()
        self._out: dict[int, WorkerLink] = {}
        self._fits = DurationModels()
        self._choice = Scheduler(self._crew, self._fits)
        self._closed: EasyMLNBError | None = None
        self._changed = asyncio.Event()
        self._heir: Dispatcher | None = None

    @property
    def waiting(self) -> int:
        return len(self._lines)

    @property
    def running(self) -> int:
        return len(self._out)

    @property
    def workers(self) -> tuple[WorkerLink, ...]:
        return tuple(member.link for member in self._crew)

    def join(self, worker: WorkerLink, slots: int, ahead: int = 0) -> None:
        """Let a worker take calls, ``slots`` at once and so many more to wait there.

        Only a worker whose answers come in order and get here even if it dies may hold any.
        """
        self._crew.join(worker, slots, ahead)
        self._dispatch()

    def resize(self, worker: WorkerLink, slots: int) -> None:
        """Let a worker take another number of calls at once from now on."""
        member = self._crew.get(worker)
        if member is not None:
            member.slots = slots
            self._dispatch()

    def leave(self, worker: WorkerLink) -> None:
        """Give this worker no more calls; those out on it go on."""
        self._crew.leave(worker)
        self._changed.set()

    def submit(
        self,
        call: Call,
        body: Body,
        listener: Listener | None = None,
        *,
        spec: ServiceSpec = PLAIN,
        patient: bool = False,
        worker: WorkerLink | None = None,
        chain: Chain = (),
    ) -> CallHandle:
        """Accept a call; raises ``Busy``. With ``worker`` that one runs it now (a warm-up).

        ``spec`` is the service it calls; ``patient`` lets interactive calls go first. ``chain`` is
        what waits for it.
        """
        if self._closed is not None:
            raise self._closed
        member = None
        if worker is None:
            if spec.batch is None and not self._lines:
                prefetch = isinstance(body, bytes) and not chain
                member = self._choice.place(call.service, spec, prefetch=prefetch)
            if member is None:
                self._refuse_if_full(call.service, spec)
        loop = asyncio.get_running_loop()
        call = msgspec.structs.replace(call, id=next(_ids))
        pending = CallHandle(call, body, loop, listener, spec, patient)
        pending.canceller, pending.once, pending.chain = self.cancel, worker is not None, chain
        pending.timer = loop.call_later(call.seconds, self._expire, pending)
        if worker is not None:
            self._choice.began(call.service)
            self._send(Execution([pending]), worker)
        elif member is not None:
            self._start([pending], member)
        else:
            self._line_up(pending, loop)
        return pending

    def place(self, pending: CallHandle) -> tuple[int, float] | None:
        """Return a call's place in its line, from 1, and about how long that takes; else ``None``.

        Seconds are 0 while nothing is known.
        """
        for position, other in enumerate(self._lines.of(pending.call.service), 1):
            if other is pending:
                return position, self._wait(pending.call.service, pending.spec, position)
        return self._heir.place(pending) if self._heir is not None else None

    def cancel(self, pending: CallHandle, error: EasyMLNBError) -> None:
        """End a call for its caller now; whoever runs it is asked to stop."""
        if self._heir is not None and pending.canceller != self.cancel:
            self._heir.cancel(pending, error)
            return
        if not pending.fail(error):
            return
        worker = self._out.get(pending.call.id)
        if worker is None:
            if self._lines.remove(pending):
                self._changed.set()
            return
        worker.cancel(pending.call.id)
        asyncio.get_running_loop().call_later(GRACE, self._check, worker, pending)

    def seen(self, pending: CallHandle, size: int) -> None:
        """The reader of a stream has taken so many more bytes of it."""
        worker = self._out.get(pending.call.id)
        if worker is not None:
            worker.seen(pending.call.id, size)
        elif self._heir is not None:
            self._heir.seen(pending, size)

    def fail_waiting(self, error: EasyMLNBError) -> None:
        """Answer every call in line with this error."""
        for pending in self._lines.clear():
            pending.fail(error)
        self._changed.set()

    def hand_over(self, other: "Dispatcher", specs: Mapping[str, ServiceSpec]) -> None:
        """Let another pool answer the calls in line, in their order and within their time.

        ``specs`` are what it serves; calls of other services stay here.
        """
        self._heir = other
        for pending in self._lines.clear():
            spec = specs.get(pending.call.service)
            if spec is None:
                self._lines.add(pending)
            else:
                other.accept(pending, spec)
        self._changed.set()

    def accept(self, pending: CallHandle, spec: ServiceSpec) -> None:
        """Put a call of another pool at the end of the line."""
        loop = asyncio.get_running_loop()
        if pending.timer is not None:
            pending.timer.cancel()
        pending.timer = loop.call_later(
            max(0.0, pending.deadline - time.monotonic()), self._expire, pending
        )
        pending.spec, pending.canceller, pending.ripe = spec, self.cancel, True
        self._lines.add(pending)
        loop.call_soon(self._dispatch)

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
        while self.workers and (self._lines or self._out):
            self._changed.clear()
            await self._changed.wait()

    def _refuse_if_full(self, service: str, spec: ServiceSpec) -> None:
        waiting = self._lines.count(service)
        limit = self._limit if spec.batch is None else self._limit + spec.batch.max_size
        if waiting >= limit:
            raise Busy(waiting, self._wait(service, spec, waiting))

    def _line_up(self, pending: CallHandle, loop: asyncio.AbstractEventLoop) -> None:
        self._lines.add(pending)
        if self._starved is not None and not self.workers:
            self._starved()
        batch = pending.spec.batch
        if batch is None:
            self._dispatch()
            return
        # A moment later: what else comes in in this turn of the loop goes along.
        loop.call_soon(self._dispatch)
        wait = batch.max_wait or self._fits.of(pending.call.service).moment()
        if wait:
            pending.ripe = False
            loop.call_later(wait, self._ripen, pending)

    def _ripen(self, pending: CallHandle) -> None:
        pending.ripe = True
        self._dispatch()

    def _expire(self, pending: CallHandle) -> None:
        seconds = pending.limit or pending.call.seconds
        error: EasyMLNBError = DeadlineExceeded(seconds)
        if not pending.started and not self.workers:
            shown = units.format_seconds(seconds)
            error = NotReady(
                f"The service was not ready within the call's timeout of {shown}. Try again, or "
                "set a longer timeout."
            )
        self.cancel(pending, error)

    def _check(self, worker: WorkerLink, pending: CallHandle) -> None:
        run = pending.run
        if worker.lost or not worker.runs(pending.call.id) or run is None:
            return
        if pending.held:  # not begun: what goes before it is not its fault
            asyncio.get_running_loop().call_later(GRACE, self._check, worker, pending)
        else:
            settle(run, worker, self._overdue)

    def _dispatch(self) -> None:
        choice = self._choice
        choice.renew()
        while self._lines and (calls := self._lines.take(choice.look)):
            assert choice.found is not None
            self._start(calls, choice.found)
            choice.renew()
        self._crew.recall()

    def _start(self, calls: list[CallHandle], member: WorkerSlot) -> None:
        service = calls[0].call.service
        run = Execution(calls, short=self._choice.is_short(service, len(calls)))
        run.leave = member.done
        member.put(run)
        self._choice.began(service)
        self._send(run, member.link)

    def _send(self, run: Execution, worker: WorkerLink) -> None:
        now = time.monotonic()
        batch = run.calls[0].call.id if run.size > 1 else 0
        for pending in run.calls:
            pending.started = now
            pending.run = run
            pending.call.batch = batch
            self._out[pending.call.id] = worker
        for pending in list(run.calls):  # by a lost worker each is ended at once
            worker.start(pending, pending.call, self._ended)

    def _ended(self, pending: CallHandle, seconds: float | None) -> None:
        """A worker is done with a call; ``None``: it never began it, so it stands in line again."""
        worker = self._out.pop(pending.call.id)
        run = pending.run
        assert run is not None
        run.calls.remove(pending)
        if not run.calls:
            if seconds:
                self._fits.of(run.service).add(run.size, seconds, whole=pending.was_let_end)
            self._choice.ended(run)
        if worker.lost:
            self.leave(worker)
        if seconds is None and not pending.answered.done():
            self._again(pending)
        self._dispatch()
        self._changed.set()

    def _again(self, pending: CallHandle) -> None:
        if self._closed is not None:
            pending.fail(self._closed)
            return
        pending.started, pending.run, pending.held = 0.0, None, False
        self._lines.add(pending, first=True)

    def _wait(self, service: str, spec: ServiceSpec, calls: int) -> float:
        others = {name: self._lines.count(name) for name in self._lines.services() - {service}}
        return self._fits.wait(service, spec, calls, others, self._crew.places(spec))
