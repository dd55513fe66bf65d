"""A call on its way: what was asked, who waits, and what came of it."""

import asyncio
from collections.abc import Callable

import msgspec

from easymlnb.contract.errors import EasyMLNBError, from_code
from easymlnb.contract.frames import Call, Failure, Item, Progress, Result
from easymlnb.contract.spec import Batch

Listener = Callable[[Progress | Item, bytes], None]


class Answer(msgspec.Struct, frozen=True):
    """The one end of a call: a result with its bytes, or an error."""

    result: Result | None = None
    body: bytes = b""
    error: EasyMLNBError | None = None
    failure: Failure | None = None

    @classmethod
    def of(cls, message: Result | Failure, body: bytes, request_id: str) -> "Answer":
        if isinstance(message, Result):
            return cls(result=message, body=body)
        error = from_code(message.code, message.message, message.details, request_id)
        return cls(error=error, failure=message)


class Pending:
    """One accepted call. It is answered once; whatever comes later is dropped.

    ``batch`` is how its service gathers calls, ``ripe`` whether it waits for no more of them, and
    ``group`` those on their way that it was sent with, itself among them.
    """

    __slots__ = (
        "answered", "batch", "body", "call", "group", "listener", "ripe", "started", "timer",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        body: bytes,
        loop: asyncio.AbstractEventLoop,
        listener: Listener | None,
        batch: Batch | None = None,
    ) -> None:
        self.call = call
        self.body = body
        self.listener = listener
        self.answered: asyncio.Future[Answer] = loop.create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.started = 0.0
        self.batch = batch
        self.ripe = batch is None or not batch.max_wait
        self.group: list[Pending] = []

    def answer(self, answer: Answer) -> bool:
        """Settle the call; ``False`` if it was settled before."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.answered.done():
            return False
        self.answered.set_result(answer)
        self.listener = None
        self.body = b""
        return True

    def fail(self, error: EasyMLNBError) -> bool:
        """Settle the call with an error of ours."""
        return self.answer(Answer(error=error))
