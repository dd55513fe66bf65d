"""Coroutines and async generators of services, on one event loop beside the calling thread.

A kernel's main thread already has a running loop, so they cannot run on a loop of its own. One
loop for all calls lets an author keep an async client open between calls.
"""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import suppress
from functools import cache
from types import AsyncGeneratorType
from typing import Any

NAME = "easymlnb-async"


@cache
def shared() -> asyncio.AbstractEventLoop:
    """Return the loop of all coroutines; it runs in a thread of its own."""
    made = asyncio.new_event_loop()
    threading.Thread(target=_run, args=(made,), name=NAME, daemon=True).start()
    return made


def _run(made: asyncio.AbstractEventLoop) -> None:
    """Run a loop for ever: a task that calls ``sys.exit()`` ends itself, not the loop of all."""
    while True:
        with suppress(SystemExit, KeyboardInterrupt):
            made.run_forever()


def _wait(work: Coroutine[Any, Any, Any]) -> Any:
    if threading.current_thread().name == NAME:
        work.close()
        raise RuntimeError(
            "An async function cannot wait for other async functions through a plain one: "
            "it would wait for itself. Call the plain one with 'await asyncio.to_thread(...)'."
        )
    future = asyncio.run_coroutine_threadsafe(work, shared())
    try:
        return future.result()
    except BaseException:
        # An interrupt of the waiting thread must stop the work too.
        future.cancel()
        raise


def plain(value: Any) -> Any:
    """Return the value, awaited if it is a coroutine."""
    return _wait(value) if inspect.iscoroutine(value) else value


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
    try:
        while (item := _wait(_next(value, end))) is not end:
            yield item
    finally:
        _wait(_close(value))
