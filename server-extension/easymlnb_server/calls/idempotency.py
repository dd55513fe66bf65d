"""Calls that may be repeated: one idempotency key, one run, one result.

The cache is in memory, bounded, and lost with the server.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from tornado.httputil import HTTPHeaders

from easymlnb.contract.errors import (
    CallCancelled,
    CallNotFound,
    EasyMLNBError,
    IdempotencyKeyConflict,
    InternalError,
    LimitExceeded,
)
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls.shared_stream import SharedStream, StreamReader
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallResult, Listener
from easymlnb_server.services.models import Target

MAX_AGE = 600.0
"""Seconds for which a result can be replayed."""

MAX_RESULTS = 1000
MAX_BYTES = 64 * 2**20
"""Limits of all cached results together; the oldest are removed first."""

MAX_RESULT_BYTES = 2**20
"""Bytes of the largest result that is cached."""

RESUME = "X-Easymlnb-Resume"
"""The header of a request that only waits for the call with its idempotency key."""

PAGE_PATIENCE = 60.0
"""Seconds that the call of a page continues without the page."""

Key = tuple[str, ...]


def _do_nothing(error: EasyMLNBError) -> None:
    """There is nothing to stop."""


@dataclass(slots=True, eq=False)
class IdempotentCall:
    """One call under a key.

    ``stop`` ends it; ``callers`` is the number of requests that wait; ``target`` is the version
    that accepted it. Without callers it continues for ``patience`` seconds. ``followers`` get its
    events: progress, of which ``progress`` is the latest, and the items of a ``stream``.
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
    followers: list[Listener] = field(default_factory=list)
    stream: SharedStream | None = None

    def leave(self) -> None:
        """Count one request less; stop the call when none waits for it, maybe after a while."""
        self.callers -= 1
        if self.callers or self.result.done():
            return
        if self.patience:
            self.result.get_loop().call_later(self.patience, self._stop_if_alone)
        else:
            self._stop_if_alone()

    def report(self, message: Progress | Item, body: bytes) -> None:
        """Pass an event to the requests that wait, and keep it for later ones."""
        if isinstance(message, Progress):
            self.progress = message
        elif self.stream is not None:
            self.stream.add(body)
        for follower in tuple(self.followers):
            follower(message, body)

    def share(self, acknowledge: Callable[[int], None]) -> StreamReader:
        """Keep the items of a stream for other requests; return the place of the first one."""
        self.stream = SharedStream(acknowledge)
        return self.stream.attach()

    @contextmanager
    def following(self, listener: Listener) -> Iterator[StreamReader | None]:
        """Pass all events to a request that waits; yield its place in the stream, if it is one."""
        if self.progress is not None:
            listener(self.progress, b"")
        reader = self.stream.attach() if self.stream is not None else None
        for item in self.stream.items if self.stream is not None else ():
            listener(Item(id=0), item)
        self.followers.append(listener)
        try:
            yield reader
        finally:
            self.followers.remove(listener)

    @property
    def size(self) -> int:
        """Bytes of the result and the items that are kept."""
        items = self.stream.size if self.stream is not None else 0
        return len(self.result.result().body) + items

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
        self._calls: dict[Key, IdempotentCall] = {}
        self._ended: OrderedDict[Key, IdempotentCall] = OrderedDict()
        """Those of them that have ended, the first to end first."""
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
        # A page that lost its connection must get the result, whatever its size and type.
        if not _is_cacheable(result) and not (call.patience and not call.callers):
            del self._calls[call.key]
            return
        self._ended[call.key] = call
        self._bytes += call.size
        while len(self._ended) > MAX_RESULTS or self._bytes > MAX_BYTES:
            self._remove_oldest()

    def _remove_old(self) -> None:
        oldest = self._clock() - MAX_AGE
        while self._ended and next(iter(self._ended.values())).ended < oldest:
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        key, call = self._ended.popitem(last=False)
        del self._calls[key]
        self._bytes -= call.size


SAME = ("Content-Type", "Accept", "X-Easymlnb-Uploads")
"""Headers that tell a request from others, besides its body."""


async def fingerprint(headers: HTTPHeaders, body: Body) -> bytes:
    """Return what tells a request from others; the priority and deadline do not."""
    named = "\n".join(headers.get(name, "") for name in SAME)
    digest = hashlib.sha256(named.encode())
    if isinstance(body, bytes):
        digest.update(body)
    elif body.file is None:
        digest.update(body.data)
    else:
        await asyncio.to_thread(body.file.read_into, digest.update)
    return digest.digest()


def _is_cacheable(result: CallResult) -> bool:
    if result.error is not None:
        return result.error.status < 500 and not isinstance(result.error, LimitExceeded)
    return isinstance(result.body, bytes) and len(result.body) <= MAX_RESULT_BYTES
