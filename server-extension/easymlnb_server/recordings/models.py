"""Recorded calls as data: their files, and what requests and responses contain."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

MAX_CALL = 32 * 2**20
"""Bytes of the inputs and the result of a call that is kept, together."""

MAX_REASON = 2000
MAX_PREVIEW = 300
"""Characters of the inputs that lists show."""

KINDS = ("recorded", "flagged")

Kind = Literal["recorded", "flagged"]
Source = Literal["server", "caller"]


class StoredCall(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a recorded call.

    Attributes
    ----------
    id
        The id of its row. No two files have the same content, so each can be deleted on its own.
    input, input_type
        The body of the request, and its content type.
    uploads
        The uploads that the body refers to: id and content.
    result, result_type
        The body of the response; of a stream the JSON array of its items. Empty for another call
        that failed.
    removed
        Parameters whose values were removed because they are secret.
    models
        The models that the call used, such as ``forest=4``.
    """

    id: str
    input: bytes
    input_type: str
    uploads: tuple[tuple[str, bytes], ...] = ()
    result: bytes = b""
    result_type: str = ""
    removed: tuple[str, ...] = ()
    models: str = ""

    @property
    def size(self) -> int:
        """Bytes of the inputs and the result."""
        return len(self.input) + len(self.result) + sum(len(content) for _, content in self.uploads)

    def encode(self) -> bytes:
        """Return the content of the file."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "StoredCall":
        """Read the content of a file."""
        return msgspec.msgpack.decode(data, type=cls)


Reason = Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]


class FlagRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call to keep, and why.

    ``request_id`` names a call that was answered in the last minutes by `view`, or that was
    recorded. Any other call comes with its ``input`` and ``result``.
    """

    reason: Reason
    request_id: Annotated[str, Meta(max_length=64)] = ""
    input: dict[str, Any] | UnsetType = UNSET
    result: Any = UNSET
    version: Annotated[str, Meta(max_length=16, pattern="^([0-9]+|live)$")] | UnsetType = UNSET


class RecordSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is kept."""

    id: str
    kind: Kind
    time: str
    version: Annotated[str, Meta(description="A number, or `live`.")]
    request_id: str
    caller: Annotated[str, Meta(description="A user, or `visitor` and a hash.")]
    reason: Annotated[str, Meta(description="Why it was flagged; empty for a recorded call.")]
    source: Annotated[
        Source,
        Meta(
            description="`caller` if inputs and result are only what the caller sent with a flag."
        ),
    ]
    status: int
    code: Annotated[str, Meta(description="The code of its error; empty for none.")]
    seconds: float
    size: Annotated[int, Meta(ge=0, description="Bytes of inputs and result.")]
    inputs: Annotated[str, Meta(description="The start of the inputs.")]
    expires: Annotated[str | None, Meta(description="When it is deleted; null for never.")]


class RecordList(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that are kept, newest first."""

    records: list[RecordSummary]
    total: Annotated[int, Meta(ge=0)]
    next: Annotated[int | None, Meta(description="`start` of the next page, or null.")]
    dropped: Annotated[
        dict[str, int],
        Meta(description="Calls that were not recorded since the server started, by reason."),
    ]


class RecordContent(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is kept, with its inputs and result."""

    record: RecordSummary
    input: Annotated[
        dict[str, Any] | None,
        Meta(description="The parameters as JSON; null if the body cannot be shown as JSON."),
    ]
    input_type: str
    result: Annotated[Any, Meta(description="As JSON; a file as `{b64, media_type}`.")]
    result_type: str
    removed: Annotated[list[str], Meta(description="Secret parameters, which are not kept.")]
    models: Annotated[str, Meta(description="The models that it used, such as `forest=4`.")]


class Flagged(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was flagged."""

    id: str
    service: str
    request_id: str
    version: str


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls were deleted."""

    removed: Annotated[int, Meta(ge=0)]
