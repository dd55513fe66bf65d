"""A call from its submission to its result."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from easymlnb.contract.errors import EasyMLNBError, from_code
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Call, Failure, Item, Progress, Result
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.uploads.spool import SpooledFile

Listener = Callable[[Progress | Item, bytes], None]

Chain = tuple[tuple[str, object], ...]
"""Calls that wait for one another, outermost first: the service and the link that runs it."""

DEFAULT_SPEC = ServiceSpec(name="", title="", input={}, output={})


def models_text(models: tuple[tuple[str, int], ...]) -> str:
    """Return models and their versions as in the header, such as ``forest=4``."""
    if not models:
        return ""
    shown = ", ".join(f"{name}={version}" for name, version in models)
    # Only from a worker that does not use our code.
    return shown if shown.isascii() and shown.isprintable() else ""


class CallResult(msgspec.Struct, frozen=True):
    """The end of a call: either a result or an error.

    Attributes
    ----------
    result
        What the worker reports about a successful run; ``None`` for a failed call.
    body
        The encoded result, in memory or in a spooled file.
    error
        Why the call failed; ``None`` for a successful call.
    failure
        The worker's report of the failure; ``None`` if the server ended the call.
    """

    result: Result | None = None
    body: bytes | SpooledFile = b""
    error: EasyMLNBError | None = None
    failure: Failure | None = None

    @property
    def models(self) -> str:
        """The models that the call used, such as ``forest=4``; empty for none."""
        ended = self.result if self.result is not None else self.failure
        return models_text(ended.models) if ended is not None else ""

    @classmethod
    def from_message(
        cls, message: Result | Failure, body: bytes | SpooledFile, request_id: str
    ) -> "CallResult":
        if isinstance(message, Result):
            return cls(result=message, body=body)
        error = from_code(message.code, message.message, message.details, request_id)
        return cls(error=error, failure=message)


class Execution:
    """Calls sent to a worker as one run: a batch, or a single call.

    - ``calls``: the calls without a result so far
    - ``size``: number of calls when the run was sent
    - ``short``: whether the run should be so short that calls may be prefetched behind it
    - ``is_async``: whether the run uses the worker's event loop, not its main thread
    - ``release``: frees the run's slot
    """

    __slots__ = ("calls", "is_async", "release", "service", "short", "size")

    def __init__(self, calls: "list[CallHandle]", *, short: bool = False) -> None:
        self.calls = calls
        self.size = len(calls)
        self.short = short
        self.service = calls[0].call.service
        self.is_async = calls[0].spec.concurrency > 1
        self.release: Callable[[Execution], None] | None = None


class CallHandle:
    """An accepted call. It gets exactly one result.

    Attributes
    ----------
    answered
        Future of the result.
    on_done
        Called with the result at once, one iteration of the event loop before ``answered``'s
        callbacks. Must not raise.
    on_late_result
        Called with the worker's report if the call had ended before it arrived.
    trace
        The headers that carry the call's trace context.
    low_priority
        Whether interactive calls go first.
    batch_ready
        Whether the call no longer waits for others to share a batch with.
    moved
        Whether the queue of another version took the call over.
    prefetched
        Whether the worker holds the call and has not started it.
    run
        The execution that contains the call; ``None`` while it is queued.
    no_retry
        Whether the call must not run a second time.
    stream_started
        Whether the caller has received part of a stream.
    timeout
        Seconds from the request to the deadline; 0: only the remaining ``call.seconds`` are known.
    chain
        The calls that wait for this one.
    """

    __slots__ = (
        "answered", "batch_ready", "body", "call", "canceller", "chain", "deadline", "listener",
        "low_priority", "moved", "no_retry", "on_done", "on_late_result", "prefetched", "run",
        "spec", "started", "stream_started", "timeout", "timer", "trace",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        body: Body,
        loop: asyncio.AbstractEventLoop,
        listener: Listener | None = None,
        spec: ServiceSpec = DEFAULT_SPEC,
        low_priority: bool = False,
    ) -> None:
        self.call = call
        self.body = body
        self.listener = listener
        self.spec = spec
        self.low_priority = low_priority
        self.answered: asyncio.Future[CallResult] = loop.create_future()
        self.deadline = time.monotonic() + call.seconds
        self.timer: asyncio.TimerHandle | None = None
        self.started = 0.0
        self.batch_ready = spec.batch is None or not spec.batch.max_wait
        self.run: Execution | None = None
        self.moved = False
        self.prefetched = False
        self.no_retry = False
        self.stream_started = False
        self.trace: Mapping[str, str] = {}
        self.timeout = 0.0
        self.chain: Chain = ()
        self.canceller: Callable[[CallHandle, EasyMLNBError], None] | None = None
        self.on_late_result: Callable[[Result | Failure], None] | None = None
        self.on_done: Callable[[CallResult], None] | None = None

    @property
    def ended_by_worker(self) -> bool:
        """Whether the result comes from the worker; ``False`` after a timeout or cancellation."""
        if not self.answered.done():
            return False
        answer = self.answered.result()
        return answer.result is not None or answer.failure is not None

    @property
    def starts_batch(self) -> bool:
        """Whether the call was sent as the first one of a batch, which may be its only one."""
        if self.spec.batch is None or self.run is None:
            return False
        return self.call.batch in (0, self.call.id)

    @property
    def may_retry(self) -> bool:
        """Whether the call may run again after its worker was lost."""
        return self.spec.resources.idempotent and not (self.no_retry or self.stream_started)

    def stop(self, error: EasyMLNBError) -> None:
        """End the call with ``error`` for its caller and cancel it in the worker."""
        if self.canceller is not None:
            self.canceller(self, error)

    def answer(
        self, answer: CallResult, deferred: "list[Callable[[], None]] | None" = None
    ) -> bool:
        """Set the result; return ``False`` if the call already has one.

        With ``deferred``, ``on_done`` is appended to that list instead of being called.
        """
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.answered.done():
            return False
        self.answered.set_result(answer)
        self.listener = None
        self.body = b""
        if self.on_done is not None:
            if deferred is None:
                self.on_done(answer)
            else:
                deferred.append(partial(self.on_done, answer))
        return True

    def fail(self, error: EasyMLNBError) -> bool:
        """Set an error of the server as the result."""
        return self.answer(CallResult(error=error))
