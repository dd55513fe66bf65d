"""Jupyter's kernel WebSocket without Nagle's delay of 40 ms per execution."""

from typing import Any

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

PATTERN = r"/api/kernels/(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)/channels"
"""Jupyter's own pattern; routes of an extension come before those of the server."""


class KernelChannelsHandler(KernelWebsocketHandler):
    """Sends each message at once: kernels send several small messages in a row."""

    async def open(self, kernel_id: str) -> Any:
        self.set_nodelay(True)
        await super().open(kernel_id)  # type: ignore[no-untyped-call]
