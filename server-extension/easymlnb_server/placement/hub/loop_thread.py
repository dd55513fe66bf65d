"""An event loop in its own thread, independent of the caller's loop.

Kernel managers run in servers, whose loop always runs, and in scripts, whose loop runs only while
they wait. A kernel's messages must flow in both.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="easymlnb-hub", daemon=True).start()
    return loop


async def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in that loop.

    If the caller is canceled, so is the coroutine, and the caller waits until it has ended.
    """
    loop = _loop()
    result: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def start() -> None:
        tasks.append(loop.create_task(work))
        tasks[0].add_done_callback(finish)

    def finish(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            result.cancel()
        elif error := task.exception():
            result.set_exception(error)
        else:
            result.set_result(task.result())

    loop.call_soon_threadsafe(start)
    waiter = asyncio.wrap_future(result)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if not waiter.done():
            loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            await asyncio.wait({waiter})
        if not waiter.cancelled():
            waiter.exception()  # marks it as retrieved
        raise
