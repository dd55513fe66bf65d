"""The only way to run a call: find the version, queue the call, record its end."""

import asyncio
import logging
import time
from collections.abc import Callable

from msgspec import structs

from easymlnb.contract.batch_protocol import operation_name
from easymlnb.contract.errors import (
    CallCancelled,
    Draining,
    EasyMLNBError,
    InternalError,
    NotReady,
    ServiceNotFound,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.tensors import is_tensors
from easymlnb.contract.worker_protocol import Call, Item, Progress
from easymlnb_server.calls.in_flight import InFlight
from easymlnb_server.calls.models import MIN_TIMEOUT, CallRequest, EventSink, StreamedItems
from easymlnb_server.calls.record import CallRecorder, may_keep, run_seconds, size_of
from easymlnb_server.calls.shadow_calls import ShadowCalls
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.identity.names import short_name
from easymlnb_server.identity.quotas.quotas import Admission, Quotas
from easymlnb_server.observability.activity import Activity
from easymlnb_server.services.models import Target
from easymlnb_server.services.registry import DESCRIBING, LIVE, Selector, ServiceRegistry

REPLACED = "A new version has just been deployed. Retry the request."

log = logging.getLogger("easymlnb.calls")

OnDone = Callable[["Invocation", CallResult], None]


class Invocation:
    """One call that was accepted, on its way to its result.

    Attributes
    ----------
    request
        The call.
    target
        The version that answers it.
    handle
        The call in that version's queue; ``None`` once it is answered.
    streamed
        Bytes of the items and the progress that were sent before the result.
    """

    __slots__ = (
        "_admission", "_invoker", "_items", "_on_done", "_sink", "handle", "request", "streamed",
        "target",
    )  # fmt: skip

    target: Target

    def __init__(
        self,
        invoker: "Invoker",
        request: CallRequest,
        on_done: OnDone,
        sink: EventSink | None,
    ) -> None:
        self.request = request
        self.handle: CallHandle | None = None
        self.streamed = 0
        self._admission: Admission | None = None
        self._invoker = invoker
        self._items: StreamedItems | None = None
        self._on_done = on_done
        self._sink = sink

    def stop(self, error: EasyMLNBError) -> None:
        """End the call for its caller with an error, and ask its worker to stop."""
        if self.handle is not None:
            self.handle.stop(error)

    def acknowledge(self, size: int) -> None:
        """Note that the reader of a stream took ``size`` more bytes of it."""
        if self.handle is not None:
            self.target.dispatcher.acknowledge(self.handle, size)

    def submit(self) -> None:
        """Queue the call at the version that answers now; raises why that is refused."""
        invoker, request, sink = self._invoker, self.request, self._sink
        target = self.target = invoker.find(
            request.service,
            request.caller,
            live=request.live,
            published_only=request.published_only,
            selection=request,
        )
        spec = target.spec
        if sink is None and (spec.stream or _is_too_large(request.body, spec.max_body)):
            raise NotReady(REPLACED)  # the entry point has checked the version before this one
        if spec.stream:
            self._items = StreamedItems() if may_keep(request, spec) else None
        self._admit(target)
        seconds, limit = _times(request, spec)
        if request.operation:
            spec = _as_operation(spec)
        handle = target.dispatcher.submit(
            _message(request, target, seconds),
            request.body,
            self._on_event if sink is not None else None,
            spec=spec,
            low_priority=request.low_priority,
            chain=request.chain(target) if request.chain is not None else (),
        )
        handle.trace = request.headers
        handle.timeout = limit
        self.handle = handle
        invoker.in_flight.add(self)
        invoker.activity.touch(target.kernel)
        ended = handle.answered.done()
        if not ended:
            handle.on_done = self._answered
        if sink is not None:
            sink.on_accepted(target)
        if ended:
            self._answered(handle.answered.result())

    def _admit(self, target: Target) -> None:
        """Count the call in its limits, once; raises ``LimitExceeded``."""
        request = self.request
        if self._admission is None and not request.is_shadow:
            self._admission = self._invoker.quotas.admit(
                target.name, request.caller, request.owner, size_of(request.body)
            )

    def refund(self) -> None:
        """Take back what was counted for a call that is refused after all."""
        for meter in self._admission or ():
            meter.refund()
        self._admission = ()

    def detach(self) -> CallHandle:
        """Release a call that continues as a job, which is counted and recorded as one."""
        handle = self.handle
        assert handle is not None
        handle.on_done = handle.listener = self.handle = None
        self._invoker.in_flight.discard(self)
        for meter in self._admission or ():
            meter.leave(0.0)
        return handle

    def answer(self, result: CallResult) -> None:
        """Answer the caller of a call that was detached."""
        self._on_done(self, result)

    def _on_event(self, message: Progress | Item, body: bytes) -> None:
        self.streamed += len(body)
        if self._items is not None and isinstance(message, Item):
            self._items.add(body)
        assert self._sink is not None
        self._sink.on_event(message, body)

    def _answered(self, result: CallResult) -> None:
        """End the call, or queue it again where its version was replaced before it began."""
        invoker, target, handle = self._invoker, self.target, self.handle
        assert handle is not None
        if handle.moved:
            target = self.target = invoker.services.successor(target)
        self.handle = None
        invoker.in_flight.discard(self)
        invoker.activity.touch(target.kernel)
        waited = not handle.started and isinstance(result.error, NotReady)
        if waited and invoker.services.replaced(target):
            try:
                self.submit()
                return
            except EasyMLNBError as error:
                result = CallResult(error=error)
            except Exception:
                log.exception("A call could not be handed to the version that took over.")
                result = CallResult(error=InternalError())
        seconds = time.monotonic() - self.request.received
        if self._admission:
            ran = run_seconds(handle, result)
            for meter in self._admission:
                meter.leave(ran)
        # After the callers of a whole batch have their answers.
        if not self.request.is_shadow:
            asyncio.get_running_loop().call_soon(
                invoker.recorder.record,
                self.request,
                target,
                handle,
                result,
                seconds,
                self.streamed,
                self._items,
            )
        self._on_done(self, result)
        if target.shadow is not None:
            invoker.shadows.offer(self.request, target, result, seconds)


def settle(done: "asyncio.Future[CallResult]") -> OnDone:
    """Return an ``on_done`` that sets a future's result, unless the future has one."""

    def on_done(invocation: Invocation, result: CallResult) -> None:
        if not done.done():
            done.set_result(result)

    return on_done


class Invoker:
    """Runs calls from every entry point in the same way.

    A call is resolved to the version that answers it, queued there, queued again where that
    version is replaced before the call began, and recorded when it ends.

    Parameters
    ----------
    services
        Finds the version, and decides whether the caller may call it.
    recorder
        Logs, counts and traces calls.
    activity
        Learns that the server, and the author's kernel, are in use.
    in_flight
        Holds the call until it is answered.
    quotas
        Refuses calls over the limits of their caller or service.
    """

    def __init__(
        self,
        services: ServiceRegistry,
        recorder: CallRecorder,
        activity: Activity,
        in_flight: InFlight,
        quotas: Quotas,
    ) -> None:
        self.quotas = quotas
        self.services = services
        self.recorder = recorder
        self.activity = activity
        self.in_flight = in_flight
        self.shadows = ShadowCalls(self.start)

    def find(
        self,
        name: str,
        caller: Caller | None,
        *,
        live: bool = False,
        published_only: bool = False,
        selection: Selector = DESCRIBING,
    ) -> Target:
        """Return the version that answers a call; raises ``ServiceNotFound`` or ``NotReady``.

        The parameters are those of a ``CallRequest``, which is a ``selection`` too.
        """
        target = self.services.resolve(name, caller, Action.CALL, live=live, selection=selection)
        if published_only and target.version == LIVE:
            raise ServiceNotFound(name)
        return target

    def start(
        self, request: CallRequest, on_done: OnDone, sink: EventSink | None = None
    ) -> Invocation:
        """Queue a call and return at once.

        Parameters
        ----------
        request
            The call.
        on_done
            Called once with the invocation and its result, maybe before this method returns. It
            must not raise.
        sink
            Receives progress and the items of a stream. Without one, streaming services are
            refused.

        Raises
        ------
        EasyMLNBError
            Why the call was refused: ``Draining``, ``ServiceNotFound``, ``Busy``, ...; it is
            counted as refused, and ``on_done`` is not called.
        """
        invocation = Invocation(self, request, on_done, sink)
        try:
            if self.services.draining:
                raise Draining
            invocation.submit()
        except Exception as error:
            invocation.refund()
            code = error.code if isinstance(error, EasyMLNBError) else InternalError.code
            if not request.is_shadow:
                self.recorder.refused(getattr(invocation, "target", None), code)
            raise
        return invocation

    async def invoke(self, request: CallRequest, sink: EventSink | None = None) -> CallResult:
        """Run a call and return its result, whose ``error`` is set if it failed.

        A version that the request pins gets a worker first. Canceling the task that waits stops
        the call. Raises what ``start`` raises.
        """
        if request.version:
            await self.services.wake(request.service, request.version)
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        invocation = self.start(request, settle(done), sink)
        try:
            return await done
        except asyncio.CancelledError:
            invocation.stop(CallCancelled())
            raise


def _message(request: CallRequest, target: Target, seconds: float) -> Call:
    """Return what is sent to the worker; the dispatcher sets its id."""
    service = short_name(target.name)
    return Call(
        id=0,
        service=operation_name(service, request.operation) if request.operation else service,
        content_type=request.content_type,
        accept=request.accept if not target.spec.stream or is_tensors(request.accept) else "",
        seconds=seconds,
        request_id=request.request_id,
        view=request.view,
        progress=request.progress,
    )


def _times(request: CallRequest, spec: ServiceSpec) -> tuple[float, float]:
    """Return the seconds that a call may take, and the limit to report if they run out.

    The limit is 0 if what waits for the call has less time than the call itself.
    """
    own = request.operation or request.may_become_job
    limit = request.timeout if own else min(request.timeout, spec.timeout)
    now = time.monotonic()
    left = limit - (now - request.began)
    # At least a moment, also when the time is nearly over as the call changes versions.
    seconds = max(min(left, request.deadline - now), MIN_TIMEOUT)
    return seconds, limit if left <= seconds else 0.0


def _as_operation(spec: ServiceSpec) -> ServiceSpec:
    """Return a service's spec for an operation, which runs alone in a worker."""
    return structs.replace(spec, batch=None, stream=False, concurrency=1)


def _is_too_large(body: Body, limit: int) -> bool:
    return isinstance(body, bytes) and len(body) > limit
