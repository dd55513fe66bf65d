"""The far end of a kernel's connection, with a kernel that is slow to open its sockets."""

import asyncio
from pathlib import Path

import zmq.asyncio

from easymlnb_server.placement.hub.tunnel.zmq_bridge import PORTS, ZmqBridge, connect_to_kernel

LATE = 0.4
"""Seconds between the sockets for requests and the one for output, longer than ZMQ's retry."""


async def run_kernel(context: "zmq.asyncio.Context", path: Path) -> None:
    """Answer one request: publish its output, then reply."""
    shell = context.socket(zmq.ROUTER)
    shell.bind(f"ipc://{path}-{PORTS['shell']}")
    await asyncio.sleep(LATE)
    iopub = context.socket(zmq.PUB)
    iopub.bind(f"ipc://{path}-{PORTS['iopub']}")
    try:
        identity, request = await shell.recv_multipart()
        await iopub.send_multipart([b"stream", request])
        await shell.send_multipart([identity, b"reply"])
        await asyncio.sleep(LATE)
    finally:
        shell.close(linger=0)
        iopub.close(linger=0)


def bridge_to(
    context: "zmq.Context[zmq.Socket[bytes]]", path: Path
) -> tuple[ZmqBridge, "asyncio.Queue[tuple[str, list[bytes]]]"]:
    received: asyncio.Queue[tuple[str, list[bytes]]] = asyncio.Queue()

    def on_message(channel: str, parts: list[bytes]) -> bool:
        received.put_nowait((channel, parts))
        return True

    return connect_to_kernel(context, path, PORTS, on_message), received


async def test_a_request_waits_until_its_output_can_be_received(tmp_path: Path) -> None:
    with zmq.Context() as plain, zmq.asyncio.Context() as context:
        bridge, received = bridge_to(plain, tmp_path / "k")
        bridge.send("shell", [b"request"])
        kernel = asyncio.create_task(run_kernel(context, tmp_path / "k"))
        async with asyncio.timeout(20):
            found = dict([await received.get(), await received.get()])
            await kernel
        bridge.close()
    assert found == {"iopub": [b"stream", b"request"], "shell": [b"reply"]}


async def test_a_bridge_to_a_kernel_that_never_starts_can_be_closed(tmp_path: Path) -> None:
    with zmq.Context() as context:
        bridge, received = bridge_to(context, tmp_path / "k")
        bridge.send("control", [b"request"])
        bridge.close()
        bridge.close()
    assert received.empty()
