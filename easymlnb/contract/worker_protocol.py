"""What server and worker say to each other, and how it is framed.

One WebSocket message holds one or more frames, back to back. A frame is::

    header length  u32, little endian
    body length    u32, little endian
    header         msgpack of one message below
    body           raw bytes, never looked at here

Bodies are request and result bytes exactly as they came or go over HTTP, so arrays and images
pass as they are and nothing is ever pickled.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from easymlnb._version import PROTOCOL, __version__
from easymlnb.contract.message import Message as Message
from easymlnb.contract.service_call_protocol import (
    CallService,
    CancelServiceCall,
    DescribeService,
    ServiceCallError,
    ServiceResult,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.texts import all_sendable

LENGTHS = struct.Struct("<II")


# worker -> server


class Hello(Message):
    """First frame of a link: who dials.

    ``kernel`` is the id of the Jupyter kernel, ``source`` its notebook, ``live`` tells an author's
    kernel from a worker.
    """

    kernel: str
    source: str
    live: bool = False


class Register(Message):
    """This kernel answers these services.

    The server replies with ``Registered``, and with a ``RegistrationRefused`` for each it refuses.
    """

    specs: tuple[ServiceSpec, ...]


class Unregister(Message):
    """These services are no longer answered here."""

    names: tuple[str, ...]


class SharedFilesystem(Message):
    """The kernel reads the server's files: ``proof`` is what it found at ``Welcome.probe``."""

    proof: bytes


class Result(Message):
    """The call's one good answer: the body of the response. ``log`` is what it printed.

    ``file`` names the file in the call's ``room`` that holds the body; then the frame has none.
    """

    id: int
    content_type: str
    seconds: float = 0.0
    filename: str = ""
    log: str = ""
    file: str = ""


class Failure(Message):
    """The call's one bad answer. ``trace`` is for the author's log and never reaches a caller."""

    id: int
    code: str
    message: str
    details: Any = None
    seconds: float = 0.0
    log: str = ""
    trace: str = ""


class Progress(Message):
    """How far a call is: ``fraction`` in 0..1, or negative when unknown."""

    id: int
    fraction: float
    text: str = ""


class Item(Message):
    """One element of a stream: the frame's body is its JSON. A ``Result`` ends the stream."""

    id: int


class NotStarted(Message):
    """The answer to a ``Recall``: the worker has not begun that call, and will not."""

    id: int


# server -> worker


class Welcome(Message):
    """The link is open. A kernel that can read ``probe`` replies with ``SharedFilesystem``."""

    probe: str = ""


class RegistrationRefused(Message):
    """The offer of one service was refused; ``message`` says why and what to do."""

    name: str
    message: str


class Registered(Message):
    """The offered services of these names are now answered here."""

    names: tuple[str, ...]


class Call(Message):
    """Run a service on the frame's body. ``seconds`` is what is left of its deadline.

    ``view`` asks for what a person should see (``contract.spec.VIEW``) instead of the raw result.
    Calls that follow one another with the same ``batch``, which is not 0, are run together.

    ``file`` is the path of a large body, which then is not in the frame, ``room`` the folder that
    takes a large result. ``uploads`` are files sent before: id, path and size of each; without a
    path its bytes stand behind the body, in this order.
    """

    id: int
    service: str
    content_type: str = "application/json"
    accept: str = ""
    seconds: float = 30.0
    request_id: str = ""
    view: bool = False
    progress: bool = False
    batch: int = 0
    file: str = ""
    room: str = ""
    uploads: tuple[tuple[str, str, int], ...] = ()


class Cancel(Message):
    """Stop that call; the worker answers it with a ``Failure`` as for every call."""

    id: int


class Recall(Message):
    """Give that call back with ``NotStarted``, unless it has begun: then nothing happens."""

    id: int


class StreamAck(Message):
    """The reader of that stream has taken so many more bytes of its items."""

    id: int
    size: int


class Drain(Message):
    """Finish what runs, then end."""


class ReconnectGrant(Message):
    """Should this link be lost, dial again with this secret, for so many seconds; then end."""

    secret: str
    seconds: float


VERSION_HEADER = "X-Easymlnb-Version"
PROTOCOL_HEADER = "X-Easymlnb-Protocol"


def version_headers() -> dict[str, str]:
    """Return the headers by which a kernel that dials says which easymlnb it has."""
    return {VERSION_HEADER: __version__, PROTOCOL_HEADER: str(PROTOCOL)}


ToServer = (
    Hello
    | Register
    | Unregister
    | SharedFilesystem
    | Result
    | Failure
    | Progress
    | Item
    | NotStarted
    | CallService
    | CancelServiceCall
    | DescribeService
)
ToWorker = (
    Welcome
    | RegistrationRefused
    | Registered
    | Call
    | Cancel
    | Recall
    | StreamAck
    | ServiceResult
    | ServiceCallError
    | Drain
    | ReconnectGrant
)

WINDOW = 256 * 1024
"""Bytes of a stream that may be in flight; then its generator waits for a ``StreamAck``.
The last item may exceed the limit."""

LARGE = 2**20
"""Bytes from which a body between a server and a kernel on one host goes through a file."""

_encode = msgspec.msgpack.Encoder().encode
_decode_to_server: Callable[[bytes], ToServer] = msgspec.msgpack.Decoder(ToServer).decode
_decode_to_worker: Callable[[bytes], ToWorker] = msgspec.msgpack.Decoder(ToWorker).decode


def pack(message: Message, body: bytes = b"") -> bytes:
    """Return one frame; text that no wire takes is escaped in it."""
    try:
        header = _encode(message)
    except UnicodeEncodeError:
        header = _encode(all_sendable(msgspec.to_builtins(message)))
    return LENGTHS.pack(len(header), len(body)) + header + body


def _frames(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at, end = 0, len(data)
    while at < end:
        if end - at < LENGTHS.size:
            raise ValueError("The frame is truncated in its header.")
        header, body = LENGTHS.unpack_from(data, at)
        at += LENGTHS.size
        if end - at < header + body:
            raise ValueError("The frame is truncated.")
        yield data[at : at + header], data[at + header : at + header + body]
        at += header + body


def batch_of(frame: tuple[ToWorker, bytes]) -> int:
    """Return the batch that a frame belongs to, 0 when it stands alone."""
    return frame[0].batch if isinstance(frame[0], Call) else 0


def unpack_to_server(data: bytes) -> Iterator[tuple[ToServer, bytes]]:
    """Yield ``(message, body)`` of what a worker sent; raises ``ValueError`` on anything else."""
    for header, body in _frames(data):
        yield _decode_to_server(header), body


def unpack_to_worker(data: bytes) -> Iterator[tuple[ToWorker, bytes]]:
    """Yield ``(message, body)`` of what the server sent; raises ``ValueError`` on anything else."""
    for header, body in _frames(data):
        yield _decode_to_worker(header), body
