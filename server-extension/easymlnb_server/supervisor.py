"""Background loops that continue after an exception and end with their owner."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from easymlnb.contract.errors import EasyMLNBError

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until failed work runs again: after the first failure, then doubled up to the longest."""

Work = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger("easymlnb.supervisor")


class Supervisor:
    """Runs work in the background and repeats it after an exception.

    ``failures`` counts exceptions by the name of the work.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, name: str, work: Work) -> None:
        """Run ``work`` until it returns; repeat it after an exception, with a growing pause."""
        task = asyncio.create_task(self._run(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def every(self, name: str, seconds: float, work: Work) -> None:
        """Run ``work`` now and ``seconds`` after each run that succeeded."""

        async def loop() -> None:
            while True:
                await work()
                await asyncio.sleep(seconds)

        self.run(name, loop)

    def cancel(self) -> None:
        """Cancel all work without waiting for it."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Cancel all work and wait until it has ended."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, name: str, work: Work) -> None:
        pause = FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            try:
                return await work()
            except Exception as error:
                self.failures[name] += 1
                if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                    pause = FIRST_PAUSE
                # Such as a database that is away: the message says it all.
                known = isinstance(error, EasyMLNBError)
                text = "The background work %r failed (%s); it runs again in %g s."
                log.error(text, name, error, pause, exc_info=None if known else error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
