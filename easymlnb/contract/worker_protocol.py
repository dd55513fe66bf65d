"""Messages between the server and a worker, and their frames.

A WebSocket message contains one or more frames. A frame is::

    header length  u32, little endian
    body length    u32, little endian
    header         msgpack of one message below
    body           raw bytes

Bodies are the bytes of HTTP requests and responses, unchanged: arrays and images are not copied
into another encoding, and nothing is pickled.
"""

import struct
from collections.abc import Callable, Iterator

import msgspec

from easymlnb._version import PROTOCOL, __version__
from easymlnb.contract.job_protocol import (
    CheckpointPart,
    JobAdopted,
    JobCheckpoints,
    JobDropped,
    JobFile,
    JobFilePart,
    JobFileStored,
    JobMetric,
    JobOutput,
    JobPartStored,
    JobPromoted,
    JobStored,
    Leaving,
    ReadCheckpoint,
    RunningJob,
)
from easymlnb.contract.message import ErrorMessage, ResultMessage, encode
from easymlnb.contract.message import Message as Message
from easymlnb.contract.model_protocol import (
    GetModelAccess,
    ModelLoaded,
    ModelMoved,
    ModelReady,
    ModelsInUse,
    ModelSwap,
)
from easymlnb.contract.service_call_protocol import (
    CallService,
    CancelServiceCall,
    DescribeService,
    ServiceCallError,
    ServiceResult,
)
from easymlnb.contract.spec import ServiceSpec

LENGTHS = struct.Struct("<II")


# worker -> server


class Hello(Message):
    """The first message of a link.

    ``kernel`` is the id of the Jupyter kernel, ``source`` its notebook. ``live`` distinguishes an
    author's kernel from a worker. ``runs`` are the jobs of a worker that connects again.
    """

    kernel: str
    source: str
    live: bool = False
    runs: tuple[RunningJob, ...] = ()


class Register(Message):
    """Register services that this kernel runs.

    The server replies with ``Registered``, and with a ``RegistrationRefused`` for each service that
    it refuses.
    """

    specs: tuple[ServiceSpec, ...]


class Unregister(Message):
    """Unregister services of this kernel."""

    names: tuple[str, ...]


class SharedFilesystem(Message):
    """Report that the kernel can read the server's files: ``proof`` is from ``Welcome.probe``."""

    proof: bytes


class Result(ResultMessage):
    """The result of a call. The frame's body is that of the response; ``log`` is what it printed.

    ``file`` is a file in ``Call.result_folder``, ``models`` are the models that the call used and
    their versions.
    """

    seconds: float = 0.0
    log: str = ""
    models: tuple[tuple[str, int], ...] = ()


class Failure(ErrorMessage):
    """The error of a call. ``trace`` is for the author's log and never reaches a caller."""

    seconds: float = 0.0
    log: str = ""
    trace: str = ""
    models: tuple[tuple[str, int], ...] = ()


class Progress(Message):
    """The progress of a call: ``fraction`` is from 0 to 1, or negative if unknown."""

    id: int
    fraction: float
    text: str = ""


class Item(Message):
    """One item of a stream; the frame's body is its JSON. A ``Result`` ends the stream.

    ``models`` are those that the call has used so far, if that has changed.
    """

    id: int
    models: tuple[tuple[str, int], ...] = ()


class NotStarted(Message):
    """The answer to a ``Recall``: the worker has not started the call and drops it."""

    id: int


class GetCredential(Message):
    """Ask for a credential of an author's services; ``ServiceResult`` has it as JSON.

    ``service`` is the service that has it, ``calling`` the one whose call asks; each can be empty.
    Workers never ask: they are sent ``Credentials``.
    """

    id: int
    name: str
    service: str = ""
    calling: str = ""


# server -> worker


class Welcome(Message):
    """The link is open. A kernel that can read ``probe`` replies with ``SharedFilesystem``."""

    probe: str = ""


class RegistrationRefused(Message):
    """The server refused to register a service; ``message`` has the reason and the fix."""

    name: str
    message: str


class Registered(Message):
    """The server registered these services."""

    names: tuple[str, ...]


class Call(Message):
    """Run a service on the frame's body.

    ``seconds`` is the time left until the deadline. ``view`` requests a view of the result
    (``contract.spec.VIEW``) instead of the result. Consecutive calls with the same nonzero
    ``batch`` run together.

    ``file`` is the path of a large body, which is then not in the frame; ``result_folder`` is the
    folder for a large result. ``uploads`` are files sent before the call: id, path and size. The
    bytes of those without a path follow the body, in this order. ``job`` and ``attempt`` are set if
    the call is a job.
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
    result_folder: str = ""
    uploads: tuple[tuple[str, str, int], ...] = ()
    job: str = ""
    attempt: int = 0


class Cancel(Message):
    """Stop a call; the worker answers with a ``Failure``."""

    id: int


class Recall(Message):
    """Return a call with ``NotStarted``; ignored if the call has started."""

    id: int


class StreamAck(Message):
    """The reader of a stream received ``size`` more bytes of its items."""

    id: int
    size: int


class Credentials(Message):
    """All credentials of the worker's services, by service and name; again after each change.

    A value is ``None`` if the server cannot decrypt it.
    """

    values: dict[str, dict[str, str | None]]


class Drain(Message):
    """Finish the running calls, then exit."""


class ReconnectGrant(Message):
    """If the link is lost, reconnect with ``secret`` within ``seconds``, then exit."""

    secret: str
    seconds: float


VERSION_HEADER = "X-Easymlnb-Version"
PROTOCOL_HEADER = "X-Easymlnb-Protocol"


def version_headers() -> dict[str, str]:
    """Return the headers with the version of easymlnb in this kernel."""
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
    | GetCredential
    | JobOutput
    | JobMetric
    | JobFile
    | JobFilePart
    | ReadCheckpoint
    | GetModelAccess
    | ModelsInUse
    | ModelLoaded
    | ModelReady
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
    | Credentials
    | JobCheckpoints
    | CheckpointPart
    | JobAdopted
    | JobPartStored
    | JobFileStored
    | JobPromoted
    | JobStored
    | JobDropped
    | Leaving
    | ModelMoved
    | ModelSwap
)

WINDOW = 256 * 1024
"""Bytes of a stream that may be in flight before its generator waits for a ``StreamAck``.
The last item may exceed the limit."""

LARGE = 2**20
"""Bytes from which a body is passed as a file between a server and a kernel on one host."""

_decode_to_server: Callable[[bytes], ToServer] = msgspec.msgpack.Decoder(ToServer).decode
_decode_to_worker: Callable[[bytes], ToWorker] = msgspec.msgpack.Decoder(ToWorker).decode


def pack(message: Message, body: bytes = b"") -> bytes:
    """Return one frame."""
    header = encode(message)
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
    """Return the batch of a frame, 0 if it belongs to none."""
    return frame[0].batch if isinstance(frame[0], Call) else 0


def unpack_to_server(data: bytes) -> Iterator[tuple[ToServer, bytes]]:
    """Yield the messages and bodies from a worker; raises ``ValueError`` for invalid data."""
    for header, body in _frames(data):
        yield _decode_to_server(header), body


def unpack_to_worker(data: bytes) -> Iterator[tuple[ToWorker, bytes]]:
    """Yield the messages and bodies from the server; raises ``ValueError`` for invalid data."""
    for header, body in _frames(data):
        yield _decode_to_worker(header), body
