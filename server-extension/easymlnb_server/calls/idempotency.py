"""Calls that may be repeated: one idempotency key, one run, one result.

The cache is in memory, bounded, and lost with the server.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from easymlnb.contract.errors import (
    CallCancelled,
    CallNotFound,
    EasyMLNBError,
    IdempotencyKeyConflict,
    InternalError,
    LimitExceeded,
)
from easymlnb.contract.worker_protocol import Progress
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.services.models import Target

MAX_AGE = 600.0
"""Seconds for which a result can be replayed."""

MAX_RESULTS = 1000
MAX_BYTES = 64 * 2**20
"""Limits of all cached results together; the oldest are removed first."""

MAX_RESULT_BYTES = 2**20
"""Bytes of the largest result that is cached."""

Key = tuple[str, ...]


def _do_nothing(error: EasyMLNBError) -> None:
    """There is nothing to stop."""


@dataclass(slots=True, eq=False)
class IdempotentCall:
    """One call under a key.

    ``stop`` ends it; ``callers`` is the number of requests that wait; ``target`` is the version
    that accepted it. Without callers it continues for ``patience`` seconds. ``followers`` get its
    progress, of which ``progress`` is the latest.
    """

    key: Key
    fingerprint: bytes
    result: "asyncio.Future[CallResult]"
    stop: Callable[[EasyMLNBError], None] = _do_nothing
    callers: int = 1
    ended: float = 0.0
    target: Target | None = None
    patience: float = 0.0
    progress: Progress | None = None
    followers: list[Callable[[Progress, bytes], None]] = field(default_factory=list)

    def leave(self) -> None:
        """Count one request less; stop the call when none waits for it, maybe after a while."""
        self.callers -= 1
        if self.callers or self.result.done():
            return
        if self.patience:
            self.result.get_loop().call_later(self.patience, self._stop_if_alone)
        else:
            self._stop_if_alone()

    def report(self, progress: Progress) -> None:
        """Pass progress to the requests that wait."""
        self.progress = progress
        for follower in tuple(self.followers):
            follower(progress, b"")

    def _stop_if_alone(self) -> None:
        if not self.callers and not self.result.done():
            self.stop(CallCancelled("The caller disconnected."))


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits for a running call; its ``owner`` may cancel it by its id."""

    request_id: str
    owner: str
    service: str
    result: "asyncio.Future[CallResult]"

    def stop(self, error: EasyMLNBError) -> None:
        """End this request with an error; the call continues for the others."""
        if not self.result.done():
            self.result.set_result(CallResult(error=error))


class IdempotencyCache:
    """The calls that came with a key: those that run, and those whose results are cached."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._calls: OrderedDict[Key, IdempotentCall] = OrderedDict()
        self._bytes = 0
        self._waiters: set[Waiter] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def join(self, key: Key, fingerprint: bytes) -> tuple[IdempotentCall, bool]:
        """Return the call under this key, and whether it is new, and so must be ``run``.

        Raises ``IdempotencyKeyConflict`` if the key came with another request before.
        """
        self._remove_old()
        call = self._calls.get(key)
        if call is None:
            result = asyncio.get_running_loop().create_future()
            call = self._calls[key] = IdempotentCall(key, fingerprint, result)
            return call, True
        if call.fingerprint != fingerprint:
            raise IdempotencyKeyConflict
        call.callers += 1
        return call, False

    def resume(self, key: Key) -> IdempotentCall:
        """Return the call under this key, for a caller who lost its connection.

        Raises ``CallNotFound`` if there is none, or its result is no longer there.
        """
        self._remove_old()
        call = self._calls.get(key)
        if call is None:
            raise CallNotFound("The call has ended, and its result is no longer there.")
        call.callers += 1
        return call

    @contextmanager
    def waiting(
        self, call: IdempotentCall, request_id: str, owner: str, service: str
    ) -> Iterator[Waiter]:
        """Wait for a call that another request runs."""
        waiter = Waiter(request_id, owner, service, asyncio.get_running_loop().create_future())

        def on_result(result: "asyncio.Future[CallResult]") -> None:
            if not waiter.result.done():
                waiter.result.set_result(result.result())

        call.result.add_done_callback(on_result)
        self._waiters.add(waiter)
        try:
            yield waiter
        finally:
            self._waiters.discard(waiter)
            call.result.remove_done_callback(on_result)

    def find_waiters(
        self, request_id: str, owner: str | None, service: str | None = None
    ) -> list[Waiter]:
        """Return the waiting requests with this id; ``None`` as owner or service matches all."""
        return [
            waiter
            for waiter in self._waiters
            if waiter.request_id == request_id
            and owner in (None, waiter.owner)
            and service in (None, waiter.service)
        ]

    async def run(self, call: IdempotentCall, work: Awaitable[CallResult]) -> CallResult:
        """Do the work, and give its result to all requests that wait; raises what it raises.

        The result is cached unless a retry may help, or it is too large.
        """
        result = CallResult(error=InternalError())
        try:
            result = await work
        except EasyMLNBError as error:
            result = CallResult(error=error)
            raise
        finally:
            self._end(call, result)
        return result

    def _end(self, call: IdempotentCall, result: CallResult) -> None:
        call.result.set_result(result)
        call.stop = _do_nothing  # it refers to the first request's handler and its large files
        call.ended = self._clock()
        # Whoever lost the connection must get the result, however large, and whatever it is.
        if not _is_cacheable(result) and not (call.patience and not call.callers):
            del self._calls[call.key]
            return
        self._calls.move_to_end(call.key)  # ordered by their end
        self._bytes += len(result.body)
        ended = [key for key, other in self._calls.items() if other.result.done()]
        while len(ended) > MAX_RESULTS or self._bytes > MAX_BYTES:
            self._remove(ended.pop(0))

    def _remove_old(self) -> None:
        oldest = self._clock() - MAX_AGE
        ended = [call for call in self._calls.values() if call.result.done()]
        for call in ended:
            if call.ended < oldest:
                self._remove(call.key)

    def _remove(self, key: Key) -> None:
        self._bytes -= len(self._calls.pop(key).result.result().body)


def _is_cacheable(result: CallResult) -> bool:
    if result.error is not None:
        return result.error.status < 500 and not isinstance(result.error, LimitExceeded)
    return isinstance(result.body, bytes) and len(result.body) <= MAX_RESULT_BYTES
