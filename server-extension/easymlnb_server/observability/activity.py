"""Calls count as activity: for Jupyter's kernel culler and for a Hub's server culler."""

from datetime import UTC, datetime
from typing import Any

from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

from easymlnb_server.services.live import LiveServices


class Activity:
    """Marks the server, and the kernel that ran a call, as active."""

    interval = 30.0
    """Seconds between two calls of ``refresh``."""

    def __init__(
        self, kernels: MappingKernelManager, times: dict[str, datetime], live: LiveServices
    ) -> None:
        self._kernels = kernels
        self._times = times
        self._live = live

    def touch(self, kernel: str = "") -> None:
        """Record activity now; ``kernel`` is the id of the author's kernel that runs the call."""
        now = self._times["easymlnb"] = datetime.now(UTC)
        if kernel and kernel in self._kernels:
            model: Any = self._kernels.get_kernel(kernel)
            model.last_activity = now

    async def refresh(self) -> None:
        """Mark kernels with running calls as active."""
        for service in self._live.all():
            if len(service.link):
                self.touch(service.link.hello.kernel)
