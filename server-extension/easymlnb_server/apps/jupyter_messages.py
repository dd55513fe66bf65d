"""Jupyter's messages on a WebSocket, in both protocols of front ends.

``v1.kernel.websocket.jupyter.org`` is binary: a table of offsets (u64, little endian), then
channel, header, parent header, metadata, content and buffers. The old protocol is JSON text; with
buffers it is a table of offsets (u32, big endian), the JSON, and the buffers.
"""

import json
import struct
from dataclasses import dataclass
from itertools import pairwise

V1 = "v1.kernel.websocket.jupyter.org"

NAMES = ("header", "parent_header", "metadata", "content")

MAX_HEADER = 4096
"""Bytes of a header; front ends send about 300."""

MAX_PARTS = 256
"""Maximum number of parts of a message; pages send five and a few buffers."""


@dataclass(frozen=True, slots=True)
class JupyterMessage:
    """A message as bytes of JSON; only the header is parsed."""

    channel: str
    kind: str
    header: bytes
    parent: bytes
    metadata: bytes
    content: bytes
    buffers: tuple[bytes, ...] = ()


def read(data: str | bytes, v1: bool) -> JupyterMessage:
    """Return the message of a page; raises ``ValueError`` for an invalid one."""
    try:
        if v1:
            return _read_v1(data)
        return _read_old(data)
    except (struct.error, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("The message is not a valid Jupyter message.") from error


def _read_v1(data: str | bytes) -> JupyterMessage:
    if isinstance(data, str):
        raise ValueError("The message must be binary: the connection uses a binary protocol.")
    (count,) = struct.unpack_from("<Q", data)
    if not 6 <= count <= MAX_PARTS:
        raise ValueError("The message has the wrong number of parts.")
    channel, header, parent, metadata, content, *buffers = _cut(
        data, list(struct.unpack_from(f"<{count}Q", data, 8))
    )
    return _message(channel.decode(), header, parent, metadata, content, buffers)


def _read_old(data: str | bytes) -> JupyterMessage:
    buffers: list[bytes] = []
    if isinstance(data, bytes):
        (count,) = struct.unpack_from("!I", data)
        if not 1 <= count <= MAX_PARTS:
            raise ValueError("The message has the wrong number of parts.")
        offsets = [*struct.unpack_from(f"!{count}I", data, 4), len(data)]
        data, *buffers = _cut(data, offsets)
    message = json.loads(data)
    header, parent, metadata, content = (
        json.dumps(message.get(name) or {}).encode() for name in NAMES
    )
    channel = str(message.get("channel") or "shell")
    return _message(channel, header, parent, metadata, content, buffers)


def _cut(data: bytes, offsets: list[int]) -> list[bytes]:
    if offsets != sorted(offsets) or offsets[-1] > len(data):
        raise ValueError("The offsets of the message's parts are invalid.")
    return [data[start:stop] for start, stop in pairwise(offsets)]


def _message(
    channel: str,
    header: bytes,
    parent: bytes,
    metadata: bytes,
    content: bytes,
    buffers: list[bytes],
) -> JupyterMessage:
    # Each reply contains the header, so a long one would be sent back many times.
    if len(header) > MAX_HEADER:
        raise ValueError("The message's header is too long.")
    kind = json.loads(header)["msg_type"]
    if not isinstance(kind, str):
        raise ValueError("The message's type must be a string.")
    return JupyterMessage(channel, kind, header, parent, metadata, content, tuple(buffers))


def write(message: JupyterMessage, v1: bool) -> str | bytes:
    """Return a message for a page."""
    parts = [message.header, message.parent, message.metadata, message.content]
    if v1:
        return _join([message.channel.encode(), *parts, *message.buffers], "<", "Q", with_end=True)
    pairs = zip(NAMES, parts, strict=True)
    fields = ", ".join(f'"{name}": {part.decode()}' for name, part in pairs)
    text = f'{{"channel": "{message.channel}", "msg_type": {json.dumps(message.kind)}, {fields}}}'
    if not message.buffers:
        return text
    return _join([text.encode(), *message.buffers], "!", "I", with_end=False)


def _join(parts: list[bytes], order: str, size: str, *, with_end: bool) -> bytes:
    count = len(parts) + with_end
    at = struct.calcsize(f"{order}{size}") * (1 + count)
    offsets = []
    for part in parts:
        offsets.append(at)
        at += len(part)
    if with_end:
        offsets.append(at)
    return struct.pack(f"{order}{1 + count}{size}", count, *offsets) + b"".join(parts)
