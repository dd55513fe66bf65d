"""Events that report a waiting call's queue position and expected wait."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from math import ceil
from typing import Any

from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.responses import EventStreamResponse, Writer
from easymlnb_server.dispatch.call import CallResult

PING_EVERY = 15.0
"""Seconds without an event after which an event stream gets a comment."""

FIRST_EVENT = 0.05
"""Seconds after which a call that has not ended gets the first event."""

CHECK_EVERY = 1.0
"""Seconds between two checks of a call's queue position."""


async def wait_with_events(
    result: "asyncio.Future[CallResult]",
    writer: Writer,
    is_ready: Callable[[], bool],
    position: Callable[[], dict[str, Any] | None],
) -> CallResult:
    """Wait for a call's result; on an event stream, report its queue position and ping.

    Parameters
    ----------
    result
        The result.
    writer
        Writes the response.
    is_ready
        Returns whether the reader took everything that was written before.
    position
        Returns the event to send, or ``None`` once the call is not queued.
    """
    if not isinstance(writer, EventStreamResponse):
        return await asyncio.shield(result)
    await asyncio.wait((result,), timeout=FIRST_EVENT)
    sent: dict[str, Any] | None = None
    if not result.done() and is_ready():
        writer.ping()  # the caller sees that it was heard
    written = time.monotonic()
    while not result.done():
        event = position()
        if is_ready():
            if event is not None and event != sent:
                writer.waiting(sent := event)
                written = time.monotonic()
            elif time.monotonic() - written >= PING_EVERY:
                writer.ping()
                written = time.monotonic()
        with contextlib.suppress(TimeoutError):
            wait = CHECK_EVERY if event is not None else PING_EVERY
            await asyncio.wait_for(asyncio.shield(result), wait)
    return result.result()


def queue_position(call: Invocation) -> dict[str, Any] | None:
    """Return a waiting call's queue position and expected wait; ``None`` once it runs.

    ``seconds`` is ``None`` while it is unknown how long calls, or starts, take.
    """
    handle, dispatcher = call.handle, call.target.dispatcher
    if handle is None or handle.started:
        return None
    found = dispatcher.queue_position(handle)
    if found is None:
        return None
    position, seconds = found
    if dispatcher.workers:
        return {"position": position, "seconds": round(seconds, 1) or None}
    reason = dispatcher.no_workers
    # Whole seconds: each change is sent to the caller.
    whole = ceil(reason.seconds + seconds) if reason.seconds else None
    event = {"state": reason.state, "position": position, "seconds": whole}
    return {**event, "reason": reason.reason} if reason.reason else event
