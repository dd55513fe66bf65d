"""What other servers of the same user ask of this one as a node: kernels, and the way to each.

Whoever may do this may run code here, which a user's own token could do anyway through Jupyter's
routes of kernels; so it is the same resource to an authorizer.
"""

import asyncio
import contextlib
from typing import ClassVar

import msgspec
from tornado import web, websocket

from easymlnb.contract.errors import BadRequest, RouteNotFound
from easymlnb_server.handlers.base import EasyHandler
from easymlnb_server.placement.hub.wire import Wanted
from easymlnb_server.placement.node import NodeKernels
from easymlnb_server.placement.nodekernel import Kernel

RESOURCE = "kernels"
PING = 20.0
"""Seconds between two pings, by which a connection is found to be dead."""

MAX_MESSAGE = 2**30

_wanted = msgspec.msgpack.Decoder(Wanted).decode


class _NodeHandler(EasyHandler):
    """Base of the routes of a node."""

    auth_resource = RESOURCE

    @property
    def node(self) -> NodeKernels:
        return self.state.node

    def kernel(self, name: str) -> Kernel:
        found = self.node.get(name)
        if found is None:
            raise RouteNotFound
        return found


class NodeHandler(_NodeHandler):
    """What runs here."""

    auth_resource = RESOURCE

    @web.authenticated
    async def get(self) -> None:
        status = await asyncio.to_thread(self.node.status)
        self.write_json(msgspec.to_builtins(status))


class NodeKernelsHandler(_NodeHandler):
    """Starts a kernel."""

    auth_resource = RESOURCE

    @web.authenticated
    async def post(self) -> None:
        try:
            wanted = _wanted(self.request.body)
        except msgspec.MsgspecError as error:
            raise BadRequest("The body is not what a node is asked for a kernel with.") from error
        kernel = await self.node.start(wanted)
        self.write_json({"id": kernel.id, "age": self.node.age}, 201)


class NodeKernelHandler(_NodeHandler):
    """Ends a kernel."""

    auth_resource = RESOURCE

    @web.authenticated
    async def delete(self, name: str) -> None:
        await self.node.end(self.kernel(name))
        self.set_status(204)
        self.finish()


class NodeChannelsHandler(websocket.WebSocketHandler, _NodeHandler):  # type: ignore[misc]
    """The way between a kernel and its owner, a server; browsers are not served."""

    auth_resource = RESOURCE
    actions: ClassVar[dict[str, str]] = {"GET": "execute"}
    _carrying: asyncio.Task[None] | None = None

    @property
    def max_message_size(self) -> int:
        return MAX_MESSAGE

    @property
    def ping_interval(self) -> float | None:
        return PING

    def get_compression_options(self) -> None:
        return None

    @web.authenticated
    async def get(self, name: str) -> None:  # type: ignore[override]
        if "Origin" in self.request.headers:
            raise web.HTTPError(403)
        self._kernel = self.kernel(name)
        await super().get(name)

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self._carrying = asyncio.create_task(self._carry())

    async def _carry(self) -> None:
        # Whoever takes the kernel over on another connection cancels this.
        with contextlib.suppress(websocket.WebSocketClosedError, asyncio.CancelledError):
            await self._kernel.carry(self._send)
        self.close()

    async def _send(self, data: bytes) -> None:
        await self.write_message(data, binary=True)

    async def on_message(self, message: str | bytes) -> None:
        try:
            await self._kernel.take(message if isinstance(message, bytes) else message.encode())
        except msgspec.MsgspecError:
            self.close(1002)

    def on_close(self) -> None:
        if self._carrying is not None:
            self._carrying.cancel()
