"""The ZMQ sockets at both ends of a kernel's way; what they carry is passed on untouched.

Messages stay signed with the kernel's own key, and the identities in front of them make the answer
find its way back, so nothing here reads a message.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import zmq
import zmq.asyncio

ASKED = ("shell", "control", "stdin")
HEARTBEAT = "hb"
CHANNELS = (*ASKED, "iopub")
PORTS = {name: number for number, name in enumerate((*ASKED, "iopub", HEARTBEAT), 1)}
"""For sockets of files the number of a port is a part of the file's name."""

Pass = Callable[[str, list[bytes]], Awaitable[None]]
"""Takes a message of a channel; as long as it waits, no more is read from that channel."""


class Sockets:
    """Sockets that hand on what they receive, and send what they are given."""

    def __init__(self, sockets: dict[str, zmq.asyncio.Socket], on: Pass) -> None:
        self._sockets = sockets
        self._on = on
        self._tasks = [
            asyncio.create_task(self._pump(name))
            for name, socket in sockets.items()
            if socket.type != zmq.PUB  # which has nothing to read
        ]

    async def send(self, channel: str, parts: list[bytes]) -> None:
        """Send; what cannot be delivered any more is dropped, as ZMQ does."""
        with contextlib.suppress(zmq.ZMQError):
            await self._sockets[channel].send_multipart(parts)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket in self._sockets.values():
            socket.close(linger=0)

    async def _pump(self, name: str) -> None:
        socket = self._sockets[name]
        while True:
            parts = await socket.recv_multipart()
            if name == HEARTBEAT:
                await socket.send_multipart(parts)
            else:
                await self._on(name, parts)


def at_kernel(context: zmq.asyncio.Context, path: Path, ports: dict[str, int], on: Pass) -> Sockets:
    """Connect to a kernel whose sockets are files that begin with ``path``."""
    # The same on all channels: a kernel asks for input where the request came from.
    identity = uuid.uuid4().hex.encode()
    made = {}
    for name in CHANNELS:
        socket = context.socket(zmq.SUB if name == "iopub" else zmq.DEALER)
        if name == "iopub":
            socket.subscribe(b"")
            socket.rcvhwm = 0  # what is too much waits in the kernel's queue, not in a hole
        else:
            socket.identity = identity
        socket.connect(f"ipc://{path}-{ports[name]}")
        made[name] = socket
    return Sockets(made, on)


def in_place_of_kernel(context: zmq.asyncio.Context, path: Path, on: Pass) -> Sockets:
    """Bind sockets that clients take for a kernel's, at ``path`` and the numbers of ``PORTS``."""
    kinds = {"iopub": zmq.PUB, HEARTBEAT: zmq.REP}
    made = {}
    for name, number in PORTS.items():
        socket = context.socket(kinds.get(name, zmq.ROUTER))
        socket.sndhwm = 0
        socket.bind(f"ipc://{path}-{number}")
        made[name] = socket
    return Sockets(made, on)
