"""The objects behind app pages: kernel pool, sessions, tokens and Voila's files."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from easymlnb_server.apps.form_kernel import FormKernel, start
from easymlnb_server.apps.kernel_pool import KernelPool
from easymlnb_server.apps.page_tokens import PageTokens
from easymlnb_server.apps.sessions import Limits, PageSessions
from easymlnb_server.apps.voila.assets import Assets
from easymlnb_server.apps.voila.page import Pages


class AppPages:
    """What handlers of app pages work with."""

    def __init__(
        self, *, kernels: int, carry: int, memory: int, limits: Limits, message_limit: int
    ) -> None:
        self.passes = PageTokens()
        self.places = PageSessions(self.passes, limits)
        self.assets = Assets()
        self.pages = Pages(self.assets)
        self.message_limit = message_limit
        self.url = ""
        """Where form kernels reach our routes."""
        self._kernels = kernels
        self._carry = carry
        self._memory = memory
        self._most = limits.pages
        self._tasks: list[asyncio.Task[Any]] = []

    @property
    def on(self) -> bool:
        """Whether there are app pages at all."""
        return self._kernels > 0

    def open(self, url: str, cafile: str) -> None:
        """Begin to keep kernels warm; ``url`` is where they reach our routes."""
        self.url = url
        if not self.on:
            return

        def another() -> Awaitable[FormKernel]:
            return start(self.places.told, memory=self._memory, cafile=cafile)

        self.places.pool = KernelPool(
            another,
            self.places.lost,
            warm=self._kernels,
            carry=self._carry,
            most=self._most,
            memory=self._memory,
        )
        duties = (self.places.pool.keep(), self.places.keep(), self._look())
        self._tasks = [asyncio.create_task(duty) for duty in duties]

    async def _look(self) -> None:
        # Reads a few hundred names of files; the first visitor shall not wait for that.
        await asyncio.to_thread(lambda: self.assets.tag)

    async def close(self) -> None:
        """End all places and kernels."""
        self.places.leave_all(lambda place: True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
