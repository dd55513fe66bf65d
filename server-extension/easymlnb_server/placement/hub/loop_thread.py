"""An event loop in a thread of its own, independent of the caller's loop.

Kernel managers are used from servers, whose loop runs always, and from scripts, whose loop runs
only while they wait for something; the messages of a kernel must not stand still between.
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


async def there(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in that loop.

    It is cancelled with whoever waits here, who then waits for what it does about that.
    """
    loop = _loop()
    told: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def begin() -> None:
        tasks.append(loop.create_task(work))
        tasks[0].add_done_callback(end)

    def end(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            told.cancel()
        elif error := task.exception():
            told.set_exception(error)
        else:
            told.set_result(task.result())

    loop.call_soon_threadsafe(begin)
    answer = asyncio.wrap_future(told)
    try:
        return await asyncio.shield(answer)
    except asyncio.CancelledError:
        if not answer.done():
            loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            await asyncio.wait({answer})
        if not answer.cancelled():
            answer.exception()  # nobody else asks
        raise
