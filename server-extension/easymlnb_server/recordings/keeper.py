"""Take calls as they end: into a queue for the recorder, and into a memory for flags.

A call that ends pays for a few comparisons. Encoding and writing happen in the background, and
what finds no room in the queue is dropped and counted.
"""

import asyncio
import random
import time
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from easymlnb.contract.spec import VIEW, ServiceSpec
from easymlnb_server.calls.models import CallRequest, StreamedItems
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.recordings.models import MAX_CALL, StoredCall
from easymlnb_server.recordings.rules import caller_key, may_flag, may_sample
from easymlnb_server.services.models import Target
from easymlnb_server.uploads.spool import SpooledFile

MAX_QUEUED, MAX_QUEUED_BYTES = 256, 64 * 2**20
"""Calls, and bytes of calls, that wait to be written."""

MAX_RECENT, MAX_RECENT_BYTES = 200, 64 * 2**20
"""Calls, and bytes of calls, that can still be flagged."""

JSON = "application/json"

RECENT_SECONDS = 900.0
"""Seconds after which a call can no longer be flagged by its id."""


class Held:
    """Content that outlives its call: bytes, or a file that is opened once more."""

    __slots__ = ("_data", "_file", "size")

    def __init__(self, content: bytes | SpooledFile) -> None:
        self.size = len(content)
        self._file: BinaryIO | None = None
        self._data = b""
        if isinstance(content, bytes):
            self._data = content
        else:
            self._file = content.open()

    def read(self) -> bytes:
        """Return the content. It blocks."""
        if self._file is None:
            return self._data
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call that has ended, with what is needed to record it."""

    spec: ServiceSpec
    version: str
    request_id: str
    caller: str
    input: Held
    input_type: str
    uploads: tuple[tuple[str, Held], ...]
    result: Held
    result_type: str
    status: int
    code: str
    seconds: float
    models: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    time: float = field(default_factory=time.time)

    @property
    def size(self) -> int:
        return self.input.size + self.result.size + sum(held.size for _, held in self.uploads)

    def read(self) -> StoredCall:
        """Return the call's content. It blocks."""
        return StoredCall(
            id=self.id,
            input=self.input.read(),
            input_type=self.input_type,
            uploads=tuple((id, held.read()) for id, held in self.uploads),
            result=self.result.read(),
            result_type=self.result_type,
            models=self.models,
        )

    def close(self) -> None:
        """Close the files."""
        for held in (self.input, self.result, *(held for _, held in self.uploads)):
            held.close()


def hold(
    request: CallRequest, target: Target, result: CallResult, items: StreamedItems | None = None
) -> HeldCall:
    """Return what is kept of a call; files are opened once more.

    The result of a stream is the array of its items, also where an error ended it.
    """
    body, error = request.body, result.error
    ended = result.result if error is None else result.failure
    content: bytes | SpooledFile = b""
    uploads: tuple[tuple[str, SpooledFile], ...] = ()
    if isinstance(body, FileBody):
        content, uploads = body.file if body.file is not None else body.data, body.uploads
    else:
        content = body
    kind = result.result.content_type if result.result is not None else ""
    if items is not None:
        kind = VIEW if request.view else JSON
    return HeldCall(
        spec=target.spec,
        version=target.version,
        request_id=request.request_id,
        caller=caller_key(request.owner),
        input=Held(content),
        input_type=request.content_type,
        uploads=tuple((id, Held(file)) for id, file in uploads),
        result=Held(result.body if items is None else items.joined()),
        result_type=kind,
        status=200 if error is None else error.status,
        code="" if error is None else error.code,
        seconds=round(ended.seconds, 6) if ended is not None else 0.0,
        models=result.models,
    )


def size_of(
    request: CallRequest, result: CallResult, items: StreamedItems | None = None
) -> int | None:
    """Return the bytes of a call's inputs and result; ``None`` for too large a stream."""
    body, answer = request.body, len(result.body)
    if items is not None:
        if items.too_large:
            return None
        answer += items.size
    if not isinstance(body, FileBody):
        return len(body) + answer
    own = len(body.file) if body.file is not None else len(body.data)
    return own + sum(len(file) for _, file in body.uploads) + answer


class RecentCalls:
    """The last calls that people made through forms and pages, until they are flagged or old."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: OrderedDict[tuple[str, str, str], tuple[float, HeldCall]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: HeldCall) -> None:
        """Add a call; the oldest ones make room."""
        key = (call.spec.name, call.request_id, call.caller)
        self._drop(key)
        self._calls[key] = (self._clock(), call)
        self._bytes += call.size
        while self._calls and (len(self._calls) > MAX_RECENT or self._bytes > MAX_RECENT_BYTES):
            self._drop(next(iter(self._calls)))

    def take(self, service: str, request_id: str, caller: str) -> HeldCall | None:
        """Remove and return a caller's own call, which must then be closed."""
        self.expire()
        found = self._calls.pop((service, request_id, caller), None)
        if found is None:
            return None
        self._bytes -= found[1].size
        return found[1]

    def expire(self) -> None:
        """Forget old calls."""
        before = self._clock() - RECENT_SECONDS
        while self._calls:
            key, (since, _) = next(iter(self._calls.items()))
            if since >= before:
                return
            self._drop(key)

    def forget(self, service: str, caller: str = "") -> None:
        """Forget the calls of a service, or those of one caller."""
        for key in [key for key in self._calls if key[0] == service and caller in ("", key[2])]:
            self._drop(key)

    def _drop(self, key: tuple[str, str, str]) -> None:
        found = self._calls.pop(key, None)
        if found is not None:
            self._bytes -= found[1].size
            found[1].close()


class Keeper:
    """Decides about each call that ends; see ``CallKeeper``.

    Attributes
    ----------
    recent
        Calls that can be flagged.
    dropped
        Calls that were not recorded, by reason.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self.recent = RecentCalls()
        self.dropped: dict[str, Counter[str]] = {}
        self._chance = chance
        self._queue: deque[HeldCall] = deque()
        self._bytes = 0
        self._waiting = asyncio.Event()

    def offer(
        self,
        request: CallRequest,
        target: Target,
        result: CallResult,
        items: StreamedItems | None = None,
    ) -> None:
        """Keep a call for flags and for the recorder, as its service allows."""
        if not request.keep:
            return
        visitor = request.caller is None
        flags = request.view and may_flag(target.spec, visitor=visitor)
        sampled = may_sample(target.spec, result.error, visitor=visitor, point=self._chance())
        if not flags and not sampled:
            return
        size = size_of(request, result, items)
        if size is None or size > MAX_CALL:
            if sampled:
                self.count(target.spec.name, "too_large")
            return
        try:
            if sampled:
                self._enqueue(hold(request, target, result, items))
            if flags:
                self.recent.add(hold(request, target, result, items))
        except OSError:  # its file is gone: the caller has disconnected
            self.count(target.spec.name, "gone")

    def count(self, service: str, reason: str, number: int = 1) -> None:
        """Count calls that are not recorded."""
        self.dropped.setdefault(service, Counter())[reason] += number

    def _enqueue(self, call: HeldCall) -> None:
        size = call.size
        if len(self._queue) >= MAX_QUEUED or self._bytes + size > MAX_QUEUED_BYTES:
            self.count(call.spec.name, "queue_full")
            call.close()
            return
        self._queue.append(call)
        self._bytes += size
        self._waiting.set()

    async def next_batch(self, most: int) -> list[HeldCall]:
        """Wait for calls and return them; they must be closed."""
        while not self._queue:
            self._waiting.clear()
            await self._waiting.wait()
        batch = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
        self._bytes -= sum(call.size for call in batch)
        return batch

    def forget(self, service: str, caller: str = "") -> None:
        """Forget what waits of a service, or of one of its callers."""
        self.recent.forget(service, caller)
        waiting, self._queue = self._queue, deque()
        for call in waiting:
            if call.spec.name == service and caller in ("", call.caller):
                self._bytes -= call.size
                call.close()
            else:
                self._queue.append(call)
