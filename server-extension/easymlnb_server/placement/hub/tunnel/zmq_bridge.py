"""The ZMQ sockets at both ends of a kernel's way; what they carry is passed on untouched.

Messages stay signed with the kernel's own key, and the identities in front of them make the answer
find its way back, so nothing here reads a message.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path

import zmq

ASKED = ("shell", "control", "stdin")
HEARTBEAT = "hb"
CHANNELS = (*ASKED, "iopub")
PORTS = {name: number for number, name in enumerate((*ASKED, "iopub", HEARTBEAT), 1)}
"""For sockets of files the number of a port is a part of the file's name."""

AT_ONCE = 64
"""Messages that are read before others have their turn in the event loop."""

Pass = Callable[[str, list[bytes]], bool]
"""Takes a message of a channel; ``False``: no more for now, until ``Sockets.resume``."""


class Sockets:
    """Sockets that hand on what they receive, and send what they are given.

    They are read without ``zmq.asyncio``, whose futures cost more than all else on this way.
    """

    def __init__(self, sockets: dict[str, zmq.Socket[bytes]], on: Pass) -> None:
        self._sockets = sockets
        self._on = on
        self._held = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        for name in self._heard():
            self._loop.add_reader(sockets[name].FD, self._read, name)
            self._loop.call_soon(self._read, name)

    def send(self, channel: str, parts: list[bytes]) -> None:
        """Send; what cannot be delivered any more is dropped, as ZMQ does."""
        if self._closed:
            return
        with contextlib.suppress(zmq.ZMQError):
            self._sockets[channel].send_multipart(parts, zmq.NOBLOCK)
        # Sending may take the sign away that there is something to read.
        if channel in ASKED:
            self._read(channel)

    def resume(self) -> None:
        """Read again, after ``on`` wanted no more."""
        if self._held and not self._closed:
            self._held = False
            for name in self._heard():
                self._loop.call_soon(self._read, name)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for name in self._heard():
            self._loop.remove_reader(self._sockets[name].FD)
        for socket in self._sockets.values():
            socket.close(linger=0)

    def _heard(self) -> list[str]:
        """Return the channels by which anything comes: a publisher has nothing to read."""
        return [name for name, socket in self._sockets.items() if socket.type != zmq.PUB]

    def _read(self, name: str) -> None:
        socket = self._sockets[name]
        for _ in range(AT_ONCE):
            if self._closed or (self._held and name != HEARTBEAT):
                return
            if not int(socket.EVENTS) & zmq.POLLIN:
                return
            parts = socket.recv_multipart(zmq.NOBLOCK)
            if name == HEARTBEAT:
                socket.send_multipart(parts, zmq.NOBLOCK)
            elif not self._on(name, parts):
                self._held = True
        self._loop.call_soon(self._read, name)


def at_kernel(
    context: zmq.Context[zmq.Socket[bytes]], path: Path, ports: dict[str, int], on: Pass
) -> Sockets:
    """Connect to a kernel whose sockets are files that begin with ``path``."""
    # The same on all channels: a kernel asks for input where the request came from.
    identity = uuid.uuid4().hex.encode()
    made = {}
    for name in CHANNELS:
        socket = context.socket(zmq.SUB if name == "iopub" else zmq.DEALER)
        socket.sndhwm = 0
        if name == "iopub":
            socket.subscribe(b"")
            socket.rcvhwm = 0  # what is too much waits in the kernel's queue, not in a hole
        else:
            socket.identity = identity
        socket.connect(f"ipc://{path}-{ports[name]}")
        made[name] = socket
    return Sockets(made, on)


def in_place_of_kernel(context: zmq.Context[zmq.Socket[bytes]], path: Path, on: Pass) -> Sockets:
    """Bind sockets that clients take for a kernel's, at ``path`` and the numbers of ``PORTS``."""
    kinds = {"iopub": zmq.PUB, HEARTBEAT: zmq.REP}
    made = {}
    for name, number in PORTS.items():
        socket = context.socket(kinds.get(name, zmq.ROUTER))
        socket.sndhwm = 0
        socket.bind(f"ipc://{path}-{number}")
        made[name] = socket
    return Sockets(made, on)
