"""Calls count as activity: for Jupyter's kernel culler and for a Hub's server culler."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

from easymlnb_server.services.live import LiveServices

EVERY = 30.0
"""Seconds between two marks while a long call runs."""


class Activity:
    """Marks the server, and the kernel that answered, as used just now."""

    def __init__(
        self, kernels: MappingKernelManager, times: dict[str, datetime], live: LiveServices
    ) -> None:
        self._kernels = kernels
        self._times = times
        self._live = live

    def touch(self, kernel: str = "") -> None:
        """Note a call now; ``kernel`` is the id of an author's kernel if one answers."""
        now = self._times["easymlnb"] = datetime.now(UTC)
        if kernel and kernel in self._kernels:
            model: Any = self._kernels.get_kernel(kernel)
            model.last_activity = now

    async def keep(self, sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        """Mark kernels with calls in them, for as long as the server runs."""
        while True:
            await sleep(EVERY)
            for service in self._live.all():
                if len(service.link):
                    self.touch(service.link.hello.kernel)
