"""A call on its way: request, waiting caller, and result."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

import msgspec

from easymlnb.contract.errors import EasyMLNBError, from_code
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Call, Failure, Item, Progress, Result
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.uploads.spool import SpooledFile

Listener = Callable[[Progress | Item, bytes], None]

Chain = tuple[tuple[str, object], ...]
"""Calls that wait for one another, the outermost first: the service, and the link that runs it."""

OWNER = "user"
"""Whose calls are that come with the server's own token: it knows one person only."""

PLAIN = ServiceSpec(name="", title="", input={}, output={})
"""A service that asks for nothing special."""


class CallResult(msgspec.Struct, frozen=True):
    """The one end of a call: a result with its bytes or their file, or an error."""

    result: Result | None = None
    body: bytes | SpooledFile = b""
    error: EasyMLNBError | None = None
    failure: Failure | None = None

    @classmethod
    def of(
        cls, message: Result | Failure, body: bytes | SpooledFile, request_id: str
    ) -> "CallResult":
        if isinstance(message, Result):
            return cls(result=message, body=body)
        error = from_code(message.code, message.message, message.details, request_id)
        return cls(error=error, failure=message)


class Execution:
    """Calls that are sent as one; mostly a single one.

    ``calls`` are those not answered yet, ``size`` how many there were. ``short`` says that the run
    should take so little time that calls may wait behind it on its worker, ``beside`` that it takes
    a place beside its worker's main thread; ``leave`` gives that place to others.
    """

    __slots__ = ("beside", "calls", "leave", "service", "short", "size")

    def __init__(self, calls: "list[CallHandle]", *, short: bool = False) -> None:
        spec = calls[0].spec
        self.calls = calls
        self.size = len(calls)
        self.short = short
        self.service = calls[0].call.service
        self.beside = spec.concurrency > 1
        self.leave: Callable[[Execution], None] | None = None


class CallHandle:
    """One accepted call. It is answered once; what comes later goes to ``late``, if anybody cares.

    ``spec`` is what it calls, ``patient`` says that it lets others go first, ``ripe`` that it
    waits for no more calls to go along. ``run`` is what it was sent in, ``held`` that it was sent
    ahead: its worker begins it when it has answered all that it was sent before. ``owner`` is
    whose it is, who alone may stop it by ``stop``. ``chain`` is what waits for it. ``then`` is
    called with the answer at once, where ``answered`` would tell a turn of the loop later; it
    must not raise. ``limit`` is its deadline in seconds from when it came in, 0 where only the rest
    of it is known. ``once`` says that it must not run again, ``given`` that its caller has part of
    a stream.
    """

    __slots__ = (
        "answered", "body", "call", "canceller", "chain", "deadline", "given", "held", "late",
        "limit", "listener", "once", "owner", "patient", "ripe", "run", "spec", "started",
        "then", "timer",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        body: Body,
        loop: asyncio.AbstractEventLoop,
        listener: Listener | None = None,
        spec: ServiceSpec = PLAIN,
        patient: bool = False,
    ) -> None:
        self.call = call
        self.body = body
        self.listener = listener
        self.spec = spec
        self.patient = patient
        self.answered: asyncio.Future[CallResult] = loop.create_future()
        self.deadline = time.monotonic() + call.seconds
        self.timer: asyncio.TimerHandle | None = None
        self.started = 0.0
        self.ripe = spec.batch is None or not spec.batch.max_wait
        self.run: Execution | None = None
        self.held = False
        self.once = False
        self.given = False
        self.owner = OWNER
        self.limit = 0.0
        self.chain: Chain = ()
        self.canceller: Callable[[CallHandle, EasyMLNBError], None] | None = None
        self.late: Callable[[Result | Failure], None] | None = None
        self.then: Callable[[CallResult], None] | None = None

    @property
    def was_let_end(self) -> bool:
        """Say whether its answer is its worker's, not an error of ours that ended it before."""
        if not self.answered.done():
            return False
        answer = self.answered.result()
        return answer.result is not None or answer.failure is not None

    @property
    def starts_batch(self) -> bool:
        """Return whether it was sent as the first call of a batch, which may be its only one."""
        if self.spec.batch is None or self.run is None:
            return False
        return self.call.batch in (0, self.call.id)

    @property
    def repeats(self) -> bool:
        """Say whether it may run again, because its worker was lost with it."""
        return self.spec.resources.idempotent and not (self.once or self.given)

    def stop(self, error: EasyMLNBError) -> None:
        """End the call for its caller, and ask whoever runs it to stop."""
        if self.canceller is not None:
            self.canceller(self, error)

    def answer(self, answer: CallResult, aside: "list[Callable[[], None]] | None" = None) -> bool:
        """Settle the call; ``False`` if it was settled before.

        ``aside`` takes what ``then`` is to be told, for one who tells it soon.
        """
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.answered.done():
            return False
        self.answered.set_result(answer)
        self.listener = None
        self.body = b""
        if self.then is not None:
            if aside is None:
                self.then(answer)
            else:
                aside.append(partial(self.then, answer))
        return True

    def fail(self, error: EasyMLNBError) -> bool:
        """Settle the call with an error of ours."""
        return self.answer(CallResult(error=error))
