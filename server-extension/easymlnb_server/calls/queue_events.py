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

PING = 15.0
"""Seconds between two signs of life on an event stream."""

TOLD_EVERY = 1.0
"""Seconds between two looks at the place of a call in its line."""


async def answered(
    answer: "asyncio.Future[CallResult]",
    out: Writer,
    ready: Callable[[], bool],
    standing: Callable[[], dict[str, Any] | None],
) -> CallResult:
    """Wait for a call's answer; on an event stream, tell where it stands and ping meanwhile.

    ``ready`` says whether the reader has taken what was written before, ``standing`` returns what
    to say of the call's place, ``None`` when it has none.
    """
    if not isinstance(out, EventStreamResponse):
        return await asyncio.shield(answer)
    await asyncio.sleep(0)  # batched calls begin a moment after they came
    told: dict[str, Any] | None = None
    wrote = time.monotonic()
    while not answer.done():
        place = standing()
        if ready():
            if place is not None and place != told:
                out.waiting(told := place)
                wrote = time.monotonic()
            elif time.monotonic() - wrote >= PING:
                out.ping()
                wrote = time.monotonic()
        with contextlib.suppress(TimeoutError):
            wait = TOLD_EVERY if place is not None else PING
            await asyncio.wait_for(asyncio.shield(answer), wait)
    return answer.result()


def standing(call: Invocation) -> dict[str, Any] | None:
    """Return a waiting call's queue position and expected wait; ``None`` once it runs.

    ``seconds`` is ``None`` while nothing is known of how long calls, or starts, take.
    """
    handle, pool = call.handle, call.target.pool
    if handle is None or handle.started:
        return None
    place = pool.queue_position(handle)
    if place is None:
        return None
    position, seconds = place
    if pool.workers:
        return {"position": position, "seconds": round(seconds, 1) or None}
    away = pool.no_workers
    # Whole seconds: each change is sent to the caller.
    whole = ceil(away.seconds + seconds) if away.seconds else None
    found = {"state": away.state, "position": position, "seconds": whole}
    return {**found, "reason": away.reason} if away.reason else found
