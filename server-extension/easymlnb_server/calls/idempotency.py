"""Calls that may be repeated: one key, one run, one answer.

Kept in memory, bounded, and gone with the server: what must outlive it is a job.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from easymlnb.contract.errors import (
    CallCancelled,
    EasyMLNBError,
    IdempotencyKeyConflict,
    InternalError,
)
from easymlnb_server.dispatch.call import CallResult

KEPT_SECONDS = 600.0
"""How long an answer is there to be repeated, from its end."""

KEPT_ANSWERS = 1000
KEPT_BYTES = 64 * 2**20
"""What all kept answers may take together; the oldest go first."""

LARGEST = 2**20
"""Bytes of the largest answer that is kept."""

Key = tuple[str, ...]


def _ended(error: EasyMLNBError) -> None:
    """There is nothing to stop."""


@dataclass(slots=True, eq=False)
class IdempotentCall:
    """One call under a key. ``stop`` ends it; ``callers`` is how many wait for it."""

    key: Key
    fingerprint: bytes
    answer: "asyncio.Future[CallResult]"
    stop: Callable[[EasyMLNBError], None] = _ended
    callers: int = 1
    ended: float = 0.0

    def leave(self) -> None:
        """One caller waits no longer; when none does, the call is stopped."""
        self.callers -= 1
        if self.callers == 0 and not self.answer.done():
            self.stop(CallCancelled("The caller disconnected."))


@dataclass(slots=True, eq=False)
class Waiter:
    """Another request's wait for a call that runs already: ``owner`` may end it by its id."""

    request_id: str
    owner: str
    service: str
    answer: "asyncio.Future[CallResult]"

    def stop(self, error: EasyMLNBError) -> None:
        """Wait no longer; the call goes on for the others."""
        if not self.answer.done():
            self.answer.set_result(CallResult(error=error))


class IdempotencyCache:
    """The calls that came with a key: those under way, and those whose answers are kept."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._calls: OrderedDict[Key, IdempotentCall] = OrderedDict()
        self._bytes = 0
        self._waits: set[Waiter] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def join(self, key: Key, fingerprint: bytes) -> tuple[IdempotentCall, bool]:
        """Return the call under this key, and whether it is a new one, which then must be ``run``.

        Raises ``IdempotencyKeyConflict`` when that key came with another request.
        """
        self._forget_old()
        found = self._calls.get(key)
        if found is None:
            answer = asyncio.get_running_loop().create_future()
            found = self._calls[key] = IdempotentCall(key, fingerprint, answer)
            return found, True
        if found.fingerprint != fingerprint:
            raise IdempotencyKeyConflict
        found.callers += 1
        return found, False

    @contextmanager
    def waiting(
        self, once: IdempotentCall, request_id: str, owner: str, service: str
    ) -> Iterator[Waiter]:
        """Wait for a call that another request runs; whoever ends the wait early has left it."""
        wait = Waiter(request_id, owner, service, asyncio.get_running_loop().create_future())

        def tell(answer: "asyncio.Future[CallResult]") -> None:
            if not wait.answer.done():
                wait.answer.set_result(answer.result())

        once.answer.add_done_callback(tell)
        self._waits.add(wait)
        try:
            yield wait
        finally:
            self._waits.discard(wait)
            once.answer.remove_done_callback(tell)

    def waits(self, request_id: str, owner: str | None, service: str | None = None) -> list[Waiter]:
        """Return the waits of this request id that are this owner's, or anybody's.

        ``service``: only waits for calls of this service.
        """
        return [
            wait
            for wait in self._waits
            if wait.request_id == request_id
            and owner in (None, wait.owner)
            and service in (None, wait.service)
        ]

    async def run(self, once: IdempotentCall, work: Awaitable[CallResult]) -> CallResult:
        """Do the work, and give its answer to all who wait; raises what the work raises.

        An answer is kept unless trying again may help, or it is too large.
        """
        answer = CallResult(error=InternalError())
        try:
            answer = await work
        except EasyMLNBError as error:
            answer = CallResult(error=error)
            raise
        finally:
            self._end(once, answer)
        return answer

    def _end(self, once: IdempotentCall, answer: CallResult) -> None:
        once.answer.set_result(answer)
        once.stop = _ended  # it leads to the first caller's handler, which would keep large files
        once.ended = self._clock()
        if not _lasting(answer):
            del self._calls[once.key]
            return
        self._calls.move_to_end(once.key)  # in the order in which they ended
        self._bytes += len(answer.body)
        ended = [key for key, found in self._calls.items() if found.answer.done()]
        while len(ended) > KEPT_ANSWERS or self._bytes > KEPT_BYTES:
            self._forget(ended.pop(0))

    def _forget_old(self) -> None:
        before = self._clock() - KEPT_SECONDS
        done = (one for one in self._calls.values() if one.answer.done())
        for once in [once for once in done if once.ended < before]:
            self._forget(once.key)

    def _forget(self, key: Key) -> None:
        found = self._calls.pop(key)
        self._bytes -= len(found.answer.result().body)


def _lasting(answer: CallResult) -> bool:
    if answer.error is not None:
        return answer.error.status < 500
    return isinstance(answer.body, bytes) and len(answer.body) <= LARGEST
