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
    With ``is_open=False``, messages are held until ``open``.
    """

    def __init__(
        self, sockets: dict[str, zmq.Socket[bytes]], on_message: OnMessage, *, is_open: bool = True
    ) -> None:
        self._sockets = sockets
        self._on_message = on_message
        self._held: list[tuple[str, list[bytes]]] | None = None if is_open else []
        self.on_close: Callable[[], None] = lambda: None
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
        if self._held is not None:
            self._held.append((channel, parts))
            return
        with contextlib.suppress(zmq.ZMQError):
            self._sockets[channel].send_multipart(parts, zmq.NOBLOCK)
        # Sending may clear the event that reports a message to read.
        if channel in REQUEST_CHANNELS:
            self._read(channel)

    def open(self) -> None:
        """Send the messages that were held, and hold no more."""
        held, self._held = self._held or [], None
        for channel, parts in held:
            self.send(channel, parts)

    def resume(self) -> None:
        """Read again after ``on_message`` returned ``False``."""
        if self._paused and not self._closed:
            self._paused = False
            self._read_soon()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.on_close()
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
    """Connect to a kernel whose sockets are files that begin with ``path``.

    The kernel may still be starting. Requests are held until its output can be received: what a
    kernel publishes before that is lost, and a cell without its end would run forever.
    """
    # The same on all channels: a kernel asks for input on the identity of the request.
    identity = uuid.uuid4().hex.encode()
    sockets = {}
    for name in REQUEST_CHANNELS:
        sockets[name] = socket = context.socket(zmq.DEALER)
        socket.sndhwm = 0
        socket.identity = identity
    sockets["iopub"] = iopub = context.socket(zmq.SUB)
    iopub.subscribe(b"")
    iopub.rcvhwm = 0  # output that is not read waits in a queue, and is not dropped
    bridge = ZmqBridge(sockets, on_message, is_open=False)

    def on_output() -> None:
        for name in REQUEST_CHANNELS:
            sockets[name].connect(f"ipc://{path}-{ports[name]}")
        bridge.open()

    bridge.on_close = _call_when_connected(iopub, on_output)
    iopub.connect(f"ipc://{path}-{ports['iopub']}")
    return bridge


def _call_when_connected(
    socket: zmq.Socket[bytes], on_connected: Callable[[], None]
) -> Callable[[], None]:
    """Call a function once a socket has a peer; returns what stops waiting for that."""
    loop = asyncio.get_running_loop()
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)

    def stop() -> None:
        if not monitor.closed:
            loop.remove_reader(monitor.FD)
            socket.disable_monitor()
            monitor.close(linger=0)

    def look() -> None:
        if not monitor.closed and int(monitor.EVENTS) & zmq.POLLIN:
            stop()
            on_connected()

    loop.add_reader(monitor.FD, look)
    loop.call_soon(look)
    return stop


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
