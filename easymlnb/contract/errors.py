"""All errors of easymlnb, each with its code, HTTP status and message.

::

    EasyMLNBError
    +-- 400  BadRequest, BundleRejected (a BadRequest)
    +-- 401  NotLoggedIn
    +-- 403  Forbidden
    +-- 404  ServiceNotFound, VersionNotFound, PromotionNotFound, BundleNotFound, UploadNotFound,
    |        RouteNotFound, CallNotFound, RecordNotFound, ComparisonNotFound,
    |        CredentialNotFound, JobNotFound, ApiKeyNotFound, ModelNotFound,
    |        ModelVersionNotFound, AliasNotFound, SourceNotFound, BridgeNotFound
    +-- 405  MethodNotAllowed
    +-- 406  NotAcceptable, StreamTooLarge
    +-- 408  RequestTimeout
    +-- 409  NameTaken, BundleInUse, NotShared, NodeFull, VersionMismatch, UploadOffset,
    |        UploadIncomplete, ComparisonRunning, CredentialsDisabled, BreakingVersion,
    |        VersionInUse, NoRollback, PromotionConflict, JobEnded, JobNotFinished,
    |        ModelInUse, AliasChanged, ModelNotExportable, NotTrained
    +-- 410  ResultExpired
    +-- 412  TrafficChanged
    +-- 413  TooLarge, UploadQuota, ModelQuota
    +-- 415  UnsupportedMediaType
    +-- 422  InvalidInput, IdempotencyKeyConflict, CallerError, DeploymentFailed,
    |        IncompatibleVersions, QualityGateFailed
    +-- 429  TooManyFlags, LimitExceeded
    +-- 431  HeadTooLarge
    +-- 500  CallFailed, ResultNotEncodable, InternalError, StorageDamaged
    +-- 503  CallCancelled, NotReady, Busy, TooManyConnections, WorkerLost, WorkerOutOfMemory (a
    |        WorkerLost), Preempted, Draining, StorageBusy, GateUnavailable, LaneFull
    +-- 504  DeadlineExceeded
    +-- 507  StorageFull
    +-- 508  CallCycle
    +-- never in a response: DefinitionError (also a TypeError), StorageUnusable, ServerUnreachable,
                             ModelUnsupported, ModelNotTrusted, ModelDamaged
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from easymlnb.contract import units


class EasyMLNBError(Exception):
    """Base class of all errors with a message for people.

    ``code`` is stable and machine-readable, ``status`` is the HTTP status, ``details`` is
    optional JSON, such as the fields of a validation error or the seconds to wait. ``text`` and
    ``extra`` are the default message and details of a class.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    text: ClassVar[str] = ""
    extra: ClassVar[dict[str, Any] | None] = None

    def __init_subclass__(cls, *, code: str = "", status: int = 0) -> None:
        super().__init_subclass__()
        cls.code = code or cls.code
        cls.status = status or cls.status

    def __init__(self, message: str = "", *, details: Any = None, request_id: str = "") -> None:
        self.message = message or self.text
        super().__init__(self.message)
        self.details: Any = self.extra if details is None else details
        self.request_id = request_id

    def to_dict(self, request_id: str = "") -> dict[str, Any]:
        """Return the body of the HTTP response for this error."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        error["request_id"] = request_id or self.request_id
        return {"error": error}


class DefinitionError(EasyMLNBError, TypeError, code="definition_error"):
    """The function cannot become a service; the message names the parameter and the fix."""


class BadRequest(EasyMLNBError, code="bad_request", status=400):
    """The body does not match its ``Content-Type``."""


class BundleRejected(BadRequest, code="bundle_rejected"):
    """The bundle is invalid: not a zip, without a notebook, with an unsafe path, or too large."""


class NotLoggedIn(EasyMLNBError, code="not_logged_in", status=401):
    """The credentials are missing or invalid."""

    text = "Send a valid token or API key: 'Authorization: Bearer <TOKEN>'."


class Forbidden(EasyMLNBError, code="forbidden", status=403):
    """The caller does not have permission."""


class ServiceNotFound(EasyMLNBError, code="service_not_found", status=404):
    """There is no service with this name."""

    def __init__(self, name: str, now: str = "") -> None:
        """Report that the service does not exist, or the name that it has ``now``."""
        super().__init__(
            f"The service {name!r} has a new owner. Its name is now {now!r}."
            if now
            else f"There is no service named {name!r}. 'GET services' lists all services."
        )


class VersionNotFound(EasyMLNBError, code="version_not_found", status=404):
    """The service has no version with this number or alias."""

    def __init__(
        self, asked: str, versions: Collection[int] = (), aliases: Iterable[str] = ()
    ) -> None:
        latest = sorted(versions)[-10:]
        known = [f"{', '.join(map(str, latest))}"] if latest else ["none"]
        known += [f"aliases: {', '.join(sorted(aliases))}"] if aliases else []
        super().__init__(
            f"The service has no version {asked[:80]!r}. Versions: {'; '.join(known)}.",
            details={"versions": latest},
        )


class PromotionNotFound(EasyMLNBError, code="promotion_not_found", status=404):
    """The service has no promotion with this ID."""

    def __init__(self, id: str) -> None:
        super().__init__(
            f"The service has no promotion {id[:80]!r}. 'GET services/NAME/promotions' lists them."
        )


class BundleNotFound(EasyMLNBError, code="bundle_not_found", status=404):
    """There is no bundle with this id."""

    def __init__(self, bundle: str, what: str = "bundle") -> None:
        super().__init__(f"There is no {what} {bundle!r}.")


class UploadNotFound(EasyMLNBError, code="upload_not_found", status=404):
    """The caller has no upload with this id."""

    def __init__(self, upload: str) -> None:
        super().__init__(
            f"You have no upload {upload[:12]!r} on this server; it may have expired. Upload the "
            "file again."
        )


class RouteNotFound(EasyMLNBError, code="not_found", status=404):
    """There is no route at this URL."""

    text = "There is no route at this URL. 'GET openapi.json' lists all routes."


class CallNotFound(EasyMLNBError, code="call_not_found", status=404):
    """The caller has no running call with this id."""

    text = "You have no running call with this id; it may have ended."


class ApiKeyNotFound(EasyMLNBError, code="key_not_found", status=404):
    """The caller has no API key with this id."""

    def __init__(self, id: str) -> None:
        super().__init__(
            f"You have no API key with the id {id[:40]!r}. 'GET keys' lists your keys."
        )


class CredentialNotFound(EasyMLNBError, code="credential_not_found", status=404):
    """The service has no credential with this name."""


class JobNotFound(EasyMLNBError, code="job_not_found", status=404):
    """The caller has no job with this id."""

    text = "You have no job with this id; it may have been deleted."


class ScheduleNotFound(EasyMLNBError, code="schedule_not_found", status=404):
    """The caller has no schedule with this id."""

    text = "You have no schedule with this id; it may have been removed."


class WebhookNotFound(EasyMLNBError, code="webhook_not_found", status=404):
    """The caller has no webhook with this id."""

    text = "You have no webhook with this id; it may have been removed."


class DeliveryNotFound(EasyMLNBError, code="delivery_not_found", status=404):
    """The caller has no delivery with this id."""

    text = "You have no delivery with this id; it may have been deleted."


class SourceNotFound(EasyMLNBError, code="source_not_found", status=404):
    """No folder or bucket of this name feeds services, or it is another user's."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no source of files named {name[:63]!r}. 'GET storage-events' lists yours."
        )


class BridgeNotFound(EasyMLNBError, code="bridge_not_found", status=404):
    """No bridge to a broker has this name, or it is another user's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no bridge named {name[:63]!r}. 'GET bridges' lists yours.")


class RecordNotFound(EasyMLNBError, code="record_not_found", status=404):
    """The service has no recorded call with this id."""

    def __init__(self, record: str) -> None:
        super().__init__(
            f"There is no recorded call {record[:32]!r} of this service; it may have expired or "
            "been deleted."
        )


class ComparisonNotFound(EasyMLNBError, code="comparison_not_found", status=404):
    """There is no comparison with this id, or the caller does not manage its service."""

    def __init__(self, comparison: str) -> None:
        super().__init__(f"There is no comparison {comparison[:32]!r}.")


class ModelNotFound(EasyMLNBError, code="model_not_found", status=404):
    """There is no model with this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no model named {name[:320]!r}. 'GET models' lists all models.")


class ModelVersionNotFound(EasyMLNBError, code="model_version_not_found", status=404):
    """The model has no version with this number or alias."""

    def __init__(
        self, model: str, asked: str, versions: Collection[int] = (), aliases: Iterable[str] = ()
    ) -> None:
        latest = sorted(versions)[-10:]
        known = [f"{', '.join(map(str, latest))}"] if latest else ["none"]
        known += [f"aliases: {', '.join(sorted(aliases))}"] if aliases else []
        super().__init__(
            f"The model {model!r} has no version {asked[:80]!r}. Versions: {'; '.join(known)}.",
            details={"versions": latest},
        )


class AliasNotFound(EasyMLNBError, code="alias_not_found", status=404):
    """The model has no alias with this name."""

    def __init__(self, model: str, alias: str) -> None:
        super().__init__(f"The model {model!r} has no alias {alias[:80]!r}.")


class MethodNotAllowed(EasyMLNBError, code="method_not_allowed", status=405):
    """The route does not support this method."""

    def __init__(self, method: str, allowed: str = "") -> None:
        super().__init__(f"This route does not support the method {method}.")
        self.allowed = allowed
        """The methods that it supports, as in an ``Allow`` header."""


class NotAcceptable(EasyMLNBError, code="not_acceptable", status=406):
    """The result is not available in the format of ``Accept``."""

    def __init__(self, asked: str, offered: tuple[str, ...]) -> None:
        super().__init__(
            f"This result is not available as {asked!r}. Set Accept to one of: "
            f"{', '.join(offered)}.",
            details={"offered": list(offered)},
        )


class StreamTooLarge(EasyMLNBError, code="stream_too_large", status=406):
    """The stream is too long for a single response."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"This stream has more than {limit // 2**20} MiB, too much for a single response. "
            "Receive its items one by one with 'Accept: application/jsonl' or 'Accept: "
            "text/event-stream'."
        )


class RequestTimeout(EasyMLNBError, code="request_timeout", status=408):
    """The request's headers or body arrived too slowly."""


class NameTaken(EasyMLNBError, code="name_taken", status=409):
    """Another notebook already uses the service name."""


class BundleInUse(EasyMLNBError, code="bundle_in_use", status=409):
    """The bundle is already deployed, so its publishing cannot be canceled."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"This bundle is already deployed as {', '.join(names)}. To stop it, delete the "
            f"service: DELETE services/{names[0]}, or 'easymlnb remove {names[0]}'.",
            details={"services": list(names)},
        )


class ComparisonRunning(EasyMLNBError, code="comparison_running", status=409):
    """The service has as many unfinished comparisons as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"This service has {most} unfinished comparisons. Wait until one ends, or delete one."
        )


class NotShared(EasyMLNBError, code="not_shared", status=409):
    """A single-user server cannot share its services."""

    text = (
        "This is a single-user server: only its user can call its services. To share a service, "
        "publish it to the JupyterHub's shared service."
    )


class VersionMismatch(EasyMLNBError, code="version_mismatch", status=409):
    """A kernel and its server have versions of easymlnb that do not work together."""


class UploadOffset(EasyMLNBError, code="upload_offset", status=409):
    """The part of the upload does not start where the last one ended."""

    def __init__(self, offset: int) -> None:
        super().__init__(
            f"The part does not continue the upload. Send the part that starts at byte {offset}.",
            details={"offset": offset},
        )


class UploadIncomplete(EasyMLNBError, code="upload_incomplete", status=409):
    """The call uses an upload that is not complete."""

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(
            f"The upload is incomplete: {offset:,} of {size:,} bytes were sent. Send the "
            "remaining bytes first.",
            details={"offset": offset, "size": size},
        )


class CredentialsDisabled(EasyMLNBError, code="credentials_disabled", status=409):
    """The server has no key to encrypt credentials with."""


class NodeFull(EasyMLNBError, code="node_full", status=409):
    """All kernel slots of the node are in use."""

    text = (
        "All kernel slots of this node are in use. Shut down one of its kernels, or use another "
        "node."
    )


class JobEnded(EasyMLNBError, code="job_ended", status=409):
    """The job has ended, so it cannot be canceled."""

    def __init__(self, state: str) -> None:
        super().__init__(f"The job has ended: it is {state}.", details={"state": state})


class JobNotFinished(EasyMLNBError, code="job_not_finished", status=409):
    """The job has no result yet."""

    def __init__(self, state: str) -> None:
        super().__init__(
            f"The job is {state} and has no result yet. Wait for its end: GET jobs/ID?wait=20.",
            details={"state": state, "retry_after": 2},
        )


class NotTrained(EasyMLNBError, code="not_trained", status=409):
    """The model has no version that could predict, or its latest training failed."""


class ModelInUse(EasyMLNBError, code="model_in_use", status=409):
    """Published services load the model, or an alias names the version."""


class AliasChanged(EasyMLNBError, code="alias_changed", status=409):
    """The alias names another version than the one that the request expects."""

    def __init__(self, alias: str, version: int | None) -> None:
        now = "does not exist" if version is None else f"names version {version}"
        super().__init__(
            f"The alias {alias!r} {now} now. Read the model again, and repeat the change.",
            details={"version": version},
        )


class ModelNotExportable(EasyMLNBError, code="model_not_exportable", status=409):
    """The version's format does not exist in the format of the export."""


class ResultExpired(EasyMLNBError, code="result_expired", status=410):
    """The result of the job was deleted."""

    text = "The result of this job has been deleted."


class BreakingVersion(EasyMLNBError, code="breaking_version", status=409):
    """The version would break callers of the one that answers now."""

    def __init__(self, number: int, serving: int, differences: Sequence[str]) -> None:
        super().__init__(
            f"Version {number} would break callers of version {serving}: "
            f"{'; '.join(differences[:5])}. To let it answer calls anyway, use force.",
            details={"version": number, "serving": serving, "differences": list(differences)},
        )


class VersionInUse(EasyMLNBError, code="version_in_use", status=409):
    """Something still refers to the version, so it cannot be deleted."""

    def __init__(self, number: int, users: Sequence[str]) -> None:
        super().__init__(
            f"Version {number} cannot be deleted: it is used by {', '.join(users)}. Remove that "
            "first.",
            details={"version": number, "used_by": list(users)},
        )


class NoRollback(EasyMLNBError, code="no_rollback", status=409):
    """There is no earlier version to go back to."""

    text = (
        "No earlier version of this service had its traffic. To choose a version, set the weights: "
        "PUT services/NAME/traffic."
    )


class PromotionConflict(EasyMLNBError, code="promotion_conflict", status=409):
    """The promotion cannot be started or changed in the present state."""


class TrafficChanged(EasyMLNBError, code="traffic_changed", status=412):
    """The traffic is no longer what ``If-Match`` names; ``details["current"]`` is what it is."""

    text = (
        "The traffic of this service was changed in the meantime. Compare it with your change, "
        "then send the change with the new ETag."
    )


class TooLarge(EasyMLNBError, code="too_large", status=413):
    """The body, file or image exceeds its size limit."""


class UploadQuota(EasyMLNBError, code="upload_quota", status=413):
    """The caller's uploads exceed the limit of number or total size."""

    def __init__(self, limit: int, most: int) -> None:
        super().__init__(
            f"Your uploads exceed the limit of {most:,} uploads or {units.format_size(limit)} in "
            "total. Delete some of them, or wait until they expire."
        )


class ModelQuota(EasyMLNBError, code="model_quota", status=413):
    """The files of the owner's models would exceed the limit of the server."""

    def __init__(self, quota: int) -> None:
        super().__init__(
            f"The models of one owner can have {units.format_size(quota)} in all. Delete versions "
            "that are no longer needed."
        )


class UnsupportedMediaType(EasyMLNBError, code="unsupported_media_type", status=415):
    """The service does not accept this ``Content-Type``."""

    def __init__(self, got: str, offered: tuple[str, ...]) -> None:
        problem = (
            f"The content type {got!r} is not supported."
            if got
            else "The request has no Content-Type header."
        )
        super().__init__(
            f"{problem} Send one of: {', '.join(offered)}.",
            details={"offered": list(offered)},
        )


class InvalidInput(EasyMLNBError, code="invalid_input", status=422):
    """Values do not match the schema; ``details``: ``[{"field": "a.0.b", "message": "..."}]``."""

    def __init__(self, details: Sequence[Mapping[str, Any]]) -> None:
        text = "; ".join(f"{item['field']}: {item['message']}" for item in details[:3])
        more = f" (and {len(details) - 3} more)" if len(details) > 3 else ""
        super().__init__(f"The input is invalid. {text}{more}", details=details)


class IdempotencyKeyConflict(EasyMLNBError, code="idempotency_key_conflict", status=422):
    """The idempotency key was already used for a different request."""

    text = (
        "This Idempotency-Key was already used with a different body or headers. Repeat the "
        "request unchanged, or use a new key."
    )


class CallerError(EasyMLNBError, code="caller_error", status=422):
    """The service's own message to its caller; raise it in a service's function.

    Callers see its message. They never see the text of any other exception.
    """


class DeploymentFailed(EasyMLNBError, code="deployment_failed", status=422):
    """The bundle could not be deployed.

    Shown to its author only; ``details`` may hold ``cell`` (number among the notebook's cells, from
    0), ``source`` and ``traceback``.
    """


class LimitExceeded(EasyMLNBError, code="limit_exceeded", status=429):
    """A limit of the caller, its API key or the service is reached.

    ``details`` has the ``limit``, its ``scope`` and ``value``, and the seconds to wait in
    ``retry_after``.
    """

    def __init__(self, scope: str, limit: str, value: float, retry_after: int) -> None:
        super().__init__(
            f"The limit {limit} of {value:,.15g} for {scope} is reached. Try again in "
            f"{retry_after:,} s.",
            details={"limit": limit, "scope": scope, "value": value, "retry_after": retry_after},
        )


class QualityGateFailed(EasyMLNBError, code="quality_gate_failed", status=422):
    """The quality gate found errors in the notebook; ``details`` has the report."""


class IncompatibleVersions(EasyMLNBError, code="incompatible_versions", status=422):
    """The versions do not take the same inputs, or their results are of different kinds."""

    def __init__(self, before: int, after: int, problems: Sequence[str]) -> None:
        super().__init__(
            f"Versions {before} and {after} cannot be compared on the same inputs. "
            f"{' '.join(problems[:3])}",
            details={"problems": list(problems)},
        )


class TooManyFlags(EasyMLNBError, code="too_many_flags", status=429):
    """The caller, or all callers of the service, flagged too many calls."""


class HeadTooLarge(EasyMLNBError, code="head_too_large", status=431):
    """The request line and headers are too long."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The request line and headers have more than {limit:,} bytes. Shorten the URL, "
            "cookies and other headers."
        )


class CallFailed(EasyMLNBError, code="call_failed", status=500):
    """The service's function raised an exception; the traceback is only in the service's log."""

    def __init__(self, kind: str = "an error") -> None:
        super().__init__(
            f"The service's function failed ({kind}). The author can find details in the "
            "service's log under the request id."
        )


class ResultNotEncodable(EasyMLNBError, code="result_not_encodable", status=500):
    """The function's result cannot be encoded."""


class InternalError(EasyMLNBError, code="internal_error", status=500):
    """An internal error of the server."""

    text = "Internal server error. Details are in the server's log under the request id."


class CallCancelled(EasyMLNBError, code="cancelled", status=503):
    """The call was stopped on request."""

    text = "The call was stopped."


class NotReady(EasyMLNBError, code="not_ready", status=503):
    """The service is starting or failed to start."""


class Busy(EasyMLNBError, code="busy", status=503):
    """The queue is full; ``details["retry_after"]`` has the seconds to wait."""

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(
            f"The service is busy: {waiting} calls are waiting. Try again in about "
            f"{max(1, round(retry_after))} s.",
            details={"retry_after": max(1, round(retry_after))},
        )


class LaneFull(EasyMLNBError, code="lane_full", status=503):
    """All kernels of the lane run jobs, so a running call stays a plain one for now."""

    text = (
        "All kernels for background jobs are in use, or you have as many jobs as you may have. The "
        "call continues here; try again in a moment."
    )
    extra: ClassVar = {"retry_after": 5}


class TooManyConnections(EasyMLNBError, code="too_many_connections", status=503):
    """The server or the caller's address reached its limit of open connections."""

    text = (
        "Too many open connections. Try again in a second, and reuse connections instead of "
        "opening new ones."
    )
    extra: ClassVar = {"retry_after": 1}


class Preempted(EasyMLNBError, code="preempted", status=503):
    """The job left its node, whose time was over, and continues elsewhere."""

    text = "The job left its node, whose time was over."


class WorkerLost(EasyMLNBError, code="worker_lost", status=503):
    """The kernel died during the call; whether the call completed is unknown."""

    text = "The kernel that ran this call was lost. Try again."
    extra: ClassVar = {"retryable": True}


class WorkerOutOfMemory(WorkerLost, code="worker_out_of_memory"):
    """The kernel exceeded its memory limit and was ended during the call."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "The kernel that ran this call was ended: it used far more memory than its limit of "
            f"{units.format_size(limit)}. Send less data at once, or ask the service's author to "
            "raise memory=.",
            details={"retryable": False, "limit": limit},
        )


class GateUnavailable(EasyMLNBError, code="gate_unavailable", status=503):
    """A tool of the quality gate is missing or did not work, so that nothing was published."""


class Draining(EasyMLNBError, code="draining", status=503):
    """The server is stopping."""

    text = "The server is stopping. Try again in a moment."
    extra: ClassVar = {"retry_after": 5}


class DeadlineExceeded(EasyMLNBError, code="deadline_exceeded", status=504):
    """The call exceeded its timeout and was stopped."""

    def __init__(self, seconds: float) -> None:
        timeout = units.format_seconds(seconds)
        super().__init__(f"The call was stopped: it exceeded its timeout of {timeout}.")


class StorageBusy(EasyMLNBError, code="storage_busy", status=503):
    """The database is locked or unavailable for too long; nothing was changed."""

    text = "The server's database does not respond. Try again in a moment."
    extra: ClassVar = {"retry_after": 5}


class StorageFull(EasyMLNBError, code="storage_full", status=507):
    """The disk with the database or the files is full; nothing was changed."""

    text = "The server's disk is full; nothing was stored."


class CallCycle(EasyMLNBError, code="call_cycle", status=508):
    """Services call each other in a cycle, or the chain of calls is too long."""

    def __init__(self, chain: Sequence[str]) -> None:
        super().__init__(
            f"These services call each other in a cycle: {' -> '.join(chain)}. Call the function "
            "directly, or move the shared code to a third notebook."
        )


class StorageDamaged(EasyMLNBError, code="storage_damaged"):
    """A stored file is missing or damaged."""

    def __init__(self, sha: str) -> None:
        super().__init__(
            f"The stored file {sha[:12]} is missing or damaged. "
            "Restore it from a backup, or publish the notebook again."
        )


class StorageUnusable(EasyMLNBError, code="storage_unusable"):
    """The database cannot be used; the message gives the reason and the fix."""


class ModelUnsupported(EasyMLNBError, code="model_unsupported"):
    """The object cannot be saved as a model, or the version cannot be loaded here."""


class ModelNotTrusted(EasyMLNBError, code="model_not_trusted"):
    """Opening the version could run code of somebody else."""


class ModelDamaged(EasyMLNBError, code="model_damaged"):
    """A downloaded file of the version does not match its hash."""


class ServerUnreachable(EasyMLNBError, code="server_unreachable"):
    """The client cannot reach a server."""


def _tree(root: type[EasyMLNBError]) -> dict[str, type[EasyMLNBError]]:
    kinds = {root.code: root}
    for child in root.__subclasses__():
        kinds.update(_tree(child))
    return kinds


BY_CODE = _tree(EasyMLNBError)


def from_code(code: str, message: str, details: Any = None, request_id: str = "") -> EasyMLNBError:
    """Rebuild an error from its JSON fields; an unknown code becomes the base class."""
    kind = BY_CODE.get(code, EasyMLNBError)
    error = kind.__new__(kind)
    EasyMLNBError.__init__(error, message, details=details, request_id=request_id)
    return error
