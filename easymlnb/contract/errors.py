"""All errors of easymlnb, each with its code, HTTP status and message.

::

    EasyMLNBError
    +-- DefinitionError            the function cannot become a service (also a TypeError)
    +-- BadRequest            400  the body does not match its Content-Type
    |   +-- BundleRejected    400  the published bundle is invalid
    +-- NotLoggedIn           401
    +-- Forbidden             403
    +-- ServiceNotFound       404
    +-- BundleNotFound        404
    +-- UploadNotFound        404
    +-- RouteNotFound         404
    +-- CallNotFound          404  the caller has no running call with this id
    +-- MethodNotAllowed      405
    +-- NotAcceptable         406  the result is not available in the format of ``Accept``
    +-- StreamTooLarge        406  the stream is too long for a single response
    +-- RequestTimeout        408  the request arrived too slowly
    +-- NameTaken             409  another notebook already uses the service name
    +-- BundleInUse           409  the bundle is already deployed and cannot be canceled
    +-- NodeFull              409
    +-- VersionMismatch       409  kernel and server use different protocols
    +-- UploadOffset          409  the part does not start where the last one ended
    +-- UploadIncomplete      409  the upload is used before it is complete
    +-- TooLarge              413
    +-- UploadQuota           413  the caller's uploads exceed the quota
    +-- UnsupportedMediaType  415
    +-- InvalidInput          422  values do not match the schema; ``details`` lists the fields
    +-- IdempotencyKeyConflict 422 the idempotency key was used for a different request
    +-- CallerError           422  the service's own message to its caller
    +-- DeploymentFailed      422  the bundle could not be deployed; ``details`` has the cell
    +-- HeadTooLarge          431  the request line and headers are too long
    +-- CallFailed            500  the function raised an exception
    +-- ResultNotEncodable    500  the function's result cannot be encoded
    +-- InternalError         500
    +-- CallCancelled         503  the call was stopped on request
    +-- NotReady              503  the service is starting or failed to start
    +-- Busy                  503  the queue is full; ``Retry-After`` has the seconds to wait
    +-- TooManyConnections    503
    +-- WorkerLost            503  the kernel died during the call
    |   +-- WorkerOutOfMemory 503  the kernel exceeded its memory limit and was ended
    +-- Draining              503  the server is stopping
    +-- StorageBusy           503  the database is locked or unavailable for too long
    +-- DeadlineExceeded      504
    +-- StorageFull           507  the disk is full
    +-- CallCycle             508  services call each other in a cycle, or too deeply
    +-- StorageDamaged        500  a stored file is missing or damaged
    +-- StorageUnusable            the database cannot be used; the server does not start
    +-- ServerUnreachable          the client cannot reach a server
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from easymlnb.contract import units


class EasyMLNBError(Exception):
    """Base class of all errors with a message for people.

    ``code`` is stable and machine-readable, ``status`` is the HTTP status,
    ``details`` is optional JSON, such as the fields of a validation error or seconds to wait.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, details: Any = None, request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.request_id = request_id

    def to_dict(self, request_id: str = "") -> dict[str, Any]:
        """Return the body of the HTTP response for this error."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        error["request_id"] = request_id or self.request_id
        return {"error": error}


class DefinitionError(EasyMLNBError, TypeError):
    """The function cannot become a service; the message names the parameter and the fix."""

    code = "definition_error"


class BadRequest(EasyMLNBError):
    """The body does not match its ``Content-Type``."""

    code = "bad_request"
    status = 400


class BundleRejected(BadRequest):
    """The bundle is invalid: not a zip, without a notebook, with an unsafe path, or too large."""

    code = "bundle_rejected"


class NotLoggedIn(EasyMLNBError):
    """The credentials are missing or invalid."""

    code = "not_logged_in"
    status = 401

    def __init__(
        self, message: str = "Send a valid token: 'Authorization: token <TOKEN>'."
    ) -> None:
        super().__init__(message)


class Forbidden(EasyMLNBError):
    """The caller does not have permission."""

    code = "forbidden"
    status = 403


class ServiceNotFound(EasyMLNBError):
    """There is no service with this name."""

    code = "service_not_found"
    status = 404

    def __init__(self, name: str, now: str = "") -> None:
        """Report that the service does not exist, or the name that it has ``now``."""
        super().__init__(
            f"The service {name!r} has a new owner. Its name is now {now!r}."
            if now
            else f"There is no service named {name!r}. 'GET services' lists all services."
        )


class BundleNotFound(EasyMLNBError):
    """There is no bundle with this id."""

    code = "bundle_not_found"
    status = 404

    def __init__(self, bundle: str, what: str = "bundle") -> None:
        super().__init__(f"There is no {what} {bundle!r}.")


class UploadNotFound(EasyMLNBError):
    """The caller has no upload with this id."""

    code = "upload_not_found"
    status = 404

    def __init__(self, upload: str) -> None:
        super().__init__(
            f"You have no upload {upload[:12]!r} on this server; it may have expired. Upload the "
            "file again."
        )


class RouteNotFound(EasyMLNBError):
    """There is no route at this URL."""

    code = "not_found"
    status = 404

    def __init__(
        self, message: str = "There is no route at this URL. 'GET openapi.json' lists all routes."
    ) -> None:
        super().__init__(message)


class CallNotFound(EasyMLNBError):
    """The caller has no running call with this id."""

    code = "call_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("You have no running call with this id; it may have ended.")


class MethodNotAllowed(EasyMLNBError):
    """The route does not support this method."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, method: str) -> None:
        super().__init__(f"This route does not support the method {method}.")


class NotAcceptable(EasyMLNBError):
    """The result is not available in the format of ``Accept``."""

    code = "not_acceptable"
    status = 406

    def __init__(self, asked: str, offered: tuple[str, ...]) -> None:
        super().__init__(
            f"This result is not available as {asked!r}. Set Accept to one of: "
            f"{', '.join(offered)}.",
            details={"offered": list(offered)},
        )


class StreamTooLarge(EasyMLNBError):
    """The stream is too long for a single response."""

    code = "stream_too_large"
    status = 406

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"This stream has more than {limit // 2**20} MiB, too much for a single response. "
            "Receive its items one by one with 'Accept: application/jsonl' or 'Accept: "
            "text/event-stream'."
        )


class RequestTimeout(EasyMLNBError):
    """The request's headers or body arrived too slowly."""

    code = "request_timeout"
    status = 408


class NameTaken(EasyMLNBError):
    """Another notebook already uses the service name."""

    code = "name_taken"
    status = 409


class BundleInUse(EasyMLNBError):
    """The bundle is already deployed, so its publishing cannot be canceled."""

    code = "bundle_in_use"
    status = 409

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"This bundle is already deployed as {', '.join(names)}. To stop it, delete the "
            f"service: DELETE services/{names[0]}, or 'easymlnb remove {names[0]}'.",
            details={"services": list(names)},
        )


class NotShared(EasyMLNBError):
    """A single-user server cannot share its services."""

    code = "not_shared"
    status = 409

    def __init__(
        self,
        message: str = "This is a single-user server: only its user can call its services. To "
        "share a service, publish it to the JupyterHub's shared service.",
    ) -> None:
        super().__init__(message)


class VersionMismatch(EasyMLNBError):
    """A kernel and its server have versions of easymlnb that do not work together."""

    code = "version_mismatch"
    status = 409


class UploadOffset(EasyMLNBError):
    """The part of the upload does not start where the last one ended."""

    code = "upload_offset"
    status = 409

    def __init__(self, offset: int) -> None:
        super().__init__(
            f"The part does not continue the upload. Send the part that starts at byte {offset}.",
            details={"offset": offset},
        )


class UploadIncomplete(EasyMLNBError):
    """The call uses an upload that is not complete."""

    code = "upload_incomplete"
    status = 409

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(
            f"The upload is incomplete: {offset:,} of {size:,} bytes were sent. Send the "
            "remaining bytes first.",
            details={"offset": offset, "size": size},
        )


class NodeFull(EasyMLNBError):
    """All kernel slots of the node are in use."""

    code = "node_full"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            "All kernel slots of this node are in use. Shut down one of its kernels, or use "
            "another node."
        )


class TooLarge(EasyMLNBError):
    """The body, file or image exceeds its size limit."""

    code = "too_large"
    status = 413


class UploadQuota(EasyMLNBError):
    """The caller's uploads exceed the limit of number or total size."""

    code = "upload_quota"
    status = 413

    def __init__(self, limit: int, most: int) -> None:
        super().__init__(
            f"Your uploads exceed the limit of {most:,} uploads or {units.format_size(limit)} in "
            "total. Delete some of them, or wait until they expire."
        )


class UnsupportedMediaType(EasyMLNBError):
    """The service does not accept this ``Content-Type``."""

    code = "unsupported_media_type"
    status = 415

    def __init__(self, got: str, offered: tuple[str, ...]) -> None:
        super().__init__(
            f"The content type {got or 'unknown'!r} is not supported. Send one of: "
            f"{', '.join(offered)}.",
            details={"offered": list(offered)},
        )


class InvalidInput(EasyMLNBError):
    """Values do not match the schema; ``details``: ``[{"field": "a.0.b", "message": "..."}]``."""

    code = "invalid_input"
    status = 422

    def __init__(self, details: list[dict[str, str]]) -> None:
        said = "; ".join(f"{item['field']}: {item['message']}" for item in details[:3])
        more = f" (and {len(details) - 3} more)" if len(details) > 3 else ""
        super().__init__(f"The input is invalid. {said}{more}", details=details)


class IdempotencyKeyConflict(EasyMLNBError):
    """The idempotency key was already used for a different request."""

    code = "idempotency_key_conflict"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was already used with a different body or headers. Repeat the "
            "request unchanged, or use a new key."
        )


class CallerError(EasyMLNBError):
    """The service's own message to its caller; raise it in a service's function.

    Callers see its message. They never see the text of any other exception.
    """

    code = "caller_error"
    status = 422


class DeploymentFailed(EasyMLNBError):
    """The bundle could not be deployed.

    Shown to its author only; ``details`` may hold ``cell`` (number among the notebook's cells, from
    0), ``source`` and ``traceback``.
    """

    code = "deployment_failed"
    status = 422


class HeadTooLarge(EasyMLNBError):
    """The request line and headers are too long."""

    code = "head_too_large"
    status = 431

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request line and headers have more than {limit:,} bytes. Shorten the URL, "
            "cookies and other headers."
        )


class CallFailed(EasyMLNBError):
    """The service's function raised an exception; the traceback is only in the service's log."""

    code = "call_failed"
    status = 500

    def __init__(self, kind: str = "an error") -> None:
        super().__init__(
            f"The service's function failed ({kind}). The author can find details in the "
            "service's log under the request id."
        )


class ResultNotEncodable(EasyMLNBError):
    """The function's result cannot be encoded."""

    code = "result_not_encodable"
    status = 500


class InternalError(EasyMLNBError):
    """An internal error of the server."""

    code = "internal_error"
    status = 500

    def __init__(
        self,
        message: str = "Internal server error. Details are in the server's log under the "
        "request id.",
    ) -> None:
        super().__init__(message)


class CallCancelled(EasyMLNBError):
    """The call was stopped on request."""

    code = "cancelled"
    status = 503

    def __init__(self, message: str = "The call was stopped.") -> None:
        super().__init__(message)


class NotReady(EasyMLNBError):
    """The service is starting or failed to start."""

    code = "not_ready"
    status = 503


class Busy(EasyMLNBError):
    """The queue is full; ``details["retry_after"]`` has the seconds to wait."""

    code = "busy"
    status = 503

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(
            f"The service is busy: {waiting} calls are waiting. Try again in about "
            f"{max(1, round(retry_after))} s.",
            details={"retry_after": max(1, round(retry_after))},
        )


class TooManyConnections(EasyMLNBError):
    """The server or the caller's address reached its limit of open connections."""

    code = "too_many_connections"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "Too many open connections. Try again in a second, and reuse connections instead of "
            "opening new ones.",
            details={"retry_after": 1},
        )


class WorkerLost(EasyMLNBError):
    """The kernel died during the call; whether the call completed is unknown."""

    code = "worker_lost"
    status = 503

    def __init__(self, message: str = "The kernel that ran this call was lost. Try again.") -> None:
        super().__init__(message, details={"retryable": True})


class WorkerOutOfMemory(WorkerLost):
    """The kernel exceeded its memory limit and was ended during the call."""

    code = "worker_out_of_memory"

    def __init__(self, limit: int) -> None:
        super().__init__(
            "The kernel that ran this call was ended: it used far more memory than its limit of "
            f"{units.format_size(limit)}. Send less data at once, or ask the service's author to "
            "raise memory=."
        )
        self.details = {"retryable": False, "limit": limit}


class Draining(EasyMLNBError):
    """The server is stopping."""

    code = "draining"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "The server is stopping. Try again in a moment.", details={"retry_after": 5}
        )


class DeadlineExceeded(EasyMLNBError):
    """The call exceeded its timeout and was stopped."""

    code = "deadline_exceeded"
    status = 504

    def __init__(self, seconds: float) -> None:
        shown = units.format_seconds(seconds)
        super().__init__(f"The call was stopped: it exceeded its timeout of {shown}.")


class StorageBusy(EasyMLNBError):
    """The database is locked or unavailable for too long; nothing was changed."""

    code = "storage_busy"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "The server's database does not respond. Try again in a moment.",
            details={"retry_after": 5},
        )


class StorageFull(EasyMLNBError):
    """The disk with the database or the files is full; nothing was changed."""

    code = "storage_full"
    status = 507

    def __init__(self, message: str = "The server's disk is full; nothing was stored.") -> None:
        super().__init__(message)


class CallCycle(EasyMLNBError):
    """Services call each other in a cycle, or the chain of calls is too long."""

    code = "call_cycle"
    status = 508

    def __init__(self, chain: Sequence[str]) -> None:
        super().__init__(
            f"These services call each other in a cycle: {' -> '.join(chain)}. Call the function "
            "directly, or move the shared code to a third notebook."
        )


class StorageDamaged(EasyMLNBError):
    """A stored file is missing or damaged."""

    code = "storage_damaged"

    def __init__(self, sha: str) -> None:
        super().__init__(
            f"The stored file {sha[:12]} is missing or damaged. "
            "Restore it from a backup, or publish the notebook again."
        )


class StorageUnusable(EasyMLNBError):
    """The database cannot be used; the message gives the reason and the fix."""

    code = "storage_unusable"


class ServerUnreachable(EasyMLNBError):
    """The client cannot reach a server."""

    code = "server_unreachable"


def _tree(root: type[EasyMLNBError]) -> dict[str, type[EasyMLNBError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


BY_CODE = _tree(EasyMLNBError)


def from_code(code: str, message: str, details: Any = None, request_id: str = "") -> EasyMLNBError:
    """Rebuild an error from its JSON fields; an unknown code becomes the base class."""
    kind = BY_CODE.get(code, EasyMLNBError)
    error = kind.__new__(kind)
    EasyMLNBError.__init__(error, message, details=details, request_id=request_id)
    return error
