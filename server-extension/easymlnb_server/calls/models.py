"""What a call is, from any entry point, before a version is chosen to answer it."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from random import random
from typing import Protocol

import msgspec

from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallResult, Chain
from easymlnb_server.identity.access import Caller
from easymlnb_server.services.models import Target

MIN_TIMEOUT = 0.001
"""Minimum timeout of a call in seconds."""

MAX_STREAM = 8 * 2**20
"""Bytes of a stream's items that are kept until the call ends, to record or flag it."""

ITEM_BYTES = 64
"""Bytes of memory that an item takes in addition to its content."""


class Entry(StrEnum):
    """How a call came in."""

    HTTP = "http"
    JOB = "job"
    MCP = "mcp"
    BROKER = "broker"
    OIP = "oip"


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a service.

    Attributes
    ----------
    service
        The service's name; on a shared server with its owner.
    body
        The arguments as they were sent, and their ``content_type``.
    caller
        Who calls; ``None`` is a visitor without a login.
    owner
        The key of the caller's calls: only their owner and administrators may cancel them.
    request_id
        Identifies the call in logs, traces and ``DELETE calls/{request_id}``.
    received, began
        When the headers and the whole request had arrived, in seconds of ``time.monotonic``.
    accept
        The media type of the result that the caller wants; empty for the service's own.
    headers
        The request's headers, of which traces read their context.
    live
        Call the author's notebook even if the service is published.
    published_only
        Do not call a notebook that is not published.
    view
        Return what a person should see in place of the result.
    progress
        Have the worker report its progress.
    low_priority
        Let interactive calls go first.
    timeout
        Seconds that the caller gives the call; the service's own limit if that is shorter.
    deadline
        When the caller stops waiting, in seconds of ``time.monotonic``.
    keep
        Whether the call may be recorded, or flagged; false for calls that the server makes itself.
    chain
        Returns the calls that wait for this one, which must not wait for one another.
    entry
        How the call came in.
    version
        The number or alias of the version that must answer; empty to let traffic decide.
    point
        A random number from 0 to 1 that decides among versions.
    is_shadow
        Whether the call is a copy, whose answer nobody receives.
    operation
        What a batch asks of the worker in place of a run of the function, see
        ``contract.batch_protocol``; empty for a plain call.
    may_become_job
        Whether the call continues as a job when it takes long, so that the service's own limit does
        not end it.
    """

    service: str
    body: Body
    content_type: str
    caller: Caller | None
    owner: str
    request_id: str
    received: float
    began: float
    accept: str = ""
    headers: Mapping[str, str] = {}
    live: bool = False
    published_only: bool = False
    view: bool = False
    progress: bool = False
    low_priority: bool = False
    timeout: float = float("inf")
    deadline: float = float("inf")
    keep: bool = True
    chain: Callable[[Target], Chain] | None = None
    entry: Entry = Entry.HTTP
    version: str = ""
    point: float = msgspec.field(default_factory=random)
    is_shadow: bool = False
    operation: str = ""
    may_become_job: bool = False


class StreamedItems:
    """The items of a stream that may be kept.

    Attributes
    ----------
    size
        Bytes of all items, also of those that are too many.
    """

    __slots__ = ("_bodies", "size")

    def __init__(self) -> None:
        self.size = 0
        self._bodies: list[bytes] = []

    def add(self, body: bytes) -> None:
        """Take one item, unless the stream is too large."""
        self.size += len(body) + ITEM_BYTES
        if self.size <= MAX_STREAM:
            self._bodies.append(body)
        else:
            self._bodies.clear()

    @property
    def too_large(self) -> bool:
        """Whether the items are no longer here."""
        return self.size > MAX_STREAM

    def joined(self) -> bytes:
        """Return the items as a JSON array."""
        return b"[" + b",".join(self._bodies) + b"]"


class CallKeeper(Protocol):
    """Keeps calls with their inputs and results, as their services allow."""

    def offer(
        self,
        request: CallRequest,
        target: Target,
        result: CallResult,
        items: StreamedItems | None = None,
    ) -> None:
        """Take a call that has just ended; it must not raise, and must not wait.

        ``items`` are those of a stream.
        """


class EventSink(Protocol):
    """Receives what a call sends before its result."""

    def on_accepted(self, target: Target) -> None:
        """Note that a version accepted the call; called again if another version took over."""

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Take progress, or an item of a stream."""
