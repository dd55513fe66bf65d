"""Coroutines and async generators of services, on event loops that other threads run.

The thread that a call runs in cannot run them itself: it may be stopped at any time, and a client
that a coroutine keeps open belongs to one loop for its whole life.

A live notebook has two loops: the loop of its cells, which waits while a cell runs, and one of our
own. A coroutine runs on our own loop unless it reaches something that belongs to the cells' loop.
A worker has run all its cells when it serves. Its main thread is for plain calls, so the loop of
its cells goes on in a thread of its own and runs every coroutine.
"""

import asyncio
import inspect
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Generator
from concurrent.futures import wait
from contextlib import suppress
from functools import cache
from types import AsyncGeneratorType
from typing import Any

from easymlnb.runtime.bound import reaches
from easymlnb.runtime.context import CURRENT_CALL

NAME = "easymlnb-async"

TICK = 0.05
"""Seconds between two looks of a thread that waits for the loop of the cells, which may be busy."""

_known: list[asyncio.AbstractEventLoop] = []
"""The loops that objects of the notebook may belong to; the first one is the default."""


@cache
def _own() -> asyncio.AbstractEventLoop:
    made = asyncio.new_event_loop()
    _start(made)
    _known.append(made)
    return made


def _start(made: asyncio.AbstractEventLoop) -> None:
    def run() -> None:
        while not made.is_closed():  # a coroutine may have stopped it, but others need it
            with suppress(SystemExit, KeyboardInterrupt):  # a task's, which is no end of others
                made.run_forever()

    threading.Thread(target=run, name=NAME, daemon=True).start()


def shared() -> asyncio.AbstractEventLoop:
    """Return the loop of all coroutines that belong to no other; a thread of its own runs it."""
    return _known[0] if _moved else _own()


_moved = False


def note_cells() -> None:
    """Remember the loop that runs in this thread: it is the one that runs the notebook's cells."""
    found = asyncio._get_running_loop()
    if found is not None and found not in _known:
        _known.append(found)


def leave_thread() -> None:
    """Run the loop of the cells in another thread from now on, and none in this one.

    What cells made for their loop goes on there, and ``asyncio.run`` works here again. The cell
    that calls this must never return.
    """
    global _moved
    note_cells()
    found = asyncio._get_running_loop()
    if found is None:
        return
    task = asyncio.current_task()
    if task is not None:
        asyncio.tasks._leave_task(found, task)
    asyncio._set_running_loop(None)
    asyncio.set_event_loop(None)  # or `get_event_loop` would return one that runs elsewhere
    sys.set_asyncgen_hooks(None, None)
    if isinstance(found, asyncio.BaseEventLoop):  # else it cannot be moved
        found._thread_id = None  # type: ignore[attr-defined]
        _known.remove(found)
        _known.insert(0, found)
        _moved = True
        _start(found)


def home(work: Any) -> asyncio.AbstractEventLoop:
    """Return the loop that a function, a coroutine or an async generator must run on."""
    usual = shared()
    for other in _known if len(_known) > 1 else ():
        if other is not usual and not other.is_closed() and reaches(work, other):
            return other
    return usual


def in_call_loop() -> bool:
    """Say whether a plain call made here would hold up the coroutines of other calls."""
    if threading.current_thread().name == NAME:
        return True
    # A cell holds up the loop that runs it in any case.
    return CURRENT_CALL.get() is not None and asyncio._get_running_loop() in _known


def _wait(work: Coroutine[Any, Any, Any], where: asyncio.AbstractEventLoop) -> Any:
    if asyncio._get_running_loop() is where:
        work.close()
        raise RuntimeError(
            "An async function cannot call an async service through a synchronous function, "
            "because it would wait for itself. Call the synchronous function with 'await "
            "asyncio.to_thread(...)'."
        )
    future = asyncio.run_coroutine_threadsafe(work, where)
    try:
        while where is not shared() and not future.done():
            wait((future,), TICK)
        return future.result()
    except BaseException:
        # An interrupt of the waiting thread must stop the work too.
        future.cancel()
        raise


def plain(value: Any) -> Any:
    """Return the value, awaited if it is a coroutine."""
    return _wait(value, home(value)) if inspect.iscoroutine(value) else value


async def _next(items: AsyncIterator[Any], end: object) -> Any:
    return await anext(items, end)


async def _close(items: AsyncGeneratorType[Any, Any]) -> None:
    # A step that an interrupt left behind may not have ended yet.
    while items.ag_running:  # noqa: ASYNC110 - it announces nothing
        await asyncio.sleep(0.001)
    await items.aclose()


def items(value: Any) -> Generator[Any, None, None]:
    """Iterate over a generator of either kind; it is closed when the caller stops early."""
    if not inspect.isasyncgen(value):
        yield from value
        return
    end = object()
    where = home(value)
    try:
        while (item := _wait(_next(value, end), where)) is not end:
            yield item
    finally:
        _wait(_close(value), where)
