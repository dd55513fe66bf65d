"""The calls of one version in line, and the workers that answer them."""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, count
from random import SystemRandom

import msgspec

from easymlnb.contract.errors import Busy, DeadlineExceeded, EasyMLNBError, NotReady
from easymlnb.contract.frames import Call
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.engine.batches import gather
from easymlnb_server.engine.bodies import Body
from easymlnb_server.engine.crew import LATE, Crew, Member
from easymlnb_server.engine.estimate import Fit, Load, wait
from easymlnb_server.engine.lines import Lines
from easymlnb_server.engine.link import WorkerLink
from easymlnb_server.engine.pending import PLAIN, Listener, Pending, Run

GRACE = 5.0
"""Seconds a worker has to give up a cancelled call before ``overdue`` is told."""

# A kernel that dials again may still answer a call of its former link; it must match none here.
_ids = count(SystemRandom().getrandbits(48))

log = logging.getLogger("easymlnb.pool")


class Pool:
    """Calls in, answers out: a free worker takes a call at once, else it waits in line.

    ``limit`` is the number of calls of one service that may wait, a batch more for a batched one;
    one more is refused with ``Busy``.
    ``overdue`` is called with a worker that did not let go of a cancelled call within ``GRACE``,
    to end that worker. Without it (an author's kernel is not ours to end) the call is given up:
    its function runs on, its place goes to the next call.
    ``absence`` is what a call waits for while there are no workers, in a word; ``starved`` is
    called when one gets in line then.
    """

    def __init__(
        self,
        limit: int,
        overdue: Callable[[WorkerLink], None] | None = None,
        starved: Callable[[], None] | None = None,
    ) -> None:
        self.absence = "starting"
        self._limit = limit
        self._overdue = overdue
        self._starved = starved
        self._lines = Lines()
        self._crew = Crew()
        self._out: dict[int, WorkerLink] = {}
        self._runs: Counter[str] = Counter()
        self._fits: defaultdict[str, Fit] = defaultdict(Fit)
        self._watched: set[Member] = set()
        self._closed: EasyMLNBError | None = None
        self._changed = asyncio.Event()

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
    ) -> Pending:
        """Accept a call; raises ``Busy``. With ``worker`` that one runs it now (a warm-up).

        ``spec`` is the service it calls; ``patient`` lets interactive calls go first.
        """
        if self._closed is not None:
            raise self._closed
        member = None
        if worker is None:
            if spec.batch is None and not self._lines:
                member = self._place(call.service, spec)
            if member is None:
                self._refuse_if_full(call.service, spec)
        loop = asyncio.get_running_loop()
        call = msgspec.structs.replace(call, id=next(_ids))
        pending = Pending(call, body, loop, listener, spec, patient)
        pending.canceller = self.cancel
        pending.timer = loop.call_later(call.seconds, self._expire, pending)
        if worker is not None:
            self._send(Run([pending]), worker)
        elif member is not None:
            self._start([pending], member)
        else:
            self._line_up(pending, loop)
        return pending

    def place(self, pending: Pending) -> tuple[int, float] | None:
        """Return a call's place in its line, from 1, and about how long that takes; else ``None``.

        Seconds are 0 while nothing is known.
        """
        for position, other in enumerate(self._lines.of(pending.call.service), 1):
            if other is pending:
                return position, self._wait(pending.call.service, pending.spec, position)
        return None

    def cancel(self, pending: Pending, error: EasyMLNBError) -> None:
        """End a call for its caller now; whoever runs it is asked to stop."""
        if not pending.fail(error):
            return
        worker = self._out.get(pending.call.id)
        if worker is None:
            if self._lines.remove(pending):
                self._changed.set()
            return
        worker.cancel(pending.call.id)
        asyncio.get_running_loop().call_later(GRACE, self._check, worker, pending)

    def seen(self, pending: Pending, size: int) -> None:
        """The reader of a stream has taken so many more bytes of it."""
        worker = self._out.get(pending.call.id)
        if worker is not None:
            worker.seen(pending.call.id, size)

    def fail_waiting(self, error: EasyMLNBError) -> None:
        """Answer every call in line with this error."""
        for pending in self._lines.clear():
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
        while self.workers and (self._lines or self._out):
            self._changed.clear()
            await self._changed.wait()

    def _refuse_if_full(self, service: str, spec: ServiceSpec) -> None:
        waiting = self._lines.count(service)
        limit = self._limit if spec.batch is None else self._limit + spec.batch.max_size
        if waiting >= limit:
            raise Busy(waiting, self._wait(service, spec, waiting))

    def _line_up(self, pending: Pending, loop: asyncio.AbstractEventLoop) -> None:
        self._lines.add(pending)
        if self._starved is not None and not self.workers:
            self._starved()
        batch = pending.spec.batch
        if batch is None:
            self._dispatch()
            return
        # A moment later: what else comes in in this turn of the loop goes along.
        loop.call_soon(self._dispatch)
        if batch.max_wait:
            loop.call_later(batch.max_wait, self._ripen, pending)

    def _ripen(self, pending: Pending) -> None:
        pending.ripe = True
        self._dispatch()

    def _expire(self, pending: Pending) -> None:
        seconds = pending.call.seconds
        if pending.started or self.workers:
            self.cancel(pending, DeadlineExceeded(seconds))
        else:
            error = NotReady(f"The service did not get ready within the call's {seconds:g} s.")
            self.cancel(pending, error)

    def _check(self, worker: WorkerLink, pending: Pending) -> None:
        call, run = pending.call, pending.run
        if worker.lost or not worker.runs(call.id) or run is None:
            return
        if pending.held:  # not begun: what goes before it is not its fault
            asyncio.get_running_loop().call_later(GRACE, self._check, worker, pending)
            return
        if not all(other.answered.done() for other in run.calls):
            return  # its function runs on for others
        if self._overdue is not None:
            self._overdue(worker)
            return
        log.warning(
            "A call of %r does not stop; its function runs on in the kernel, and other calls "
            "run beside it.",
            call.service,
        )
        for other in list(run.calls):
            worker.give_up(other.call.id)

    def _place(self, service: str, spec: ServiceSpec) -> Member | None:
        """Return who takes a run of this service now."""
        if spec.max_concurrent and self._runs[service] >= spec.max_concurrent:
            return None
        return self._crew.find(service, spec, self._fits[service].seconds(1))

    def _dispatch(self) -> None:
        found: Member | None = None

        def choose(line: Iterator[Pending]) -> int:
            nonlocal found
            first = next(line)
            service, batch = first.call.service, first.spec.batch
            found = self._place(service, first.spec)
            if found is None or batch is None:
                return 0 if found is None else 1
            return gather(chain((first,), line), batch, self._fits[service], time.monotonic())

        while self._lines and (calls := self._lines.take(choose)):
            assert found is not None
            self._start(calls, found)

    def _start(self, calls: list[Pending], member: Member) -> None:
        run = Run(calls, self._fits[calls[0].call.service].seconds(len(calls)))
        run.leave = member.done
        member.put(run)
        self._send(run, member.link)
        if len(member.line) > member.slots and member not in self._watched:
            self._watched.add(member)
            asyncio.get_running_loop().call_later(LATE, self._look, member)

    def _send(self, run: Run, worker: WorkerLink) -> None:
        now = time.monotonic()
        batch = run.calls[0].call.id if run.size > 1 else 0
        self._runs[run.service] += 1
        for pending in run.calls:
            pending.started = now
            pending.run = run
            pending.call.batch = batch
            self._out[pending.call.id] = worker
        for pending in list(run.calls):  # by a lost worker each is ended at once
            worker.start(pending, pending.call, self._ended)

    def _look(self, member: Member) -> None:
        """Take back what waits on a worker behind a call that lasts longer than was thought."""
        self._watched.discard(member)
        held = [pending for run in member.held() for pending in run.calls]
        if not held or member.link.lost:
            return
        if time.monotonic() - member.since >= LATE:
            member.stuck = True
            for pending in held:
                member.link.recall(pending.call.id)
        else:
            self._watched.add(member)
            asyncio.get_running_loop().call_later(LATE, self._look, member)

    def _ended(self, pending: Pending, seconds: float | None) -> None:
        """A worker is done with a call; ``None``: it never began it, so it stands in line again."""
        worker = self._out.pop(pending.call.id)
        run = pending.run
        assert run is not None
        run.calls.remove(pending)
        if not run.calls:
            self._close_run(run, seconds)
        if worker.lost:
            self.leave(worker)
        if seconds is None and not pending.answered.done():
            self._again(pending)
        self._dispatch()
        self._changed.set()

    def _close_run(self, run: Run, seconds: float | None) -> None:
        self._runs[run.service] -= 1
        if seconds:
            self._fits[run.service].add(run.size, seconds)
        if run.leave is not None:
            run.leave(run)

    def _again(self, pending: Pending) -> None:
        if self._closed is not None:
            pending.fail(self._closed)
            return
        pending.started, pending.run, pending.held = 0.0, None, False
        self._lines.add(pending, first=True)

    def _wait(self, service: str, spec: ServiceSpec, calls: int) -> float:
        """Return the seconds until so many calls of this service had their turn."""
        size = spec.batch.max_size if spec.batch is not None else 1
        own = Load(-(-calls // size), self._fits[service].seconds(min(calls, size)))
        others = (
            Load(self._lines.count(other), self._fits[other].seconds(1))
            for other in self._lines.services() - {service}
        )
        return wait(own, others, self._crew.places(spec))
