"""Messages of the Model Context Protocol, and the revisions that are spoken."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from easymlnb._version import __version__

CURRENT: Final = "2026-07-28"
"""The revision without a handshake: each request names its version and capabilities."""

HANDSHAKE: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The revisions that begin with ``initialize``, newest first."""

SUPPORTED: Final = (CURRENT, *HANDSHAKE)

WITHOUT_HEADER: Final = "2025-03-26"
"""The revision of requests that name none: the header came with the one after it."""

TASKS: Final = "io.modelcontextprotocol/tasks"
"""The extension with which a call can become a task that is polled."""

TTL_MS: Final = 5000
"""Milliseconds for which clients may cache lists."""

SERVER: Final = {"name": "easymlnb", "title": "easymlnb", "version": __version__}
INSTRUCTIONS: Final = (
    "Each tool is a function that somebody published from a notebook. Results with pictures or "
    "files have them as content; larger ones are links to resources, which are kept for an hour. "
    "Tools that end in _start return a job at once: ask job_status for its result."
)

Id = int | float | str


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What ``_meta`` of a request says about its client."""

    version: str = msgspec.field(name="io.modelcontextprotocol/protocolVersion", default="")
    capabilities: dict[str, Any] | None = msgspec.field(
        name="io.modelcontextprotocol/clientCapabilities", default=None
    )
    progress_token: Id | None = msgspec.field(name="progressToken", default=None)


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of every method that is supported; each uses a few."""

    meta: Meta = msgspec.field(name="_meta", default=Meta())
    name: str = ""
    uri: str = ""
    arguments: Raw = Raw(b"")
    version: str = msgspec.field(name="protocolVersion", default="")
    request_id: Id = msgspec.field(name="requestId", default="")
    task: str = msgspec.field(name="taskId", default="")


class RpcMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A request, or a notification if it has no ``id``."""

    method: str = ""
    jsonrpc: str = ""
    id: Id | UnsetType = UNSET
    params: Params = Params()
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET

    @property
    def is_answer(self) -> bool:
        """Whether the client answers a request of the server, of which there are none."""
        return not self.method and (self.result is not UNSET or self.error is not UNSET)


@dataclass(frozen=True, slots=True)
class Revision:
    """What a client understands.

    - ``current``: it speaks the revision without a handshake
    - ``structured``: results may have ``structuredContent``
    - ``tasks``: it announced the extension for tasks
    """

    version: str
    tasks: bool = False

    @property
    def current(self) -> bool:
        return self.version == CURRENT

    @property
    def structured(self) -> bool:
        return self.version >= "2025-06-18"


@dataclass(frozen=True, slots=True)
class ToolSelection:
    """The tools that a URL offers: of one ``service``, or of those named in ``only``."""

    service: str = ""
    only: frozenset[str] = frozenset()


def completed(result: dict[str, Any], revision: Revision) -> dict[str, Any]:
    """Return a result with all that the revision requires."""
    if not revision.current:
        return result
    about = {"io.modelcontextprotocol/serverInfo": SERVER, **result.get("_meta", {})}
    return {"resultType": "complete", **result, "_meta": about}


def response(id: Id | None, result: Any) -> bytes:
    """Return the message with the result of a request."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "result": result})


def notification(method: str, params: dict[str, Any]) -> bytes:
    """Return a message that expects no answer."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params})
