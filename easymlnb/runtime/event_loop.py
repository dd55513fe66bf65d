"""Run coroutines and async generators of services on event loops in other threads.

The thread of a call cannot run them: it may be interrupted at any time, and an open client of a
coroutine belongs to one loop for its whole life.

A live notebook has two loops: the loop of its cells, which waits while a cell runs, and one of
easymlnb. A coroutine runs on the latter unless it uses an object of the cells' loop. A worker has
run all its cells when it serves. Its main thread runs synchronous calls, so the loop of its cells
continues in another thread and runs every coroutine.
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

from easymlnb.runtime.bound import uses_loop
from easymlnb.runtime.context import CURRENT_CALL

NAME = "easymlnb-async"

TICK = 0.05
"""Seconds between two checks of a thread that waits for the loop of the cells."""

_known: list[asyncio.AbstractEventLoop] = []
"""The loops of the notebook's objects; the first one is the default."""


@cache
def _own() -> asyncio.AbstractEventLoop:
    made = asyncio.new_event_loop()
    _start(made)
    _known.append(made)
    return made


def _start(made: asyncio.AbstractEventLoop) -> None:
    def run() -> None:
        while not made.is_closed():  # a coroutine may have stopped it, but others need it
            with suppress(SystemExit, KeyboardInterrupt):  # of a task: other tasks continue
                made.run_forever()

    threading.Thread(target=run, name=NAME, daemon=True).start()


def shared_loop() -> asyncio.AbstractEventLoop:
    """Return the default loop, which runs in its own thread."""
    return _known[0] if _moved else _own()


_moved = False


def note_cells() -> None:
    """Record the loop that runs in this thread as the loop of the notebook's cells."""
    found = asyncio._get_running_loop()
    if found is not None and found not in _known:
        _known.append(found)


def leave_thread() -> None:
    """Move the loop of the cells from this thread to another one.

    Tasks of the cells continue there, and ``asyncio.run`` works in this thread again. The cell that
    calls this must never return.
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
    asyncio.set_event_loop(None)  # else `get_event_loop` returns a loop of another thread
    sys.set_asyncgen_hooks(None, None)
    if isinstance(found, asyncio.BaseEventLoop):  # else it cannot be moved
        found._thread_id = None  # type: ignore[attr-defined]
        _known.remove(found)
        _known.insert(0, found)
        _moved = True
        _start(found)


def loop_for(work: Any) -> asyncio.AbstractEventLoop:
    """Return the loop for a function, a coroutine or an async generator."""
    usual = shared_loop()
    for other in _known if len(_known) > 1 else ():
        if other is not usual and not other.is_closed() and uses_loop(work, other):
            return other
    return usual


def in_call_loop() -> bool:
    """Return whether a blocking call here would block the coroutines of other calls."""
    if threading.current_thread().name == NAME:
        return True
    # A cell blocks its loop in any case.
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
        while where is not shared_loop() and not future.done():
            wait((future,), TICK)
        return future.result()
    except BaseException:
        # An interrupt of the waiting thread must stop the work too.
        future.cancel()
        raise


def await_result(value: Any) -> Any:
    """Return the value, or the result if it is a coroutine."""
    return _wait(value, loop_for(value)) if inspect.iscoroutine(value) else value


async def _next(items: AsyncIterator[Any], end: object) -> Any:
    return await anext(items, end)


async def _close(items: AsyncGeneratorType[Any, Any]) -> None:
    # A step may still be running after an interrupt.
    while items.ag_running:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)
    await items.aclose()


def iterate(value: Any) -> Generator[Any, None, None]:
    """Iterate over a generator of either kind; close it if the caller stops early."""
    if not inspect.isasyncgen(value):
        yield from value
        return
    end = object()
    where = loop_for(value)
    try:
        while (item := _wait(_next(value, end), where)) is not end:
            yield item
    finally:
        _wait(_close(value), where)
