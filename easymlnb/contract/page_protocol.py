"""What the server and a form kernel say to each other over the kernel's stdin and stdout.

A form kernel carries the pages of many visitors, each in a *place* of its own. A frame is the
length of what follows (u32, little endian) and the msgpack of one message below. Contents of
Jupyter messages pass as the JSON bytes they came as.
"""

import struct
from collections.abc import Callable
from typing import Any

import msgspec

from easymlnb.contract.texts import all_sendable

LENGTH = struct.Struct("<I")


class Message(msgspec.Struct, kw_only=True, array_like=True, tag=True):
    """Base of all messages. ``place`` is the id of a page's place."""

    place: str = ""


# server -> form kernel


class OpenPage(Message):
    """Build the page of a service in a new place.

    ``root`` is the id that the page's outermost widget gets. ``url`` is where the kernel reaches
    the server's routes, ``base`` the path of the same routes in the visitor's browser, ``secret``
    the pass for this one service.
    """

    spec: dict[str, Any]
    root: str
    url: str
    base: str
    secret: str
    public: bool = False


class FromPage(Message):
    """A message of the page: one of the kinds that pages may send, everything else is gone."""

    kind: str
    header: bytes
    content: bytes
    metadata: bytes = b"{}"
    buffers: tuple[bytes, ...] = ()


class ClosePage(Message):
    """Close the place and forget all of it."""


# form kernel -> server


class Ready(Message):
    """The kernel is ready to carry places."""


class ToPage(Message):
    """A message for the page. ``parent`` is the header of what it answers, as JSON."""

    kind: str
    content: bytes
    parent: bytes = b"{}"
    metadata: bytes = b"{}"
    buffers: tuple[bytes, ...] = ()


class PageFailed(Message):
    """The page could not be built; ``reason`` is for the server's log."""

    reason: str


class Spent(Message):
    """The page asked for more than a page may, and its place is to be left; ``reason`` says how."""

    reason: str


ToKernel = OpenPage | FromPage | ClosePage
OfPlace = ToPage | PageFailed | Spent
ToServer = Ready | OfPlace

_encode = msgspec.msgpack.Encoder().encode
to_kernel: Callable[[bytes], ToKernel] = msgspec.msgpack.Decoder(ToKernel).decode
to_server: Callable[[bytes], ToServer] = msgspec.msgpack.Decoder(ToServer).decode


def pack(message: ToKernel | ToServer) -> bytes:
    """Return a message as a frame; text that no wire takes is escaped in it."""
    try:
        data = _encode(message)
    except UnicodeEncodeError:
        data = _encode(all_sendable(msgspec.to_builtins(message)))
    return LENGTH.pack(len(data)) + data
