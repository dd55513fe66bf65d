"""Record finished and refused calls: log, metrics and trace span, for every entry point."""

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from easymlnb.contract.resources import PREFER
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.calls.log import CallLog, CallRecord
from easymlnb_server.calls.models import CallKeeper, CallRequest, StreamedItems
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.identity.access import user_of_key
from easymlnb_server.identity.api_keys.keys import OWNER_KEY
from easymlnb_server.identity.usage.meter import UsageMeter
from easymlnb_server.identity.usage.models import VISITOR
from easymlnb_server.observability.metrics import UNKNOWN, Metrics
from easymlnb_server.services.models import Target

if TYPE_CHECKING:
    from easymlnb_server.calls.tracing import Tracing

log = logging.getLogger("easymlnb.calls")


class CallRecorder:
    """Writes each call once, when it ends or is refused.

    ``shared`` says that many users share this server: then every call is worth a line in the log.
    """

    def __init__(
        self,
        calls: CallLog,
        metrics: Metrics,
        usage: UsageMeter,
        tracing: "Tracing | None" = None,
        *,
        keeper: CallKeeper | None = None,
        shared: bool = False,
    ) -> None:
        self._keeper = keeper
        self._calls = calls
        self._metrics = metrics
        self._usage = usage
        self._tracing = tracing
        self._shared = shared

    def refused(self, target: Target | None, code: str) -> None:
        """Count a call that was not accepted; ``target`` is what it called, if that is known."""
        key = (target.spec.name, target.version) if target is not None else UNKNOWN
        self._metrics.series(*key).refused[code] += 1

    def record(
        self,
        request: CallRequest,
        target: Target,
        handle: CallHandle,
        result: CallResult,
        seconds: float,
        streamed: int = 0,
        items: StreamedItems | None = None,
    ) -> None:
        """Count and log a call that ended ``seconds`` after its headers arrived.

        ``streamed`` is the number of bytes that were sent before its result; ``items`` are those of
        a stream that may be kept.
        """
        error = result.error
        ended: Any = result.failure if error is not None else result.result
        name = target.spec.name
        entry = _entry(request, target, result)
        self._calls.add(name, entry)
        if ended is None and handle.started:  # it runs on in its worker until that gives it up
            handle.on_late_result = partial(self._calls.amend, name, request.request_id)
        series = self._metrics.series(name, target.version)
        series.add(error, seconds, entry.seconds)
        if ended is not None and handle.starts_batch:
            assert handle.run is not None
            series.sizes.add(handle.run.size)
        self._count(request, target, handle, result, streamed)
        if self._tracing is not None:
            self._tracing.record(request.headers, name, entry, error, seconds)
        if self._keeper is not None and may_keep(request, target.spec):
            self._keeper.offer(request, target, result, items)
        self._log(entry, name, request.owner)

    def _count(
        self,
        request: CallRequest,
        target: Target,
        handle: CallHandle,
        result: CallResult,
        streamed: int,
    ) -> None:
        caller, gpu = request.caller, target.spec.resources.gpu
        key = caller.key if caller is not None else None
        body = result.body
        self._usage.add(
            target.spec.name,
            target.version,
            VISITOR if caller is None else caller.name,
            "" if key is None else key.id,
            failed=result.error is not None,
            seconds=run_seconds(handle, result),
            gpus=1.0 if gpu == PREFER else gpu,
            bytes_in=size_of(request.body),
            bytes_out=streamed + (len(body) if isinstance(body, bytes) else body.size),
        )

    def _log(self, entry: CallRecord, name: str, owner: str) -> None:
        # Every failure is worth a line; a success only where many share the server, or on request.
        level = logging.INFO if entry.code or self._shared else logging.DEBUG
        if not log.isEnabledFor(level):
            return
        fields: dict[str, Any] = {
            "request_id": entry.request_id,
            "service": name,
            "version": entry.version,
            "status": entry.status,
            "seconds": entry.seconds,
        }
        if self._shared:
            named = user_of_key(owner)
            if named is None and owner.startswith(OWNER_KEY):
                named = owner.removeprefix(OWNER_KEY)
            fields["caller"] = named or VISITOR
        if entry.code:
            fields["code"] = entry.code
        if entry.models:
            fields["models"] = entry.models
        log.log(level, "call", extra=fields)


def may_keep(request: CallRequest, spec: ServiceSpec) -> bool:
    """Return whether a call may be recorded or flagged; all other calls pay for this only."""
    return request.keep and (request.view or spec.record is not None)


def run_seconds(handle: CallHandle, result: CallResult) -> float:
    """Return the seconds that a call ran in its worker; those of a batch are shared equally."""
    ended = result.result or result.failure
    if ended is None:
        return 0.0
    return ended.seconds / handle.run.size if handle.run is not None else ended.seconds


def size_of(body: Body) -> int:
    """Return the bytes of a body, with the uploads that it refers to."""
    if isinstance(body, bytes):
        return len(body)
    own = len(body.data) if body.file is None else body.file.size
    return own + sum(file.size for _, file in body.uploads)


def _entry(request: CallRequest, target: Target, result: CallResult) -> CallRecord:
    error = result.error
    ended: Any = result.failure if error is not None else result.result
    return CallRecord(
        request_id=request.request_id,
        version=target.version,
        status=200 if error is None else error.status,
        seconds=round(ended.seconds, 6) if ended else 0.0,
        log=ended.log if ended else "",
        trace=result.failure.trace if result.failure else "",
        code=error.code if error is not None else "",
        entry=request.entry.value,
        models=result.models,
    )
