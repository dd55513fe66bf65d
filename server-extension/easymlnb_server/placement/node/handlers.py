"""What other servers of the same user ask of this one as a node: kernels, and the way to each.

Whoever may do this may run code here, which a user's own token could do anyway through Jupyter's
routes of kernels; so it is the same resource to an authorizer.
"""

import asyncio
import contextlib
from typing import ClassVar

import msgspec
from tornado import web, websocket
from tornado.ioloop import PeriodicCallback

from easymlnb.contract.archive import MAX_ZIP
from easymlnb.contract.errors import BadRequest, RouteNotFound
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.websocket import KernelSocketHandler
from easymlnb_server.placement.hub.node_protocol import KernelRequest
from easymlnb_server.placement.node.kernel import NodeKernel
from easymlnb_server.placement.node.manager import NodeKernelManager

RESOURCE = "kernels"
PING = 20.0
"""Seconds between two pings; a connection that is silent for two of them is dead."""

MAX_WANTED = MAX_ZIP + 2**20
"""Bytes that say which kernel is wanted, with the files of a worker."""

_wanted = msgspec.msgpack.Decoder(KernelRequest).decode


class _NodeHandler(EasyHandler):
    """Base of the routes of a node."""

    auth_resource = RESOURCE

    @property
    def node(self) -> NodeKernelManager:
        return self.state.node_kernels

    def kernel(self, name: str) -> NodeKernel:
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


class NodeKernelsHandler(BodyHandler, _NodeHandler):
    """Starts a kernel."""

    auth_resource = RESOURCE

    def body_limit(self) -> int:
        return MAX_WANTED

    @web.authenticated
    async def post(self) -> None:
        try:
            wanted = _wanted(self.take_body())
        except msgspec.MsgspecError as error:
            raise BadRequest("The request body is not a valid kernel request.") from error
        kernel = await self.node.start(wanted)
        self.write_json({"id": kernel.id, "age": self.node.age}, 201)


class NodeKernelHandler(_NodeHandler):
    """Tells of a kernel, and ends it."""

    auth_resource = RESOURCE

    @web.authenticated
    async def get(self, name: str) -> None:
        kernel = self.kernel(name)
        if kernel.over.is_set():
            raise RouteNotFound
        kernel.hear()
        self.write_json(msgspec.to_builtins(await asyncio.to_thread(kernel.seated)))

    @web.authenticated
    async def delete(self, name: str) -> None:
        await self.node.end(self.kernel(name))
        self.set_status(204)
        self.finish()


class NodeChannelsHandler(KernelSocketHandler, _NodeHandler):  # type: ignore[misc]
    """The way between a kernel and its owner, a server; browsers are not served."""

    auth_resource = RESOURCE
    actions: ClassVar[dict[str, str]] = {"GET": "execute"}
    _kernel: NodeKernel | None = None

    @web.authenticated
    async def get(self, name: str) -> None:  # type: ignore[override]
        if "Origin" in self.request.headers:
            raise web.HTTPError(403)
        self._kernel = self.kernel(name)
        await super().get(name)

    def open(self, *args: str, **kwargs: str) -> None:
        assert self._kernel is not None
        self.set_nodelay(True)
        self._unheard = 0
        self._heart = PeriodicCallback(self._beat, PING * 1000)
        self._heart.start()
        # One object: what is told of the end is what was told of the beginning.
        self._connection = _Connection(self)
        self._kernel.join(self._connection)

    def _beat(self) -> None:
        if self._unheard >= 2:
            self._end()
            return
        self._unheard += 1
        with contextlib.suppress(websocket.WebSocketClosedError):
            self.ping()

    def _end(self) -> None:
        """Take leave at once: a connection that is dead may need long to end."""
        self._heart.stop()
        assert self._kernel is not None
        self._kernel.leave(self._connection)
        self.close(1001)

    def on_pong(self, data: bytes) -> None:
        self._unheard = 0

    def on_message(self, message: str | bytes) -> None:
        self._unheard = 0
        assert self._kernel is not None
        try:
            self._kernel.take(message if isinstance(message, bytes) else message.encode())
        except msgspec.MsgspecError:
            self.close(1002)

    def on_close(self) -> None:
        if self._kernel is not None:
            self._heart.stop()
            self._kernel.leave(self._connection)


class _Connection:
    """What a kernel has of this handler."""

    def __init__(self, handler: NodeChannelsHandler) -> None:
        self._handler = handler

    def write(self, data: bytes) -> None:
        with contextlib.suppress(websocket.WebSocketClosedError):
            self._handler.write_message(data, binary=True)

    def close(self) -> None:
        self._handler.close()
