"""Record a finished call: log, metrics and trace span, identical for every entry point."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.calls.log import CallRecord
from easymlnb_server.context import ServerContext
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.identity.access import user_of_key
from easymlnb_server.observability.metrics import CallMetrics
from easymlnb_server.services.registry import Target

VISITOR = "(visitor)"
"""Who calls without a login, in the log; no user of a Hub has such a name."""

log = logging.getLogger("easymlnb.calls")


def note(
    state: ServerContext,
    target: Target,
    series: CallMetrics,
    pending: CallHandle,
    answer: CallResult,
    *,
    request_id: str,
    headers: Mapping[str, str],
    whole: float,
) -> None:
    """Count and log a call; ``whole`` is the seconds from its headers to its end."""
    error: EasyMLNBError | None = answer.error
    ended: Any = answer.failure if error is not None else answer.result
    entry = CallRecord(
        request_id=request_id,
        version=target.version,
        status=200 if error is None else error.status,
        seconds=round(ended.seconds, 6) if ended else 0.0,
        log=ended.log if ended else "",
        trace=answer.failure.trace if answer.failure else "",
        code=error.code if error is not None else "",
    )
    state.calls.add(target.spec.name, entry)
    if ended is None and pending.started:  # it goes on in its worker until that gives it up
        pending.on_late_result = partial(state.calls.amend, target.spec.name, request_id)
    series.add(error, whole, entry.seconds)
    if ended is not None and pending.starts_batch:
        assert pending.run is not None
        series.sizes.add(pending.run.size)
    if state.tracing is not None:
        state.tracing.record(headers, target.spec.name, entry, error, whole)
    # Every failure is worth a line; a success where many share the server, or who asks for them.
    shared = state.services.shared
    level = logging.DEBUG if error is None and not shared else logging.INFO
    if log.isEnabledFor(level):
        told: dict[str, Any] = {
            "request_id": entry.request_id,
            "service": target.spec.name,
            "version": entry.version,
            "status": entry.status,
            "seconds": entry.seconds,
        }
        if shared:
            told["caller"] = user_of_key(pending.owner) or VISITOR
        log.log(level, "call", extra=told if error is None else {**told, "code": error.code})
