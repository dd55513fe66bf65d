"""Copies of calls for another version. They never slow or fail the calls that they copy."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from random import random
from typing import Any

from msgspec.structs import replace

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.calls.models import MIN_TIMEOUT, CallRequest
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.services.models import Target
from easymlnb_server.traffic.shadow import (
    AgreementCounter,
    ShadowOutcome,
    ShadowSinks,
)

MAX_RUNNING = 16
"""Copies that run at a time; further ones are dropped."""

MAX_BYTES = 2**20
"""Bytes of the largest arguments and results that are copied and compared."""

MAX_SECONDS = 60.0

log = logging.getLogger("easymlnb.calls")

Start = Callable[[CallRequest, Callable[[Any, CallResult], None]], object]


class ShadowCalls:
    """Sends copies of calls to the shadow of their version, and compares the answers.

    Parameters
    ----------
    start
        ``Invoker.start``.
    """

    def __init__(self, start: Start) -> None:
        self.agreement = AgreementCounter()
        self.sinks = ShadowSinks(self.agreement)
        self._start = start
        self._running = 0

    def offer(
        self, request: CallRequest, target: Target, result: CallResult, seconds: float
    ) -> None:
        """Copy a call that has its result, if the sample wants it."""
        shadow = target.shadow
        if (
            shadow is None
            or request.is_shadow
            or request.version
            or str(shadow.version) == target.version
            or random() >= shadow.share
            or self._running >= MAX_RUNNING
            or not _is_small(request, result, target)
        ):
            return
        self._running += 1
        # After the caller has its answer.
        asyncio.get_running_loop().call_soon(
            self._copy, request, target, result, seconds, str(shadow.version)
        )

    def _copy(
        self,
        request: CallRequest,
        target: Target,
        result: CallResult,
        seconds: float,
        version: str,
    ) -> None:
        now = time.monotonic()
        copy = replace(
            request,
            version=version,
            is_shadow=True,
            keep=False,
            low_priority=True,
            progress=False,
            request_id=uuid.uuid4().hex,
            received=now,
            began=now,
            timeout=max(MIN_TIMEOUT, min(request.timeout, MAX_SECONDS)),
            deadline=now + MAX_SECONDS,
            chain=None,
        )

        def on_done(call: object, shadowed: CallResult) -> None:
            self._running -= 1
            took = time.monotonic() - now
            try:
                self.sinks.add(_outcome(request, target, result, seconds, version, shadowed, took))
            except Exception:
                log.exception("A shadow call could not be compared.")

        try:
            self._start(copy, on_done)
        except EasyMLNBError:
            self._running -= 1  # the shadow is busy or starting
        except Exception:
            self._running -= 1
            log.exception("A shadow call could not be started.")


def _is_small(request: CallRequest, result: CallResult, target: Target) -> bool:
    return (
        isinstance(request.body, bytes)
        and isinstance(result.body, bytes)
        and not target.spec.stream
        and len(request.body) <= MAX_BYTES
        and len(result.body) <= MAX_BYTES
    )


def _outcome(
    request: CallRequest,
    target: Target,
    result: CallResult,
    seconds: float,
    version: str,
    shadowed: CallResult,
    shadow_seconds: float,
) -> ShadowOutcome:
    return ShadowOutcome(
        service=target.name,
        request_id=request.request_id,
        body=request.body if isinstance(request.body, bytes) else b"",
        content_type=request.content_type,
        version=target.version,
        answer=result.body if isinstance(result.body, bytes) else b"",
        media_type=result.result.content_type if result.result is not None else "",
        error=result.error.code if result.error is not None else "",
        seconds=seconds,
        shadow_version=version,
        shadow_answer=shadowed.body if isinstance(shadowed.body, bytes) else b"",
        shadow_media_type=shadowed.result.content_type if shadowed.result is not None else "",
        shadow_error=shadowed.error.code if shadowed.error is not None else "",
        shadow_seconds=shadow_seconds,
    )
