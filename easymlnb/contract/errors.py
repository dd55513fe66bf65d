"""Every error of easymlnb: its code, its HTTP status and its one sentence.

::

    EasyMLNBError
    +-- DefinitionError            a function cannot become a service (also a TypeError)
    +-- BadRequest            400  the body is not what its Content-Type says
    |   +-- BundleRejected    400  a published bundle is unusable as it came
    +-- NotLoggedIn           401
    +-- Forbidden             403
    +-- ServiceNotFound       404
    +-- BundleNotFound        404
    +-- UploadNotFound        404
    +-- RouteNotFound         404
    +-- CallNotFound          404  no call of yours has that id, or not any more
    +-- MethodNotAllowed      405
    +-- NotAcceptable         406  the result cannot be written as ``Accept`` asks
    +-- StreamTooLarge        406  a stream is too long to be collected into one answer
    +-- RequestTimeout        408  the request arrived too slowly
    +-- NameTaken             409  another notebook already serves that name
    +-- BundleServes          409  what serves already cannot be called off
    +-- NoSeat                409
    +-- VersionMismatch       409  kernel and server do not speak the same protocol
    +-- UploadOffset          409  a part of an upload that does not continue what is there
    +-- UploadIncomplete      409  an upload is used before all of it was sent
    +-- TooLarge              413
    +-- UploadQuota           413  the uploads of one caller take too much together
    +-- UnsupportedMediaType  415
    +-- InvalidInput          422  values that break the schema; ``details`` names each field
    +-- KeyReused             422  an idempotency key came again with another request
    +-- CallerError           422  what a service's function says to its caller
    +-- DeploymentFailed      422  a bundle could not be brought to serve; ``details`` has the cell
    +-- HeadTooLarge          431  the request's line and headers are too long
    +-- CallFailed            500  the function raised
    +-- ResultNotEncodable    500  the function returned what cannot be sent
    +-- InternalError         500
    +-- CallCancelled         503  stopped on request
    +-- NotReady              503  the service is starting, or could not start
    +-- Busy                  503  the queue is full; ``Retry-After`` says when to come back
    +-- TooManyConnections    503
    +-- WorkerLost            503  the kernel died under the call
    |   +-- WorkerOutOfMemory 503  it was ended, for it took far more memory than it may
    +-- Draining              503  the server is stopping
    +-- StorageBusy           503  the database is locked or away for too long
    +-- DeadlineExceeded      504
    +-- StorageFull           507  the disk is full
    +-- CallCycle             508  services call each other in a circle, or too deep
    +-- StorageDamaged        500  a stored file is missing or is not what was stored
    +-- StorageUnusable            the database cannot be used; the server does not start with it
    +-- ServerUnreachable          the client found no server, or lost it
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from easymlnb.contract import units


class EasyMLNBError(Exception):
    """Root of all errors that are meant for people.

    ``code`` is stable and machine-readable, ``status`` the HTTP status it travels under,
    ``details`` optional JSON with more (fields of a validation error, seconds to wait).
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, details: Any = None, request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.request_id = request_id

    def to_dict(self, request_id: str = "") -> dict[str, Any]:
        """Return the body that carries this error over HTTP."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        error["request_id"] = request_id or self.request_id
        return {"error": error}


class DefinitionError(EasyMLNBError, TypeError):
    """A function cannot become a service; the message names the parameter and the fix."""

    code = "definition_error"


class BadRequest(EasyMLNBError):
    """The body is not what its ``Content-Type`` says."""

    code = "bad_request"
    status = 400


class BundleRejected(BadRequest):
    """A bundle is unusable as it came: not a zip, no notebook, a path that leaves it, too large."""

    code = "bundle_rejected"


class NotLoggedIn(EasyMLNBError):
    """No credentials, or wrong ones."""

    code = "not_logged_in"
    status = 401

    def __init__(
        self, message: str = "Send a valid token: 'Authorization: token <TOKEN>'."
    ) -> None:
        super().__init__(message)


class Forbidden(EasyMLNBError):
    """Known, but not allowed."""

    code = "forbidden"
    status = 403


class ServiceNotFound(EasyMLNBError):
    """No service has that name."""

    code = "service_not_found"
    status = 404

    def __init__(self, name: str, now: str = "") -> None:
        """Say that there is none, or under which name it is found ``now``."""
        super().__init__(
            f"The service {name!r} has another owner and is {now!r} now."
            if now
            else f"There is no service named {name!r}. 'GET services' lists those there are."
        )


class BundleNotFound(EasyMLNBError):
    """No bundle has that id."""

    code = "bundle_not_found"
    status = 404

    def __init__(self, bundle: str) -> None:
        super().__init__(f"There is no bundle {bundle!r}.")


class UploadNotFound(EasyMLNBError):
    """There is no such upload, or none of this caller's."""

    code = "upload_not_found"
    status = 404

    def __init__(self, upload: str) -> None:
        super().__init__(
            f"There is no upload {upload[:12]!r} of yours here; it may have expired. Send it again."
        )


class RouteNotFound(EasyMLNBError):
    """Nothing answers at that URL."""

    code = "not_found"
    status = 404

    def __init__(
        self, message: str = "There is no such route. 'GET openapi.json' lists the routes."
    ) -> None:
        super().__init__(message)


class CallNotFound(EasyMLNBError):
    """No call of this caller has that id, or it has ended."""

    code = "call_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("No call of yours with this id is under way; it may have ended.")


class MethodNotAllowed(EasyMLNBError):
    """The route exists, the method does not."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is not allowed here.")


class NotAcceptable(EasyMLNBError):
    """The result cannot be written as ``Accept`` asks."""

    code = "not_acceptable"
    status = 406

    def __init__(self, asked: str, offered: tuple[str, ...]) -> None:
        super().__init__(
            f"This result cannot be sent as {asked!r}; ask for one of: {', '.join(offered)}.",
            details={"offered": list(offered)},
        )


class StreamTooLarge(EasyMLNBError):
    """A stream was to be collected into one answer, and is too long for that."""

    code = "stream_too_large"
    status = 406

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"This stream takes more than {limit // 2**20} MiB as one answer. Ask for its items "
            "as they come, with 'Accept: application/jsonl' or 'Accept: text/event-stream'."
        )


class RequestTimeout(EasyMLNBError):
    """The headers or the body of a request arrived too slowly."""

    code = "request_timeout"
    status = 408


class NameTaken(EasyMLNBError):
    """Another notebook already serves that name."""

    code = "name_taken"
    status = 409


class BundleServes(EasyMLNBError):
    """A bundle is to be called off that serves already."""

    code = "bundle_serves"
    status = 409

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"This bundle serves already: {', '.join(names)}. To end that, delete the service: "
            f"DELETE services/{names[0]}, or 'easymlnb remove {names[0]}'.",
            details={"services": list(names)},
        )


class NotShared(EasyMLNBError):
    """This server is one user's own, where nobody else is let in."""

    code = "not_shared"
    status = 409

    def __init__(
        self,
        message: str = "This server is its user's own, and nobody else can call its services. "
        "Publish to the shared service of the JupyterHub to let others in.",
    ) -> None:
        super().__init__(message)


class VersionMismatch(EasyMLNBError):
    """A kernel and its server have versions of easymlnb that do not work together."""

    code = "version_mismatch"
    status = 409


class UploadOffset(EasyMLNBError):
    """A part of an upload does not begin where the last one ended."""

    code = "upload_offset"
    status = 409

    def __init__(self, offset: int) -> None:
        super().__init__(
            f"The next part of this upload begins at byte {offset}.", details={"offset": offset}
        )


class UploadIncomplete(EasyMLNBError):
    """A call names an upload of which not all was sent."""

    code = "upload_incomplete"
    status = 409

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(
            f"Only {offset:,} of the {size:,} bytes of this upload were sent. Send the rest first.",
            details={"offset": offset, "size": size},
        )


class NoSeat(EasyMLNBError):
    """A node carries as many kernels as it has seats."""

    code = "no_seat"
    status = 409

    def __init__(self) -> None:
        super().__init__("All seats of this node are taken. End a kernel there, or use another.")


class TooLarge(EasyMLNBError):
    """A body, file or image is over its limit."""

    code = "too_large"
    status = 413


class UploadQuota(EasyMLNBError):
    """The uploads of one caller would be too many, or too large together."""

    code = "upload_quota"
    status = 413

    def __init__(self, limit: int, most: int) -> None:
        super().__init__(
            f"Your uploads would be more than {most:,}, or take more than {units.shown(limit)} "
            "together. Delete some, or wait until they expire."
        )


class UnsupportedMediaType(EasyMLNBError):
    """The ``Content-Type`` is not one that the service reads."""

    code = "unsupported_media_type"
    status = 415

    def __init__(self, got: str, offered: tuple[str, ...]) -> None:
        super().__init__(
            f"A body of type {got or 'unknown'!r} is not read here; "
            f"send one of: {', '.join(offered)}.",
            details={"offered": list(offered)},
        )


class InvalidInput(EasyMLNBError):
    """Values break the schema; ``details`` is ``[{"field": "a.0.b", "message": "..."}]``."""

    code = "invalid_input"
    status = 422

    def __init__(self, details: list[dict[str, str]]) -> None:
        said = "; ".join(f"{item['field']}: {item['message']}" for item in details[:3])
        more = f" (and {len(details) - 3} more)" if len(details) > 3 else ""
        super().__init__(f"The input is not valid. {said}{more}", details=details)


class KeyReused(EasyMLNBError):
    """An idempotency key came a second time, with another request."""

    code = "idempotency_key_reused"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was sent before with another body or headers. "
            "Repeat a request as it was, or choose a new key."
        )


class CallerError(EasyMLNBError):
    """Raise it in a service's function to tell the caller, in your words, what to do better.

    Its message is the only text of a function's exceptions that ever reaches a caller.
    """

    code = "caller_error"
    status = 422


class DeploymentFailed(EasyMLNBError):
    """A bundle could not be brought to serve.

    For its author only; ``details`` may hold ``cell`` (number among the notebook's cells, from
    0), ``source`` and ``traceback``.
    """

    code = "deployment_failed"
    status = 422


class HeadTooLarge(EasyMLNBError):
    """The first line and the headers of a request are too long."""

    code = "head_too_large"
    status = 431

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request's first line and headers have more than {limit:,} bytes. Send less in "
            "the address, in cookies and in other headers."
        )


class CallFailed(EasyMLNBError):
    """The service's function raised; only its log, not the caller, has the traceback."""

    code = "call_failed"
    status = 500

    def __init__(self, kind: str = "an error") -> None:
        super().__init__(
            f"The service's function failed ({kind}). Its author finds the details in the "
            "service's log under the request id."
        )


class ResultNotEncodable(EasyMLNBError):
    """The function returned what cannot be sent."""

    code = "result_not_encodable"
    status = 500


class InternalError(EasyMLNBError):
    """A defect of easymlnb itself."""

    code = "internal_error"
    status = 500

    def __init__(self, message: str = "The server failed on this request; its log has it.") -> None:
        super().__init__(message)


class CallCancelled(EasyMLNBError):
    """The call was stopped on request."""

    code = "cancelled"
    status = 503

    def __init__(self, message: str = "The call was stopped.") -> None:
        super().__init__(message)


class NotReady(EasyMLNBError):
    """The service is starting, or could not start."""

    code = "not_ready"
    status = 503


class Busy(EasyMLNBError):
    """The queue is full; ``details["retry_after"]`` says in seconds when to come back."""

    code = "busy"
    status = 503

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(
            f"The service is busy: {waiting} calls wait already. "
            f"Try again in about {max(1, round(retry_after))} s.",
            details={"retry_after": max(1, round(retry_after))},
        )


class TooManyConnections(EasyMLNBError):
    """The server, or the caller's address, has as many connections open as it may."""

    code = "too_many_connections"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "Too many connections are open. Try again in a second, and use connections again "
            "instead of opening new ones.",
            details={"retry_after": 1},
        )


class WorkerLost(EasyMLNBError):
    """The kernel died under the call; whether the work was done is unknown."""

    code = "worker_lost"
    status = 503

    def __init__(self, message: str = "The kernel that ran this call was lost. Try again.") -> None:
        super().__init__(message, details={"retryable": True})


class WorkerOutOfMemory(WorkerLost):
    """The kernel took far more memory than its service may and was ended under the call."""

    code = "worker_out_of_memory"

    def __init__(self, limit: int) -> None:
        super().__init__(
            "The kernel that ran this call was ended: it took far more memory than its "
            f"{units.shown(limit)}. Send less at once, or have its author raise memory=."
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
    """The call was not done in time and was stopped."""

    code = "deadline_exceeded"
    status = 504

    def __init__(self, seconds: float) -> None:
        shown = units.shown_seconds(seconds)
        super().__init__(f"The call was stopped: it took longer than its {shown}.")


class StorageBusy(EasyMLNBError):
    """The database is locked or away for longer than a write waits; nothing was changed."""

    code = "storage_busy"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "The server's database does not answer. Try again in a moment.",
            details={"retry_after": 5},
        )


class StorageFull(EasyMLNBError):
    """The disk of database or files is full; nothing was changed."""

    code = "storage_full"
    status = 507

    def __init__(self, message: str = "The server's disk is full; nothing was stored.") -> None:
        super().__init__(message)


class CallCycle(EasyMLNBError):
    """A service calls one that waits for it, or the chain of calls is too long."""

    code = "call_cycle"
    status = 508

    def __init__(self, chain: Sequence[str]) -> None:
        super().__init__(
            f"These services would wait for each other: {' -> '.join(chain)}. "
            "Call the function itself, or put what both need into a third notebook."
        )


class StorageDamaged(EasyMLNBError):
    """A stored file is missing or is not what was stored."""

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
    """The client found no server, or lost it."""

    code = "server_unreachable"


def _tree(root: type[EasyMLNBError]) -> dict[str, type[EasyMLNBError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


BY_CODE = _tree(EasyMLNBError)


def from_code(code: str, message: str, details: Any = None, request_id: str = "") -> EasyMLNBError:
    """Rebuild an error that came over a wire; an unknown code becomes the root class."""
    kind = BY_CODE.get(code, EasyMLNBError)
    error = kind.__new__(kind)
    EasyMLNBError.__init__(error, message, details=details, request_id=request_id)
    return error
