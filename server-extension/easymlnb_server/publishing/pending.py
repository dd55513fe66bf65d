"""Starts of bundles in progress: one per bundle, each can be canceled."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any


class PendingStarts:
    """Bundles that are being started, each by a task of its own."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._all: dict[asyncio.Task[None], str] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._under_way))

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """All that has not ended, also of what was called off."""
        return list(self._all)

    def begin(self, bundle: str, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a bundle, unless that is under way.

        What is left of a start that was called off ends first.
        """
        if bundle in self._under_way:
            return
        former = [task for task, known in self._all.items() if known == bundle]
        task = asyncio.create_task(_after(former, start))
        self._under_way[bundle] = task
        self._all[task] = bundle
        task.add_done_callback(self._ended)

    async def wait(self, bundle: str) -> None:
        """Return when no start of a bundle is under way."""
        if (task := self._under_way.get(bundle)) is not None:
            await asyncio.wait((task,))

    def call_off(self, bundle: str) -> None:
        """End the start of a bundle, if one is under way; does not wait for what it cleans up."""
        task = self._under_way.pop(bundle, None)
        if task is not None:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        bundle = self._all.pop(task)
        if self._under_way.get(bundle) is task:
            del self._under_way[bundle]


async def _after(
    former: list[asyncio.Task[None]], start: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    if former:
        await asyncio.wait(former)
    await start()
