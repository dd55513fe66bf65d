"""Messages between the server and a form kernel, over the kernel's stdin and stdout.

A form kernel runs the pages of many visitors, each in its own session. A frame is a length (u32,
little endian) and the msgpack of one message below. The contents of Jupyter messages remain JSON
bytes.
"""

import struct
from collections.abc import Callable
from typing import Any

import msgspec

from easymlnb.contract import message

LENGTH = struct.Struct("<I")


class PageMessage(message.Message, kw_only=True):
    """Base of all messages; ``session`` is the id of a page's session."""

    session: str = ""


# server -> form kernel


class OpenPage(PageMessage):
    """Build the page of a service in a new session.

    ``root`` is the id of the page's outermost widget. ``url`` is where the kernel reaches the
    server's routes, ``base`` the path of the same routes in the visitor's browser, ``secret`` a
    token for this one service.
    """

    spec: dict[str, Any]
    root: str
    url: str
    base: str
    secret: str
    public: bool = False


class FromPage(PageMessage):
    """A message from the page, of one of the kinds that pages may send."""

    kind: str
    header: bytes
    content: bytes
    metadata: bytes = b"{}"
    buffers: tuple[bytes, ...] = ()


class ClosePage(PageMessage):
    """Close the session and discard its state."""


# form kernel -> server


class Ready(PageMessage):
    """The kernel is ready for sessions."""


class ToPage(PageMessage):
    """A message for the page; ``parent`` is the header of the message it answers, as JSON."""

    kind: str
    content: bytes
    parent: bytes = b"{}"
    metadata: bytes = b"{}"
    buffers: tuple[bytes, ...] = ()


class PageBuilt(PageMessage):
    """The page is built, so the server can send it.

    ``state`` is JSON with the state of all widgets, as the page's script reads it: ``states`` by
    the widgets' ids, ``buffer_paths``, and ``buffers`` in base64. ``html`` is what the page shows
    until its controls are live.
    """

    state: bytes
    html: str


class PageFailed(PageMessage):
    """The page could not be built; ``reason`` is for the server's log."""

    reason: str


class Spent(PageMessage):
    """The page exceeded a limit, so its session must be closed; ``reason`` names the limit."""

    reason: str


ToKernel = OpenPage | FromPage | ClosePage
FromSession = ToPage | PageBuilt | PageFailed | Spent
ToServer = Ready | FromSession

to_kernel: Callable[[bytes], ToKernel] = msgspec.msgpack.Decoder(ToKernel).decode
to_server: Callable[[bytes], ToServer] = msgspec.msgpack.Decoder(ToServer).decode


def pack(item: ToKernel | ToServer) -> bytes:
    """Return a message as a frame."""
    data = message.encode(item)
    return LENGTH.pack(len(data)) + data
