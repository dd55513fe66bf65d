"""One event loop of our own, in a thread: what it carries goes on whatever the caller's loop does.

Kernel managers are used from servers, whose loop runs always, and from scripts, whose loop runs
only while they wait for something; the messages of a kernel must not stand still between.
"""

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="easymlnb-hub", daemon=True).start()
    return loop


async def there(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in that loop; it is cancelled with whoever waits here."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, _loop()))
