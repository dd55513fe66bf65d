"""Errors in the form of JSON-RPC, and errors that a model may mend."""

from typing import Any

from easymlnb.contract.errors import EasyMLNBError, InternalError, from_code
from easymlnb_server.protocols.mcp.models import SUPPORTED, Id

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
RESOURCE_NOT_FOUND = -32002
"""Of the revisions with a handshake; later ones use ``INVALID_PARAMS``."""
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022

# Our own, from the range that the protocol leaves to servers. Clients use -32000 and -32001 for
# their own purposes.
UNAVAILABLE = -32010
"""Try again later; ``data.details.retry_after`` may have the seconds."""
REFUSED = -32011
"""The credentials are missing or do not allow this."""

FOR_MODELS = frozenset(
    (
        *("bad_request", "call_cycle", "call_failed", "caller_error", "deadline_exceeded"),
        *("invalid_input", "job_ended", "not_acceptable", "result_not_encodable", "storage_full"),
        *("stream_too_large", "too_large", "unsupported_media_type", "upload_incomplete"),
        *("upload_not_found", "upload_quota", "worker_lost", "worker_out_of_memory"),
    )
)
"""Codes of errors that are results of a tool: a model can read them and try something else."""

_UNAVAILABLE = frozenset((429, 503, 507))


class RpcError(Exception):
    """An error of the protocol.

    - ``status``: the status of the HTTP response
    - ``id``: that of the request, if it is known although the message is invalid
    """

    def __init__(self, code: int, message: str, data: Any = None, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = status
        self.id: Id | None = None

    def to_dict(self, id: Id | None) -> dict[str, Any]:
        """Return the message with this error as the answer to a request."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "id": id, "error": error}


def is_for_models(error: EasyMLNBError) -> bool:
    """Return whether a failed call is a result, with ``isError``, and no error of the protocol."""
    return error.code in FOR_MODELS


def from_error(error: EasyMLNBError, request_id: str = "") -> RpcError:
    """Return one of our errors as an error of the protocol."""
    data = error.to_dict(request_id)["error"]
    del data["message"]
    return RpcError(_code(error), error.message, data)


def _code(error: EasyMLNBError) -> int:
    if error.status in (401, 403):
        return REFUSED
    if error.status in _UNAVAILABLE:
        return UNAVAILABLE
    if error.status == 405:
        return METHOD_NOT_FOUND
    return INVALID_PARAMS if error.status < 500 else INTERNAL_ERROR


def unsupported_version(asked: str) -> RpcError:
    """Return the error of a request in a revision that is not spoken here."""
    data = {"supported": list(SUPPORTED), "requested": asked}
    text = f"The protocol version {asked[:40]!r} is not supported. Use one of data.supported."
    return RpcError(UNSUPPORTED_VERSION, text, data, 400)


def unknown_tool(name: str) -> RpcError:
    """Return the error of a call of a tool that the caller cannot see."""
    return RpcError(INVALID_PARAMS, f"There is no tool {name[:140]!r}. tools/list lists all tools.")


def unknown_method(method: str, *, current: bool) -> RpcError:
    """Return the error of a request with a method that is not supported."""
    text = f"The method {method[:80]!r} is not supported."
    return RpcError(METHOD_NOT_FOUND, text, status=404 if current else 200)


def from_stored(error: dict[str, Any] | None, request_id: str) -> EasyMLNBError:
    """Return the error of a job as it was stored."""
    found = error or InternalError().to_dict()["error"]
    return from_code(found["code"], found["message"], found.get("details"), request_id)
