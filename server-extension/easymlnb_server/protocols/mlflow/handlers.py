"""The routes of the scoring protocol: ``services/{name}/invocations``, ``ping`` and ``version``."""

from typing import Any, ClassVar

from easymlnb.contract.errors import BadRequest, EasyMLNBError, MethodNotAllowed, NotLoggedIn
from easymlnb.contract.scoring import CSV, FORMS, JSON, PARAMS, PARQUET, PREDICTIONS, SCORE
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls import options
from easymlnb_server.calls.handlers import MODEL, VERSION
from easymlnb_server.calls.stream_buffer import cut_if_stuck
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import custom_access_check
from easymlnb_server.http.spooled_body import send_file
from easymlnb_server.identity.grants import Scope
from easymlnb_server.openapi.document import BYTES, TEXT, Operation, ok
from easymlnb_server.protocols.handlers import ProtocolHandler
from easymlnb_server.protocols.mlflow import errors
from easymlnb_server.services.models import Target
from easymlnb_server.uploads.spool import SpooledFile

PROTOCOL = "3.17.2"
"""The version of MLflow whose protocol this is."""


class ScoringHandler(ProtocolHandler):
    """Base of the routes: visitors of public services, and errors in MLflow's form."""

    actions: ClassVar[dict[str, str]] = {"GET": "execute", "POST": "execute"}
    key_scopes: ClassVar = {"GET": (Scope.CALL, Scope.READ), "POST": (Scope.CALL,)}

    def on_anonymous(self) -> None:
        """Accept visitors of a public service."""
        self.accept_visitors(self.path_args[0])

    def body_limit(self) -> int:
        raise MethodNotAllowed(self.request.method or "")

    def find(self) -> Target:
        """Return what answers; raises why the caller cannot call it."""
        name = self.path_args[0]
        return self.state.invoker.find(name, self.caller, published_only=self.is_visitor)

    def public_error(self, error: BaseException | None) -> EasyMLNBError:
        return errors.in_protocol(super().public_error(error))

    def error_document(self, error: EasyMLNBError) -> dict[str, Any]:
        if isinstance(error, NotLoggedIn):
            self.set_header("WWW-Authenticate", 'Bearer realm="easymlnb"')
        return errors.document(error)


class PingHandler(ScoringHandler):
    """``GET services/{name}/ping`` and ``health``: whether the caller can call the service."""

    @custom_access_check
    async def get(self, name: str) -> None:
        self.find()
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish("\n")


class ProtocolVersionHandler(ScoringHandler):
    """``GET services/{name}/version``: the version of MLflow whose protocol this is."""

    @custom_access_check
    async def get(self, name: str) -> None:
        self.find()
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(PROTOCOL)


class InvocationsHandler(ScoringHandler):
    """``POST services/{name}/invocations``: predictions for the rows of a table or tensor.

    It is the ``EventSink`` of its call. The worker reads the body and writes the answer.
    """

    def body_limit(self) -> int:
        spec = self.find().spec
        return self.state.quotas.max_body(spec.name, self.caller, spec.max_body)

    @custom_access_check
    async def post(self, name: str) -> None:
        spec = self.find().spec
        _check_kind(spec)
        request = self.call_request(
            name,
            self.read_spooled_body(),
            self.request.headers.get("Content-Type", JSON),
            timeout=min(options.timeout(self.request.headers, float("inf")), spec.timeout),
            operation=SCORE,
            keep=False,  # a recorded body could not be sent to the service again
        )
        await self._send_result(await self.invoke(request, self))

    def on_accepted(self, target: Target) -> None:
        """Name the version that answers."""
        self.set_header(VERSION, target.version)

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Take nothing: predictions come at once."""

    async def _send_result(self, result: CallResult) -> None:
        if result.models:
            self.set_header(MODEL, result.models)
        if result.error is not None:
            raise result.error
        if isinstance(result.body, SpooledFile):
            self.set_header("Content-Length", str(result.body.size))
            try:
                await send_file(result.body, self._send)
            finally:
                result.body.close()
        else:
            self.write(result.body)
        self._finish(len(result.body))

    async def _send(self, chunk: bytes) -> None:
        self.write(chunk)
        sent = self.flush()
        cut_if_stuck(self.request.connection.stream, sent, len(chunk))  # type: ignore[union-attr]
        await sent

    def _finish(self, size: int) -> None:
        stream = self.request.connection.stream  # type: ignore[union-attr]
        cut_if_stuck(stream, self.finish(), size)


def _check_kind(spec: ServiceSpec) -> None:
    """Raise ``BadRequest`` for services that do not answer with predictions."""
    if spec.stream:
        raise BadRequest(
            f"{spec.name!r} is a streaming service, and MLflow's protocol has no streams. "
            f"Use POST services/{spec.name}/call."
        )
    if spec.training is not None:
        raise BadRequest(
            f"{spec.name!r} trains a model. Use POST services/{spec.name}/jobs to train."
        )


_VALUES: dict[str, Any] = {"type": ["array", "object"], "items": {}}
_REQUEST: dict[str, Any] = {
    "type": "object",
    "description": "Exactly one form of the input, and parameters that are the same for all rows.",
    "properties": {
        "dataframe_split": {
            "type": "object",
            "properties": {
                "columns": {"type": "array", "items": {"type": "string"}},
                "data": {"type": "array", "items": {"type": "array", "items": {}}},
            },
            "required": ["columns", "data"],
        },
        "dataframe_records": {"type": "array", "items": {"type": "object"}},
        "instances": {"type": "array", "items": {}},
        "inputs": _VALUES,
        PARAMS: {"type": "object"},
    },
    "oneOf": [{"required": [form]} for form in FORMS],
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {PREDICTIONS: {}},
    "required": [PREDICTIONS],
}
_ABOUT = "MLflow's scoring protocol: see the guide on MLflow. Errors have MLflow's form."


def _ping(id: str) -> Operation:
    return Operation(
        id,
        "Check that a service can be called",
        ok("The service can be called.", {"text/plain": TEXT}),
        tag="Protocols",
        description=_ABOUT,
        error=_ERROR,
    )


OPERATIONS = {
    "POST /services/{name}/invocations": Operation(
        "invocations",
        "Predict for the rows of a table or tensor",
        ok("The predictions.", {JSON: _ANSWER}),
        (415, 429, 500, 503, 504),
        tag="Protocols",
        body={JSON: _REQUEST, CSV: TEXT, PARQUET: BYTES},
        description=_ABOUT,
        error=_ERROR,
    ),
    "GET /services/{name}/ping": _ping("ping"),
    "GET /services/{name}/health": _ping("serviceHealth"),
    "GET /services/{name}/version": Operation(
        "protocolVersion",
        "Show the version of MLflow's protocol",
        ok("The version.", {"text/plain": TEXT}),
        tag="Protocols",
        description=_ABOUT,
        error=_ERROR,
    ),
}
