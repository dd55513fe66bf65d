"""The ZMQ sockets at both ends of a kernel's connection, which forward messages unchanged.

Messages stay signed with the kernel's own key, and the identities in front of them route the
replies, so nothing here reads a message.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path

import zmq

REQUEST_CHANNELS = ("shell", "control", "stdin")
HEARTBEAT = "hb"
CHANNELS = (*REQUEST_CHANNELS, "iopub")
PORTS = {name: number for number, name in enumerate((*CHANNELS, HEARTBEAT), 1)}
"""The number of a port is the suffix of the socket's file."""

MAX_READS = 64
"""Messages that are read before other work of the event loop runs."""

OnMessage = Callable[[str, list[bytes]], bool]
"""Receives a channel and a message; ``False``: read no more until ``ZmqBridge.resume``."""


class ZmqBridge:
    """Sockets by channel, read and written without waiting.

    They are read without ``zmq.asyncio``, whose futures take longer than everything else here.
    """

    def __init__(self, sockets: dict[str, zmq.Socket[bytes]], on_message: OnMessage) -> None:
        self._sockets = sockets
        self._on_message = on_message
        self._paused = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._readable = [name for name, socket in sockets.items() if socket.type != zmq.PUB]
        for name in self._readable:
            self._loop.add_reader(sockets[name].FD, self._read, name)
        self._read_soon()

    def send(self, channel: str, parts: list[bytes]) -> None:
        """Send a message; drops those that cannot be delivered, as ZMQ does."""
        if self._closed:
            return
        with contextlib.suppress(zmq.ZMQError):
            self._sockets[channel].send_multipart(parts, zmq.NOBLOCK)
        # Sending may clear the event that reports a message to read.
        if channel in REQUEST_CHANNELS:
            self._read(channel)

    def resume(self) -> None:
        """Read again after ``on_message`` returned ``False``."""
        if self._paused and not self._closed:
            self._paused = False
            self._read_soon()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for name in self._readable:
            self._loop.remove_reader(self._sockets[name].FD)
        for socket in self._sockets.values():
            socket.close(linger=0)

    def _read_soon(self) -> None:
        for name in self._readable:
            self._loop.call_soon(self._read, name)

    def _read(self, name: str) -> None:
        socket = self._sockets[name]
        for _ in range(MAX_READS):
            if self._closed or (self._paused and name != HEARTBEAT):
                return
            if not int(socket.EVENTS) & zmq.POLLIN:
                return
            parts = socket.recv_multipart(zmq.NOBLOCK)
            if name == HEARTBEAT:
                socket.send_multipart(parts, zmq.NOBLOCK)
            elif not self._on_message(name, parts):
                self._paused = True
        self._loop.call_soon(self._read, name)


def connect_to_kernel(
    context: zmq.Context[zmq.Socket[bytes]],
    path: Path,
    ports: dict[str, int],
    on_message: OnMessage,
) -> ZmqBridge:
    """Connect to a kernel whose sockets are files that begin with ``path``."""
    # The same on all channels: a kernel asks for input on the identity of the request.
    identity = uuid.uuid4().hex.encode()
    sockets = {}
    for name in CHANNELS:
        socket = context.socket(zmq.SUB if name == "iopub" else zmq.DEALER)
        socket.sndhwm = 0
        if name == "iopub":
            socket.subscribe(b"")
            socket.rcvhwm = 0  # output that is not read waits in a queue, and is not dropped
        else:
            socket.identity = identity
        socket.connect(f"ipc://{path}-{ports[name]}")
        sockets[name] = socket
    return ZmqBridge(sockets, on_message)


def bind_as_kernel(
    context: zmq.Context[zmq.Socket[bytes]], path: Path, on_message: OnMessage
) -> ZmqBridge:
    """Bind sockets for clients of a kernel, at ``path`` and the numbers of ``PORTS``."""
    kinds = {"iopub": zmq.PUB, HEARTBEAT: zmq.REP}
    sockets = {}
    for name, number in PORTS.items():
        socket = context.socket(kinds.get(name, zmq.ROUTER))
        socket.sndhwm = 0
        socket.bind(f"ipc://{path}-{number}")
        sockets[name] = socket
    return ZmqBridge(sockets, on_message)
