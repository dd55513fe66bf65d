"""Reading and writing a socket without giving the interpreter away.

Python does so around every system call, also around one that never waits. Beside a cell that
computes, getting it back takes as long as that cell may keep it, so a call of a live service that
reads and writes in this way waits once instead of three times.
"""

import ctypes
import errno
import os
import socket

ROOM = 64 * 1024
"""Bytes that are moved in one step; what is larger goes the usual way."""

Room = ctypes.Array[ctypes.c_char]

_library = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter, which `CDLL` does not
_recv, _send = _library.recv, _library.send
_recv.argtypes = _send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_recv.restype = _send.restype = ctypes.c_ssize_t


def room() -> Room:
    """Return what ``receive`` reads into."""
    return ctypes.create_string_buffer(ROOM)


def receive(stream: socket.socket, room: Room) -> bytes:
    """Return what is there, nothing at the stream's end; raises ``OSError`` as ``recv`` does."""
    found = _recv(stream.fileno(), room, ROOM, socket.MSG_DONTWAIT)
    if found >= 0:
        return ctypes.string_at(room, found)
    number = ctypes.get_errno()
    if number in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR):
        raise BlockingIOError
    raise OSError(number, os.strerror(number))


def send(stream: socket.socket, data: bytes) -> int:
    """Send as much as goes at once and return how much that was, 0 also after an error."""
    if len(data) > ROOM:
        return 0
    return max(0, int(_send(stream.fileno(), data, len(data), socket.MSG_DONTWAIT)))
