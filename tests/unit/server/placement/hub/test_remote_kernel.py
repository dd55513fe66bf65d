"""The tunnel of a kernel on a node over real sockets, with connections that break."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zmq.asyncio
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from easymlnb_server.placement.hub import node_protocol
from easymlnb_server.placement.hub.nodes import NodeSlot
from easymlnb_server.placement.hub.tunnel.reliable_channel import ReliableChannel
from easymlnb_server.placement.hub.tunnel.remote_kernel import RemoteKernel
from easymlnb_server.placement.hub.tunnel.zmq_bridge import PORTS

MESSAGES = 60


class Node:
    """A node whose kernel echoes messages, and whose connections break after ``lasts`` each.

    It is also what the near end knows of its nodes.
    """

    def __init__(self, lasts: int) -> None:
        self.connections = 0
        self.channel = ReliableChannel()
        self.auth = self
        self._lasts = lasts

    def headers(self) -> dict[str, str]:
        return {}

    async def is_gone(self, address: str) -> bool:
        return False

    async def end(self, address: str, kernel: str) -> None:
        pass

    async def serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self.channel.attach(outgoing.put_nowait)
        sender = asyncio.create_task(self._send(connection, outgoing))
        left = self._lasts
        with contextlib.suppress(ConnectionClosed):
            async for data in connection:
                assert isinstance(data, bytes)
                frame = self.channel.receive(data)
                if frame is not None:
                    self.channel.send(frame.channel, frame.parts)
                    left -= 1
                if not left:
                    connection.transport.abort()
        self.channel.detach(outgoing.put_nowait)
        sender.cancel()

    async def _send(self, connection: ServerConnection, outgoing: asyncio.Queue[bytes]) -> None:
        while True:
            await connection.send(await outgoing.get())


@contextlib.asynccontextmanager
async def connected(node: Node, folder: Path) -> AsyncIterator[RemoteKernel]:
    async with serve(node.serve, "127.0.0.1", 0, compression=None) as server:
        remote = RemoteKernel(node, folder)  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        remote.connect(NodeSlot(f"http://127.0.0.1:{port}/", "k", 0.0))
        try:
            yield remote
        finally:
            await remote.close()


@pytest.mark.parametrize("lasts", [7, 1000])
async def test_connections_that_break_lose_nothing(tmp_path: Path, lasts: int) -> None:
    node = Node(lasts)
    with zmq.asyncio.Context() as context:
        async with connected(node, tmp_path), asyncio.timeout(60):
            client = context.socket(zmq.DEALER)
            client.connect(f"ipc://{tmp_path}/k-{PORTS['shell']}")
            for number in range(MESSAGES):
                await client.send(str(number).encode())
            echoed = [int(await client.recv()) for _ in range(MESSAGES)]
            client.close(linger=0)
    assert echoed == list(range(MESSAGES))
    assert (node.connections > 1) is (lasts < MESSAGES)


async def test_exit_code_of_the_kernel_arrives(tmp_path: Path) -> None:
    node = Node(lasts=1000)
    async with connected(node, tmp_path) as remote, asyncio.timeout(60):
        node.channel.send(node_protocol.END, [b"3"])
        await remote.ended.wait()
        assert remote.exit_code == 3
