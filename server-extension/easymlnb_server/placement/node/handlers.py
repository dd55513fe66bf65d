"""The routes of a node: start kernels for other servers of the same user, and connect to them.

These routes let a user run code, as Jupyter's own routes of kernels do. Authorizers therefore see
the same resource.
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
from easymlnb_server.placement.hub.node_protocol import KernelChange, KernelRequest
from easymlnb_server.placement.node.kernel import NodeKernel
from easymlnb_server.placement.node.manager import NodeKernelManager

RESOURCE = "kernels"
PING_INTERVAL = 20.0
"""Seconds between two pings; a connection without any answer to two of them is dead."""

MAX_REQUEST = MAX_ZIP + 2**20
"""Maximum bytes of a kernel request, with the files of a worker."""

MAX_CHANGE = 1000

_decode = msgspec.msgpack.Decoder(KernelRequest).decode
_decode_change = msgspec.msgpack.Decoder(KernelChange).decode


class _NodeHandler(EasyHandler):
    """Base of the routes of a node."""

    auth_resource = RESOURCE

    @property
    def node(self) -> NodeKernelManager:
        return self.state.node_kernels

    def kernel(self, name: str) -> NodeKernel:
        kernel = self.node.get(name)
        if kernel is None:
            raise RouteNotFound
        return kernel


class NodeHandler(_NodeHandler):
    """``GET node``: the node's status."""

    @web.authenticated
    async def get(self) -> None:
        status = await asyncio.to_thread(self.node.status)
        self.write_json(msgspec.to_builtins(status))


class NodeKernelsHandler(BodyHandler, _NodeHandler):
    """``POST node/kernels``: start a kernel."""

    def body_limit(self) -> int:
        return MAX_REQUEST

    @web.authenticated
    async def post(self) -> None:
        try:
            request = _decode(self.read_body())
        except msgspec.MsgspecError as error:
            raise BadRequest("The request body is not a valid kernel request.") from error
        kernel = await self.node.start(request)
        self.write_json({"id": kernel.id, "age": self.node.age}, 201)


class NodeKernelHandler(BodyHandler, _NodeHandler):
    """``GET``, ``PATCH`` and ``DELETE node/kernels/{id}``: a kernel's status, stay and end."""

    body_method = "PATCH"

    def body_limit(self) -> int:
        return MAX_CHANGE

    @web.authenticated
    async def get(self, name: str) -> None:
        kernel = self.kernel(name)
        if kernel.ended.is_set():
            raise RouteNotFound
        kernel.touch()
        self.write_json(msgspec.to_builtins(await asyncio.to_thread(kernel.status)))

    @web.authenticated
    async def patch(self, name: str) -> None:
        kernel = self.kernel(name)
        try:
            change = _decode_change(self.read_body())
        except msgspec.MsgspecError as error:
            raise BadRequest("The request body is not a valid change of a kernel.") from error
        kernel.keep(change.stay)
        self.set_status(204)
        self.finish()

    @web.authenticated
    async def delete(self, name: str) -> None:
        await self.node.end(self.kernel(name))
        self.set_status(204)
        self.finish()


class NodeChannelsHandler(KernelSocketHandler, _NodeHandler):  # type: ignore[misc]
    """The WebSocket between a kernel and its owner, a server; browsers are refused."""

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
        self._unanswered = 0
        self._heartbeat = PeriodicCallback(self._ping, PING_INTERVAL * 1000)
        self._heartbeat.start()
        self._kernel.attach(self)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(websocket.WebSocketClosedError):
            self.write_message(data, binary=True)

    def on_pong(self, data: bytes) -> None:
        self._unanswered = 0

    def on_message(self, message: str | bytes) -> None:
        self._unanswered = 0
        assert self._kernel is not None
        try:
            self._kernel.receive(message if isinstance(message, bytes) else message.encode())
        except msgspec.MsgspecError:
            self.close(1002)

    def on_close(self) -> None:
        if self._kernel is not None:
            self._heartbeat.stop()
            self._kernel.detach(self)

    def _ping(self) -> None:
        if self._unanswered >= 2:
            self.on_close()  # now, because a dead connection may take long to close
            self.close(1001)
            return
        self._unanswered += 1
        with contextlib.suppress(websocket.WebSocketClosedError):
            self.ping()
